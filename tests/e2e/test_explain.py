# SPDX-License-Identifier: BSD-2-Clause
"""rushctl explain: says what a request then meets, and takes nothing."""

import json
import re
import socket
import threading
import time

import pytest

from gateway import SHORT, base_config, wait_for

SLOW = "1/h"  # nothing flows back during a test


def service():
    """A port on which nobody answers: a call to it is a call, whatever becomes of it."""
    s = socket.create_server(("127.0.0.1", 0), backlog=64)
    return s, s.getsockname()[1]


@pytest.fixture(scope="module")
def silent():
    s, port = service()
    yield port
    s.close()


def config_with(port):
    config = base_config()
    config["limits"] = {
        "per_buyer": {"key": "identity", "rate": "3/h"},
        "per_client": {"key": "client_ip", "rate": "5/h"},
        "watched": {"key": "client_ip", "rate": "1/h", "mode": "shadow"},
        "common": {"key": "constant", "rate": "100000/h"},
    }
    config["splits"] = {
        "page": {"by": "identity", "arms": {
            "A": {"weight": 50}, "B": {"weight": 50, "respond": {"status": 203, "body": "b"}}}},
        "look": {"by": "cookie:seen", "answer": True, "arms": {
            "A": {"weight": 90}, "B": {"weight": 10, "respond": {"status": 203, "body": "b"}}}},
    }
    config["upstreams"]["web"] = {"protocol": "http", "health": {"interval": "0s"},
                                  "endpoints": [f"127.0.0.1:{port}"]}

    def page(name, **more):
        return {"name": name, "match": {"method": "GET", "path": f"/{name}"},
                "respond": {"status": 200, "type": "text/plain", "body": name}, **more}
    config["routes"] += [
        page("limited", limits=["per_buyer", "per_client", "watched"]),
        page("busy", limits=["common"]),
        page("inside", allow=["10.0.0.0/8"]),
        page("known", identity="required"),
        page("arms", split="page"),
        page("cookie", split="look"),
        {"name": "tickets", "match": {"method": ["GET", "HEAD"], "path": "/shops/{shop}/tickets/{id}",
                                      "host": "shop.example"},
         "respond": {"status": 204}},
        {"name": "web", "match": {"path": "/web/**"}, "upstream": "web", "deadline": "10s",
         "max_body": 100},
    ]
    return config


@pytest.fixture
def gateway(make_gateway, silent):
    return make_gateway(base=config_with(silent)).start()


class Control:
    """The control socket by itself, for many questions."""

    def __init__(self, gateway):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(30)
        self.socket.connect(gateway.path("run", "rushgate.sock"))
        self.file = self.socket.makefile("rw")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.socket.close()

    def explain(self, method, url, headers=(), **flags):
        flags["header"] = [f"{n}: {v}" for n, v in headers]
        if not flags["header"]:
            del flags["header"]
        self.file.write(json.dumps({"v": 1, "argv": ["explain", method, url], "flags": flags}) + "\n")
        self.file.flush()
        answer = json.loads(self.file.readline())
        return answer.get("data") or answer["error"]


def explain(gateway, *words):
    return gateway.ctl_json("explain", *words)["data"]


def steps(data, name):
    return [s for s in data["steps"] if s["step"] == name]


def flags_of(headers):
    return [w for n, v in headers for w in ("-H", f"{n}: {v}")]


BUYER = ("X-User-Id", "ann")
FAR = ("X-Forwarded-For", "203.0.113.9")
KEY = ("Idempotency-Key", "k1")

