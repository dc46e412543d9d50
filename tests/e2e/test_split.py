# SPDX-License-Identifier: BSD-2-Clause
"""A/B splits, end to end: two services, who gets which, what is told, what is counted."""

import json
import re
import threading
import time

import pytest

from gateway import SHORT, base_config, plain_config, wait_for
from service import Handler, Service

BUYERS = 100 if SHORT else 300


class Teller(Handler):
    """Answers with its name and the headers that arrived; /fail 500, /slow late."""

    def answer(self):
        self.take_body()
        body = json.dumps({"name": self.server.name, "headers": self.headers.items()}).encode()
        time.sleep(self.server.delay)
        self.reply(self.server.status, body, X_Test_Group="of the service")


class Named(Service):
    def __init__(self, name):
        self.name, self.status, self.delay = name, 200, 0
        super().__init__(Teller)


@pytest.fixture
def services():
    both = Named("old"), Named("new")
    yield both
    for s in both:
        s.stop()


def arms(a, b):
    return {"A": {"weight": a}, "B": {"weight": b, "upstream": "new"}}


@pytest.fixture
def start(make_gateway, services):
    """A gateway in front of both; the route /shop has a split with these settings."""
    def begin(split=None, **more):
        config = plain_config()
        config["upstreams"] = {
            s.name: {"protocol": "http", "health": {"interval": "0s"},
                     "endpoints": [f"127.0.0.1:{s.server_port}"]} for s in services}
        config["splits"] = {"shop": {"arms": arms(50, 50), **(split or {})}}
        config["routes"].append({"name": "shop", "match": {"path": "/shop/**"}, "upstream": "old",
                                 "split": "shop"})
        config.update(more)
        return make_gateway(base=config).start()
    return begin


def buyer(name, **more):
    return {"X-User-Id": str(name), **more}


def ask(gateway, headers=None, path="/shop/x"):
    return gateway.client.get(path, headers)


def arm_of(answer):
    """The arm as the service was told, which must be the one that the arm names."""
    document = answer.json()
    told = [v for n, v in document["headers"] if n.lower() == "x-test-group"]
    assert len(told) == 1, document
    assert document["name"] == {"A": "old", "B": "new"}[told[0]], document
    return told[0]


def assigned(gateway, n=BUYERS):
    """Arm of each of n buyers, on one connection."""
    with gateway.client.connect() as c:
        return {i: arm_of(c.request("GET", "/shop/x", None, buyer(f"buyer-{i}"))) for i in range(n)}


def share(found, arm="B"):
    return sum(a == arm for a in found.values()) / len(found)


def rows(gateway, *name):
    return {r["arm"]: r for r in gateway.ctl_json("show", "split", *name)["data"]}


def test_sticky_over_workers_connections_and_restarts(start):
    g = start()
    first = assigned(g)
    assert 0.3 < share(first) < 0.7
    assert assigned(g) == first
    for i in range(10):
        assert arm_of(ask(g, buyer(f"buyer-{i}"))) == first[i]
    g.kill_and_wait("worker")
    g.errors_expected = True
    assert assigned(g) == first
    g.stop()
    g.start()
    assert assigned(g) == first


def test_weights_move_only_the_share(start):
    g = start({"arms": arms(90, 10)})
    before = assigned(g)
    for b, grows in ((40, True), (25, False), (25, None)):
        g.write_config({"splits": {"shop": {"arms": {"B": {"weight": b}}}}})
        g.ctl("reload")
        after = assigned(g)
        moved = {i for i in after if after[i] != before[i]}
        if grows is None:
            assert not moved
        else:
            assert moved
            assert {after[i] for i in moved} == {"B" if grows else "A"}
            # 10/100, 40/130, 25/115: about 21 and 9 in a hundred must move.
            assert (0.1 if grows else 0.03) < len(moved) / len(after) < (0.35 if grows else 0.2)
        before = after