# What is answered without a service: (method, URL, headers, status, reason)
TABLE = [
    ("GET", "/hello", [], 200, None),
    ("HEAD", "/hello", [], 200, None),
    ("GET", "/hello?a=%20&b", [], 200, None),
    ("POST", "/hello", [], 405, "method-not-allowed"),
    ("OPTIONS", "/hello", [], 204, None),
    ("OPTIONS", "*", [], 204, None),
    ("GET", "/nothing", [], 404, "no-route"),
    ("GET", "/hello/", [], 404, "no-route"),
    ("GET", "/shops/3/tickets/7", [], 404, "no-route"),
    ("GET", "/shops/3/tickets/7", [("Host", "shop.example")], 204, None),
    ("GET", "/shops/3/tickets/7", [("Host", "SHOP.example:81")], 204, None),
    ("DELETE", "/shops/3/tickets/7", [("Host", "shop.example")], 405, "method-not-allowed"),
    ("GET", "/%68ello", [], 200, None),
    ("GET", "/a/../hello", [], 400, "bad-path"),
    ("GET", "/a b", [], 400, "bad-request-line"),
    ("BREW", "/hello", [], 501, "unknown-method"),
    ("GET", "/hello", [("Host", "a/b")], 400, "bad-host"),
    ("GET", "/hello", [("Bad name", "1")], 400, "bad-header"),
    ("GET", "/hello", [(f"X-{i}", "1") for i in range(60)], 200, None),
    ("GET", "/" + "x" * 20000, [], 414, "uri-too-long"),
    ("GET", "/inside", [], 403, "forbidden"),
    ("GET", "/inside", [("X-Forwarded-For", "10.1.2.3")], 200, None),
    ("GET", "/inside", [("X-Forwarded-For", "10.1.2.3"), ("X-Forwarded-For", "198.51.100.1")],
     403, "forbidden"),
    ("GET", "/inside", [("X-Forwarded-For", "nobody")], 403, "forbidden"),
    ("GET", "/known", [], 401, "identity-required"),
    ("GET", "/known", [BUYER], 200, None),
    ("GET", "/known", [BUYER, FAR], 200, None),
    ("GET", "/known", [BUYER, BUYER], 400, "identity-invalid"),
    ("GET", "/known", [("X-User-Id", "a b")], 400, "identity-invalid"),
    ("POST", "/api/v1/events/demo/orders", [], 401, "identity-required"),
    ("POST", "/api/v1/events/demo/orders", [BUYER], 400, "idempotency-key-missing"),
    ("POST", "/api/v1/events/demo/orders", [BUYER, KEY, KEY], 400, "idempotency-key-invalid"),
    ("POST", "/api/v1/events/demo/orders", [BUYER, ("Idempotency-Key", "")],
     400, "idempotency-key-invalid"),
    ("GET", "/api/v1/events/demo?nonsense=1", [], 400, "invalid-request"),
]


def head_of(method, url, headers):
    lines = [f"{method} {url} HTTP/1.1"] + [f"{n}: {v}" for n, v in headers]
    if not any(n.lower() == "host" for n, _ in headers):
        lines.append("Host: localhost")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def meets(gateway, method, url, headers):
    with gateway.client.connect() as c:
        c.send(head_of(method, url, headers))
        return c.response(method)


def told(data):
    """Header lines of the answer, but for what changes with time."""
    return sorted(line for line in data["answer"]["headers"])


def own_lines(answer):
    """What the answer has of the lines that the gate writes."""
    ours = re.compile(r"(?i)x-rushgate-reason|allow|retry-after|ratelimit.*|x-test-group")
    return sorted(f"{n}: {v}" for n, v in answer.fields if ours.fullmatch(n))


def test_says_what_is_met(gateway):
    with Control(gateway) as control:
        for method, url, headers, status, reason in TABLE:
            case = (method, url[:60], headers[:3])
            data = control.explain(method, url, headers)
            answer = meets(gateway, method, url, headers)
            decision = data["decision"]
            assert decision["certain"], case
            assert decision["status"] == answer.status == status, (case, data, answer)
            assert decision["reason"] == reason, (case, data)
            assert decision["outcome"] == ("refused" if reason else "answered"), case
            if answer.reason is not None:
                assert answer.reason == reason, case
                assert told(data) == own_lines(answer), case
            if method != "HEAD":
                assert data["answer"]["body"] == answer.body.decode(), case
            assert data["answer"]["content_type"] == answer.header("Content-Type", ""), case


def test_goes_to_the_service(gateway):
    text = gateway.ctl("explain", "POST", "/api/v1/events/demo/orders", "--identity", "ann",
                       "-H", "Idempotency-Key: k1", "--data", '{"item":"standard","quantity":1}')
    assert text.stdout.splitlines()[-1] == \
        "decision     goes to upstream boxoffice (grpc) rushgate.boxoffice.v1.BoxOffice/CreateOrder"
    data = explain(gateway, "GET", "/api/v1/events/demo")
    assert steps(data, "route")[0]["variables"] == {"event": "demo"}
    up = steps(data, "upstream")[0]
    assert (up["upstream"], up["protocol"], up["deadline_s"]) == ("boxoffice", "grpc", 5)
    assert [e["up"] for e in up["endpoints"]] == [True]
    assert data["decision"]["outcome"] == "upstream"
    assert data["answer"] is None
    data = explain(gateway, "GET", "/web/a?b")
    assert data["decision"]["text"] == "goes to upstream web (http)"
    # Nobody was called.
    assert gateway.metrics()["rushgate_upstream_calls_total"] == 0


def test_a_body_is_looked_at_where_it_is_given(gateway):
    order = ("POST", "/api/v1/events/demo/orders", "--identity", "ann", "-H", "Idempotency-Key: k1")
    decision = explain(gateway, *order)["decision"]
    assert (decision["outcome"], decision["certain"]) == ("upstream", False)
    decision = explain(gateway, *order, "--data", '{"itm":1}')["decision"]
    assert (decision["status"], decision["reason"]) == (400, "invalid-request")
    assert "itm" in decision["detail"]
    decision = explain(gateway, *order, "--data", "a=1", "-H", "Content-Type: text/plain")["decision"]
    assert decision["reason"] == "unsupported-media-type"
    decision = explain(gateway, "POST", "/web/x", "--data", "x" * 101)["decision"]
    assert (decision["status"], decision["reason"]) == (413, "body-too-large")
    decision = explain(gateway, "POST", "/web/x", "-H", "Content-Length: 101")["decision"]
    assert decision["reason"] == "body-too-large"
    assert gateway.client.request("POST", "/web/x", b"x" * 101).status == 413


def test_limits_and_no_tokens_taken(gateway):
    headers = [BUYER, FAR]
    with Control(gateway) as control:
        for left in (3, 2, 1, 0):
            for _ in range(100 if SHORT else 1000):
                data = control.explain("GET", "/limited", headers)
            seen = {s["limit"]: s for s in steps(data, "limit")}
            assert seen["per_buyer"]["left"] == left
            assert seen["per_buyer"]["key"] == "identity:ann"
            assert seen["per_client"]["left"] == left + 2
            assert seen["per_client"]["key"] == "203.0.113.9"
            answer = meets(gateway, "GET", "/limited", headers)
            assert answer.status == data["decision"]["status"] == (200 if left else 429)
            told_left = [h for h in data["answer"]["headers"] if h.startswith("RateLimit:")][0]
            assert re.findall(r"r=(\d+)", told_left) == \
                re.findall(r"r=(\d+)", answer.header("RateLimit"))
            assert set(seen) == ({"per_buyer", "per_client", "watched"} if left else
                                 {"per_buyer", "per_client"})
        assert abs(int(answer.header("Retry-After")) - data["decision"]["retry_after_s"]) <= 1
        assert data["decision"]["text"].startswith("429 rate-limited by per_buyer, again in ")
        # Another buyer of the address has what the address has left, the same from elsewhere nothing.
        data = control.explain("GET", "/limited", [("X-User-Id", "bob"), FAR])
        assert {s["limit"]: s["left"] for s in steps(data, "limit")} == \
            {"per_buyer": 3, "per_client": 2, "watched": 0}
        assert data["decision"]["status"] == 200
        assert control.explain("GET", "/limited", [BUYER])["decision"]["status"] == 429
    figures = {r["limit"]: r for r in gateway.ctl_json("show", "limits")["data"]}
    assert (figures["per_buyer"]["allowed"], figures["per_buyer"]["denied"]) == (3, 1)
    assert gateway.ctl_json("show", "routes")["data"] and \
        {r["route"]: r["requests"] for r in gateway.ctl_json("show", "routes")["data"]}["limited"] == 4