def test_reloads_under_load_lose_nobody(start):
    """While weights change all the time, a buyer is only ever seen in B when one of the weights puts
    them there, and no request fails."""
    g = start({"arms": arms(80, 20)})
    low = assigned(g, 100)
    g.write_config({"splits": {"shop": {"arms": {"B": {"weight": 60}}}}})
    g.ctl("reload")
    high = assigned(g, 100)
    assert all(high[i] == "B" for i in low if low[i] == "B")
    stopping, seen, failures = threading.Event(), [], []

    def play():
        try:
            while not stopping.is_set():
                seen.append(assigned(g, 100))
        except Exception as e:  # pylint: disable=broad-except
            failures.append(e)
    players = [threading.Thread(target=play) for _ in range(2)]
    for p in players:
        p.start()
    for i in range(6 if SHORT else 20):
        g.write_config({"splits": {"shop": {"arms": {"B": {"weight": 20 if i % 2 else 60}}}}})
        g.ctl("reload")
    stopping.set()
    for p in players:
        p.join()
    assert not failures
    assert len(seen) >= 2
    for found in seen:
        for i, arm in found.items():
            assert arm in (low[i], high[i])


def test_salt_deals_anew(start):
    g = start()
    before = assigned(g, 100)
    g.write_config({"splits": {"shop": {"salt": "x"}}})
    g.ctl("reload")
    moved = sum(a != before[i] for i, a in assigned(g, 100).items())
    assert 20 < moved < 80


def test_override(start):
    g = start({"arms": arms(100, 0)}, trusted_proxies=["127.0.0.0/8"])
    assert arm_of(ask(g, buyer("ann"))) == "A"
    assert arm_of(ask(g, buyer("ann", **{"x-test-group": "B"}))) == "B"
    for nonsense in ("C", "", "b", "B,A", "x" * 1000):
        assert arm_of(ask(g, buyer("ann", **{"X-Test-Group": nonsense}))) == "A"
    wait_for(lambda: rows(g)["A"]["requests"] == 6, "the count")
    assert (rows(g)["B"]["requests"], rows(g)["B"]["forced"]) == (0, 1)


@pytest.mark.parametrize("override, proxies, believed", [
    ("trusted", [], False), ("trusted", ["127.0.0.0/8"], True), ("anyone", [], True),
    ("off", ["127.0.0.0/8"], False)])
def test_who_may_override(start, override, proxies, believed):
    g = start({"arms": arms(100, 0), "override": override}, trusted_proxies=proxies)
    assert arm_of(ask(g, {"X-Test-Group": "B"})) == ("B" if believed else "A")
    # In no spelling does what a client says reach the service.
    answer = ask(g, {"X_Test_Group": "B"})
    assert [v for n, v in answer.json()["headers"] if "group" in n.lower()] == ["A"]


def test_answer_tells_the_arm(start):
    g = start({"header": "X-Arm", "answer": True, "arms": arms(0, 1)})
    answer = ask(g)
    assert answer.header("X-Arm") == "B"
    assert answer.header("X-Test-Group") == "of the service"
    g.write_config({"splits": {"shop": {"header": "X-Test-Group"}}})
    g.ctl("reload")
    assert [v for n, v in ask(g).fields if n.lower() == "x-test-group"] == ["B"]


COOKIE = re.compile(r"rg=([0-9a-f]{16}); Path=/; Max-Age=2592000; SameSite=Lax; HttpOnly$")


def cookie_set(answer):
    found = [v for n, v in answer.fields if n.lower() == "set-cookie"]
    assert len(found) <= 1, found
    return found[0] if found else None


def test_cookie(start):
    g = start({"by": "cookie:rg"})
    found = set()
    for _ in range(30):
        first = ask(g)
        value = COOKIE.match(cookie_set(first)).group(1)
        again = ask(g, {"Cookie": f"rg={value}"})
        assert cookie_set(again) is None
        assert arm_of(again) == arm_of(first)
        # Nothing else about the client counts.
        assert arm_of(ask(g, buyer("ann", Cookie=f"a=1; rg={value}; b=2"))) == arm_of(first)
        found.add(arm_of(first))
    assert found == {"A", "B"}


@pytest.mark.parametrize("cookie, ours", [
    ("", False), ("rg", False), ("rg=", False), ("rg=123", False), ("RG=0123456789abcdef", False),
    ("rg=0123456789ABCDEF", False), ("rg=0123456789abcdefg", False), ("xrg=0123456789abcdef", False),
    ("rg=" + "0" * 7000, False), ("a=rg=0123456789abcdef", False), ("a=1;" * 1500, False),
    ("rg=0123456789abcdef", True), ("rg=\"0123456789abcdef\"", True), ("; ;rg = 0123456789abcdef ;", True),
    ("rg=old; rg=0123456789abcdef", True), ("a=1; " * 1000 + "rg=0123456789abcdef", True)])
def test_odd_cookies(start, cookie, ours):
    g = start({"by": "cookie:rg"})
    assert (cookie_set(ask(g, {"Cookie": cookie})) is None) == ours


def test_several_cookie_headers(start):
    g = start({"by": "cookie:rg", "cookie_max_age": "0s", "cookie_secure": True})
    host = b"GET /shop/x HTTP/1.1\r\nHost: a\r\n"
    answer = g.client.raw(host + b"Cookie: a=1\r\ncookie: rg=x\r\nCOOKIE: rg=0123456789abcdef\r\n\r\n")
    assert answer.status == 200 and cookie_set(answer) is None
    answer = g.client.raw(host + b"Cookie: a=1\r\ncookie: rg=x\r\n\r\n")
    assert re.match(r"rg=[0-9a-f]{16}; Path=/; SameSite=Lax; HttpOnly; Secure$", cookie_set(answer))


def test_by_client_and_header(start):
    g = start({"by": "client_ip"}, trusted_proxies=["127.0.0.0/8"])

    def of(address, **more):
        return arm_of(ask(g, {"X-Forwarded-For": address, **more}))
    assert {of(f"192.0.2.{i}") for i in range(20)} == {"A", "B"}
    assert len({of(f"2001:db8:1:2::{i}", **buyer(i)) for i in range(10)}) == 1
    assert {of(f"2001:db8:1:{i}::1") for i in range(20)} == {"A", "B"}
    g.write_config({"splits": {"shop": {"by": "header:X-Device"}}})
    g.ctl("reload")
    assert {of("192.0.2.1", **{"X-Device": str(i)}) for i in range(20)} == {"A", "B"}
    assert len({of(f"192.0.2.{i}", **{"x-device": "phone"}) for i in range(10)}) == 1
    assert {of(f"192.0.2.{i}") for i in range(20)} == {"A", "B"}


def test_arm_answers_by_itself(start):
    g = start({"arms": {"A": {"weight": 0},
                        "B": {"weight": 1, "respond": {"status": 503, "body": "later\n"}}}})
    answer = ask(g)
    assert (answer.status, answer.body) == (503, b"later\n")
    # And the other way round: the route answers, the arm asks the service.
    g.config["routes"][-1] = {"name": "shop", "match": {"path": "/shop/**"}, "split": "shop",
                              "respond": {"body": "closed\n"}}
    g.config["splits"]["shop"]["arms"] = arms(0, 1)
    g.write_config()
    g.ctl("reload")
    assert arm_of(ask(g)) == "B"
    g.write_config({"splits": {"shop": {"arms": arms(1, 0)}}})
    g.ctl("reload")
    assert ask(g).body == b"closed\n"


def test_figures_and_log(start, services):
    services[1].status = 500
    g = start({"arms": arms(50, 50)})
    found = list(assigned(g, 60).values())
    metrics = wait_for(lambda: (m := g.metrics()) and sum(
        v for n, v in m.items() if n.startswith("rushgate_split_requests_total")) == 60 and m,
        "the counts")
    name = 'rushgate_split_requests_total{split="shop",arm="%s",code="%s"}'
    assert metrics[name % ("A", "2xx")] == found.count("A")
    assert metrics[name % ("B", "5xx")] == found.count("B")
    assert metrics[name % ("B", "2xx")] == 0
    assert metrics['rushgate_split_weight{split="shop",arm="B"}'] == 50
    assert metrics['rushgate_split_request_duration_seconds_count{split="shop",arm="A"}'] == \
        found.count("A")
    got = rows(g)
    assert list(got) == ["A", "B"]
    a, b = got["A"], got["B"]
    assert (a["weight"], a["share"], a["requests"], a["responses_5xx"]) == \
        (50, 0.5, found.count("A"), 0)
    assert (b["requests"], b["responses_5xx"], b["upstream"], b["forced"]) == \
        (found.count("B"), found.count("B"), "new", 0)
    assert a["latency_p50_s"] > 0 and a["latency_p99_s"] >= a["latency_p50_s"]
    assert a["errors_verdict"] == a["latency_verdict"] == "baseline"
    assert b["errors_verdict"] == "more (p<0.0001)" and b["errors_effect"] == 1

    def logged():
        with open(g.path("log", "access.log")) as f:
            return [json.loads(line) for line in f]
    wait_for(lambda: len(logged()) >= 60, "the access log")
    assert [r["arm"] for r in logged()].count("shop/B") == found.count("B")
    assert g.client.get("/hello").status == 200
    wait_for(lambda: logged()[-1]["route"] == "hello", "the access log")
    assert logged()[-1]["arm"] == ""