def test_client_and_identity_stand_for_a_proxy(gateway):
    """--client and --identity say the same as the headers of a proxy that is trusted."""
    by_headers = explain(gateway, "GET", "/limited", *flags_of([BUYER, FAR]))
    by_flags = explain(gateway, "GET", "/limited", "--client", FAR[1], "--identity", BUYER[1])
    assert steps(by_flags, "limit") == steps(by_headers, "limit")
    assert steps(by_flags, "client")[0]["client"] == FAR[1]
    # A stranger's header is not believed.
    data = explain(gateway, "GET", "/known", "--client", FAR[1], *flags_of([BUYER]))
    assert data["decision"]["reason"] == "identity-required"
    assert "believed only from trusted proxies" in data["decision"]["detail"]
    data = explain(gateway, "GET", "/inside", "--client", "10.9.9.9")
    assert data["decision"]["status"] == 200
    data = explain(gateway, "GET", "/inside", "--client", "2001:db8::1")
    assert data["decision"]["status"] == 403


def test_arms(gateway):
    seen = set()
    with Control(gateway) as control:
        for i in range(40):
            headers = [("X-User-Id", f"buyer-{i}")]
            data = control.explain("GET", "/arms", headers)
            answer = meets(gateway, "GET", "/arms", headers)
            assert data["decision"]["status"] == answer.status
            seen.add(steps(data, "split")[0]["arm"])
        assert seen == {"A", "B"}
        data = control.explain("GET", "/arms", [BUYER, ("X-Test-Group", "B")])
        assert steps(data, "split")[0]["forced"] and data["decision"]["status"] == 203
        for i in range(20):
            headers = [("Cookie", f"seen=00112233445566{i:02x}")]
            data = control.explain("GET", "/cookie", headers)
            answer = meets(gateway, "GET", "/cookie", headers)
            assert data["decision"]["status"] == answer.status
            assert told(data) == own_lines(answer)
        # Without a cookie nobody knows yet.
        data = control.explain("GET", "/cookie")
        split = steps(data, "split")[0]
        assert (split["arm"], split["certain"], split["share"]) == ("A", False, 0.9)
        assert not data["decision"]["certain"]
    rows = {(r["split"], r["arm"]): r for r in gateway.ctl_json("show", "split")["data"]}
    assert sum(r["requests"] for (split, _), r in rows.items() if split == "page") == 40


def test_bans(gateway):
    gateway.ctl("ban", "add", "203.0.113.0/24", "--reason", "scraper", "--for", "1h")
    gateway.ctl("ban", "add", "identity:eve")
    for headers, part in (([FAR], "203.0.113.0/24, until "), ([("X-User-Id", "eve")], "identity:eve")):
        data = explain(gateway, "GET", "/hello", *flags_of(headers))
        assert meets(gateway, "GET", "/hello", headers).status == 403
        assert (data["decision"]["status"], data["decision"]["reason"]) == (403, "banned")
        assert part in steps(data, "ban")[0]["ban"]
    assert steps(explain(gateway, "GET", "/hello", *flags_of([FAR])), "ban")[0]["ban"].endswith("scraper")
    # Two real requests, three explanations.
    wait_for(lambda: sum(r["hits"] for r in gateway.ctl_json("show", "bans")["data"]) == 2, "hits")


def test_nearest_routes(gateway):
    for url, nearest in (("/helo", "hello"), ("/shops/3/tickets/7", "tickets"),
                         ("/shop/3/tickets/7", "tickets"), ("/api/v1/event/demo", "boxoffice.GetEvent")):
        assert steps(explain(gateway, "GET", url), "route")[0]["nearest"] == nearest, url
    assert "nearest" not in steps(explain(gateway, "GET", "/quite/another/thing"), "route")[0]
    text = gateway.ctl("explain", "POST", "/hello").stdout
    assert "405 method-not-allowed, this path takes GET, HEAD, OPTIONS" in text


def test_places_of_concurrency_limits(make_gateway, silent):
    config = config_with(silent)
    config["workers"] = 1
    config["upstreams"]["web"]["concurrency"] = {"mode": "fixed", "max": 2}
    gateway = make_gateway(base=config).start()
    held = []
    for want in (0, 1, 2):
        wait_for(lambda: want == 0 or steps(explain(gateway, "GET", "/web/x"), "concurrency")[0]
                 ["in_flight"] == want, f"{want} calls")
        data = explain(gateway, "GET", "/web/x")
        assert data["decision"]["outcome"] == ("upstream" if want < 2 else "refused")
        if want < 2:
            c = gateway.client.connect()
            c.send(b"GET /web/held HTTP/1.1\r\nHost: h\r\n\r\n")
            held.append(c)
    assert (data["decision"]["status"], data["decision"]["reason"]) == (503, "overloaded")
    assert gateway.client.get("/web/x").status == 503
    for c in held:
        c.close()


def test_an_upstream_without_endpoints(make_gateway):
    """Health says that none is up: so does explain, and so does the answer."""
    port = service()[1]  # closed at once
    config = config_with(port)
    config["upstreams"]["web"]["health"] = {"interval": "100ms", "fall": 1, "path": "/h"}
    gateway = make_gateway(base=config).start()
    wait_for(lambda: explain(gateway, "GET", "/web/x")["decision"]["status"] == 503, "the check to fail")
    assert "web (http), 0 of 1 endpoint up" in gateway.ctl("explain", "GET", "/web/x").stdout
    answer = gateway.client.get("/web/x")
    assert (answer.status, answer.reason) == (503, "upstream-unavailable")


def test_a_limit_that_hosts_share(make_gateway, silent):
    """Its buckets of this host are known, what Redis counts is not."""
    config = config_with(silent)
    config["redis"] = {"servers": [f"127.0.0.1:{silent}"]}
    config["limits"]["per_buyer"]["shared"] = True
    gateway = make_gateway(base=config).start()
    for status in (200, 200, 200, 429):
        data = explain(gateway, "GET", "/limited", "--identity", "ann")
        assert data["decision"]["status"] == status
        assert not data["decision"]["certain"] and "Redis" in data["decision"]["text"]
        assert steps(data, "limit")[0]["shared"]
        assert meets(gateway, "GET", "/limited", [BUYER]).status == status
    assert explain(gateway, "GET", "/busy")["decision"]["certain"]


def test_generations(gateway):
    config = dict(gateway.config, limits=dict(gateway.config["limits"],
                                              per_buyer={"key": "identity", "rate": "1/h"}))
    assert [meets(gateway, "GET", "/limited", [BUYER]).status for _ in range(2)] == [200, 200]
    gateway.write_config(config)
    gateway.ctl("reload")
    asked = ("GET", "/limited", "--identity", "ann")
    now = explain(gateway, *asked)
    assert (now["generation"], now["decision"]["status"]) == (2, 429)
    before = explain(gateway, *asked, "--generation", "1")
    assert (before["generation"], before["decision"]["status"]) == (1, 200)
    assert steps(before, "limit")[0]["left"] == 1
    assert explain(gateway, *asked, "--generation", "stable")["generation"] == 2
    # Looked at under the smaller limit, nothing was forgiven.
    gateway.ctl("config", "rollback")
    assert [meets(gateway, "GET", "/limited", [BUYER]).status for _ in range(2)] == [200, 429]
    error = gateway.ctl("explain", *asked, "--generation", "77", check=7).stderr
    assert "generation 77 is not kept" in error


def test_canary(gateway):
    """Which side a buyer is on; each side by name, whoever asks."""
    config = json.loads(json.dumps(gateway.config))
    for route in config["routes"]:
        if route["name"] == "hello":
            route["respond"]["body"] = "new\n"
    gateway.write_config(config)
    assert "there is no canary" in \
        gateway.ctl("explain", "GET", "/hello", "--generation", "canary", check=7).stderr
    gateway.ctl("reload", "--canary", "30%")
    sides = set()
    with Control(gateway) as control:
        for i in range(60):
            headers = [("X-User-Id", f"buyer-{i}")]
            data = control.explain("GET", "/hello", headers)
            assert data["answer"]["body"] == meets(gateway, "GET", "/hello", headers).body.decode()
            sides.add((data["generation"], steps(data, "config")[0]["which"]))
            for side, body in (("canary", "new\n"), ("stable", "hello\n"), ("2", "new\n")):
                data = control.explain("GET", "/hello", headers, generation=side)
                assert data["answer"]["body"] == body
    assert sides == {(1, "current"), (2, "canary")}