def test_verdict_on_latency(start, services):
    services[1].delay = 0.02
    g = start()
    assigned(g, 100)
    wait_for(lambda: sum(r["requests"] for r in rows(g).values()) == 100, "the counts")
    b = rows(g)["B"]
    assert b["errors_verdict"] == "too few" and b["errors_p"] is None
    assert b["latency_verdict"] == "slower (p<0.0001)" and b["latency_effect"] > 0.3
    text = g.ctl("show", "split").stdout
    assert "baseline" in text and "slower (p<0.0001)" in text


def test_show_split_by_name(start):
    g = start()
    assert g.ctl_json("show", "split", "shop")["data"]
    g.config["splits"]["other"] = {"arms": {"C": {"weight": 1}}}
    g.write_config()
    g.ctl("reload")
    assert list(rows(g)) == ["A", "B", "C"]
    assert list(rows(g, "other")) == ["C"]
    done = g.ctl("show", "split", "nope", check=7)
    assert "nope" in done.stderr


def test_counters_survive_reload_and_kill(start):
    g = start()
    assigned(g, 40)
    wait_for(lambda: sum(r["requests"] for r in rows(g).values()) == 40, "the counts")
    g.write_config({"splits": {"shop": {"arms": {"C": {"weight": 1}}}}})
    g.ctl("reload")
    g.kill_and_wait("worker")
    g.errors_expected = True
    got = rows(g)
    assert sum(r["requests"] for r in got.values()) == 40 and got["C"]["requests"] == 0


def test_refused_requests_are_not_the_arms(start):
    g = start(None, limits={"few": {"key": "constant", "rate": "1/h", "burst": 3}})
    g.config["routes"][-1]["limits"] = ["few"]
    g.write_config()
    g.ctl("reload")
    assert [ask(g, buyer(i)).status for i in range(5)] == [200, 200, 200, 429, 429]
    wait_for(lambda: sum(r["requests"] for r in rows(g).values()) == 3, "the counts")
    assert all(r["responses_4xx"] == 0 for r in rows(g).values())