@pytest.mark.parametrize("words, says", [
    (["GET"], "an argument is missing"),
    (["GET", "/x", "/y"], "too many arguments"),
    (["GET", "x"], '"x" is no URL: /PATH or http://HOST/PATH is wanted'),
    (["GET", "ftp://h/x"], "is no URL"),
    (["GET", ""], "is no URL"),
    (["", "/x"], '"" is no method'),
    (["GET /y", "/x"], '"GET /y" is no method'),
    (["GET", "/x\r\nA: b"], "the URL holds a control character"),
    (["GET\r\n", "/x"], "the method holds a control character"),
    (["GET", "/x", "-H", "no header"], "is no header: NAME: VALUE is wanted"),
    (["GET", "/x", "-H", ": v"], "is no header"),
    (["GET", "/x", "-H", "A: b\r\nC: d"], "a header holds a control character"),
    (["GET", "/x", "-H"], "-H needs a value"),
    (["GET", "/x", *["-H", "A: b"] * 65], "--header may be given 64 times"),
    (["GET", "/x", "--client", "host.example"], '"host.example" is no address'),
    (["GET", "/x", "--client", ""], '"" is no address'),
    (["GET", "/x", "--identity", ""], "the identity is empty"),
    (["GET", "/x", "--identity", "a\nb"], "the identity holds a control character"),
    (["GET", "/x", "--generation", "last"], '"last" is no generation'),
    (["GET", "/x", "--wait", "1s"], "explain takes no --wait"),
])
def test_bad_input(shared, words, says):
    assert says in shared.ctl("explain", *words, check=2).stderr


def test_no_identity_without_trusted_proxies(make_gateway):
    config = base_config()
    del config["trusted_proxies"]
    gateway = make_gateway(base=config).start()
    error = gateway.ctl("explain", "GET", "/hello", "--identity", "ann", check=2).stderr
    assert "trusted_proxies is empty" in error


def test_while_requests_come_in(gateway):
    """Explanations beside requests that use up the limit: every token is taken by one of those."""
    end, admitted = threading.Event(), []

    def ask():
        with gateway.client.connect() as c:
            while not end.is_set():
                admitted.append(c.request("GET", "/busy").status)
    threads = [threading.Thread(target=ask) for _ in range(2)]
    for t in threads:
        t.start()
    until = time.monotonic() + 2
    with Control(gateway) as control:
        while time.monotonic() < until:
            assert control.explain("GET", "/busy")["decision"]["status"] == 200
    end.set()
    for t in threads:
        t.join()
    with Control(gateway) as control:
        step = steps(control.explain("GET", "/busy"), "limit")[0]
    # Leases hold some, and each hour brings 100,000 back.
    assert step["left"] + step["leased"] <= 100000 - len(admitted) + 2000
    rows = {r["limit"]: r for r in gateway.ctl_json("show", "limits")["data"]}
    assert rows["common"]["allowed"] == admitted.count(200)


def test_a_sentence_that_goes_on_has_one_end(make_gateway):
    """No endpoint is up: nobody says it with a full stop in the middle."""
    gateway = make_gateway().start()
    gateway.write_config({"upstreams": {"boxoffice": {"endpoints": ["unix:run/nobody.sock"]}}})
    gateway.ctl("reload")
    gateway.errors_expected = True
    wait_for(lambda: "down" in gateway.ctl("show", "upstreams").stdout, "the health check")
    text = gateway.ctl("explain", "GET", "/api/v1/events/demo").stdout
    assert "No endpoint is up" in text and "up.," not in text, text