def test_limits_of_calls_are_those_of_the_arms_upstream(start, services):
    g = start({"arms": arms(0, 1)})
    g.write_config({"upstreams": {"new": {"concurrency": {"mode": "fixed", "max": 1}}}})
    g.ctl("reload")
    services[1].delay, statuses = 0.5, []
    threads = [threading.Thread(target=lambda: statuses.append(ask(g).status)) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert statuses.count(200) in (1, 2) and set(statuses) == {200, 503}, statuses
    wait_for(lambda: rows(g)["B"]["requests"] == 8, "the counts")
    assert rows(g)["B"]["responses_5xx"] == statuses.count(503)
    limits = {r["limit_of"]: r for r in g.ctl_json("show", "concurrency")["data"]}
    assert list(limits) == ["upstream/new"]


def test_bad_split_changes_nothing(start):
    g = start()
    before = assigned(g, 30)
    g.write_config({"splits": {"shop": {"arms": arms(0, 0)}}})
    done = g.ctl("reload", check=None)
    assert done.returncode == 5 and "the weights of all arms are 0" in done.stdout + done.stderr
    assert assigned(g, 30) == before
    g.errors_expected = True


# ---- split set ----

def test_set_weights(start):
    g = start({"arms": arms(90, 10)})
    before = assigned(g)
    document = g.ctl_json("split", "set", "shop", "B=30", "--for", "10m", "--reason", "more of B")
    assert document["data"]["moved_share"] == 0.15
    row, = document["data"]["changes"]
    assert (row["setting"], row["old"], row["new"]) == ("splits.shop.arms.B.weight", "10", "30")
    after = assigned(g)
    moved = {i for i in after if after[i] != before[i]}
    assert moved and {after[i] for i in moved} == {"B"}
    assert rows(g)["B"]["weight"] == 30 and rows(g)["B"]["share"] == 0.25
    text = g.ctl("split", "set", "shop", "A=9", "B=1").stdout
    assert "moves      15.0 %" in text
    assert assigned(g) == before
    g.ctl("changes", "revert", "--all")
    assert rows(g)["A"]["weight"] == 90
    assert assigned(g) == before


def test_set_weights_by_route(start):
    g = start({"arms": arms(1, 0)})
    g.config["splits"] = {"a.b": {"arms": arms(1, 0)}}
    g.config["routes"][-1]["split"] = "a.b"
    g.write_config()
    g.ctl("reload")
    assert arm_of(ask(g)) == "A"
    g.ctl("split", "set", "shop", "A=0", "B=1")
    assert arm_of(ask(g)) == "B"
    assert rows(g, "shop")["B"]["share"] == 1


@pytest.mark.parametrize("words, code, said", [
    (["shop"], 2, "ARM=WEIGHT"), (["shop", "B"], 2, '"B" is not ARM=WEIGHT'),
    (["shop", "B=1", "B=2"], 2, 'arm "B" is named twice'),
    (["shop", "C=1"], 7, 'split "shop" has no arm "C"'),
    (["shop", "=1"], 7, 'split "shop" has no arm ""'),
    (["shup", "B=1"], 7, 'no split and no route with one is called "shup"'),
    (["shop", "B=ten"], 5, '"ten" is not a whole number'),
    (["shop", "B=-1"], 5, '"-1" is not a whole number'),
    (["shop", "B=9999999"], 5, "must be between 0 and 1000000"),
    (["shop", "A=0", "B=0"], 5, "the weights of all arms are 0"),
    (["shop", "B=1", "--for", "0s"], 2, "no time")])
def test_bad_weights_change_nothing(start, words, code, said):
    g = start()
    done = g.ctl("split", "set", *words, check=code)
    assert said in done.stdout + done.stderr
    assert [r["weight"] for r in rows(g).values()] == [50, 50]
    assert g.ctl_json("changes")["data"] == []


# ---- gRPC ----

def test_rpc_arms(make_gateway):
    """Two gRPC services; the arm's name travels as metadata, methods may have another split."""
    grpc = pytest.importorskip("grpc")
    futures = pytest.importorskip("concurrent.futures")
    calls = []

    def serve(name):
        def handle(_, context):
            calls.append((name, dict(context.invocation_metadata()).get("x-test-group")))
            return b""
        server = grpc.server(futures.ThreadPoolExecutor(4))
        handlers = {m: grpc.unary_unary_rpc_method_handler(handle)
                    for m in ("GetAvailability", "GetOrder", "CreateOrder")}
        server.add_generic_rpc_handlers([
            grpc.method_handlers_generic_handler("rushgate.boxoffice.v1.BoxOffice", handlers)])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        return server, port
    servers = {name: serve(name) for name in ("old", "new")}
    config = base_config()
    del config["boxoffice"]
    config["upstreams"] = {name: {"protocol": "grpc", "health": {"interval": "0s"},
                                  "endpoints": [f"127.0.0.1:{port}"]}
                           for name, (_, port) in servers.items()}
    config["splits"] = {"shop": {"arms": arms(50, 50)}, "all": {"arms": {"X": {"weight": 1}}}}
    config["routes"][0].update(upstream="old", split="shop",
                               methods={"GetOrder": {"split": ""}, "CreateOrder": {"split": "all"}})
    g = make_gateway(base=config).start()
    for i in range(30):
        assert g.client.get("/api/v1/events/e/items/i/availability",
                            buyer(i, **{"X-Test-Group": "Z"})).status == 200
    assert set(calls) == {("old", "A"), ("new", "B")}
    del calls[:]
    assert g.client.get("/api/v1/events/e/orders/c", {"X-Test-Group": "B"}).status == 200
    assert g.client.post("/api/v1/events/e/orders", {"item": "i"}).status in (200, 201)
    assert calls == [("old", None), ("old", "X")]
    for server, _ in servers.values():
        server.stop(0)
