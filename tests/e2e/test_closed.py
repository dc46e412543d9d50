# SPDX-License-Identifier: BSD-2-Clause
"""What a service refuses everybody for a moment is refused without asking it: the same answer, in all
workers; never to a buyer whose key was sent before, never for a request that says something else."""

import concurrent.futures
import json
import threading
import time
import uuid

import pytest

from gateway import base_config, free_port, wait_for

REMEMBER_S = 6
TTL_S = 1.0  # of the box office's hints
ORDERS = "/api/v1/events/demo/orders"


def config(remember=f"{REMEMBER_S}s"):
    c = base_config()
    c["idempotency"] = {"remember": remember}
    c["routes"][0]["methods"]["CreateOrder"]["closed_by"] = ["event", "item", "quantity"]
    return c


@pytest.fixture
def g(make_gateway):
    g = make_gateway(base=config("1s")).start()
    time.sleep(1.1)  # until what is not remembered was not sent
    return g


@pytest.fixture
def patient(make_gateway):
    """Remembers keys for longer than a test takes."""
    g = make_gateway(base=config()).start()
    time.sleep(REMEMBER_S + 0.1)
    return g


def counted(g, name):
    return g.metrics().get(name, 0)


def refused(g):
    return counted(g, 'rushgate_closed_requests_total{outcome="refused"}')


def calls(g):
    return counted(g, "rushgate_upstream_calls_total")


def post(g, body, key=None, path=ORDERS, **headers):
    names = {"X-User-Id": "eve", "Idempotency-Key": key or uuid.uuid4().hex,
             "Content-Type": "application/json", **headers}
    return g.client.post(path, body, names)


def closed(g):
    """A refusal without a call: the first hears it from the service and the next from memory."""
    def once():
        g.buy("late")
        before = calls(g)
        answer = g.buy("later")
        return answer.status >= 400 and calls(g) == before and answer
    return wait_for(once, "a refusal without a call")


def sold_out(g, quota=1):
    g.create_event(quota=quota)
    assert g.buy("first", "first", quota).status == 201
    return closed(g)


def public(answer):
    """Without what differs between two requests."""
    return (answer.status, answer.json(), answer.reason, answer.header("Retry-After"),
            answer.header("Content-Type"), sorted(n.lower() for n, _ in answer.fields))


def test_same_answer_without_a_call(g):
    g.create_event(quota=1)
    g.buy("first")
    asked = g.buy("second")
    wait_for(lambda: refused(g) > 0 or not g.buy("next").status, "the first refusal from memory")
    before, had = calls(g), refused(g)
    answers = [g.buy(f"buyer{i}") for i in range(20)]
    assert refused(g) - had >= 20 - (calls(g) - before)
    assert {a.status for a in answers} == {409}
    assert all(public(a) == public(asked) for a in answers)
    assert asked.reason == "sold-out" and asked.json()["available_number"] == 0


def test_all_workers_and_those_that_come(g):
    sold_out(g)
    g.errors_expected = True
    for index in range(2):
        g.kill_and_wait("worker", index)
        closed(g)
    workers = {json.dumps(w) for w in g.ctl_json("show", "workers")["data"]}
    assert workers
    # Both have refused: enough connections reach each.
    had, before = refused(g), calls(g)
    for i in range(60):
        assert g.buy(f"w{i}").status == 409
    assert (calls(g) - before) + (refused(g) - had) == 60
    assert refused(g) - had > 40


def test_retry_of_the_last_ticket(patient):
    """Bought the last one and lost the answer: the retry gets the order, whoever was killed meanwhile."""
    g = patient
    g.create_event(quota=1)
    first = g.buy("ann", "ann-1")
    assert first.status == 201
    code = first.json()["code"]
    closed(g)

    def again():
        answer = g.buy("ann", "ann-1")
        assert answer.status == 201, answer
        assert answer.json()["code"] == code
        assert answer.header("Idempotency-Replayed") == "true"
        return answer

    again()
    closed(g)
    again()
    g.errors_expected = True
    g.kill_and_wait("worker")
    again()
    g.ctl("reload")
    again()
    closed(g)
    again()
    assert counted(g, 'rushgate_closed_requests_total{outcome="passed"}') > 0


def test_retry_after_an_upgrade(patient):
    g = patient
    g.create_event(quota=1)
    code = g.buy("ann", "ann-1").json()["code"]
    g.upgrade()
    wait_for(g.is_ready, "readiness")
    closed(g)  # at once: the keys were handed over
    answer = g.buy("ann", "ann-1")
    assert (answer.status, answer.json()["code"]) == (201, code)


def test_retries_of_a_crowd(patient):
    """Every winner asks again while everybody else is being refused from memory."""
    g = patient
    g.create_event(quota=40)
    winners, losers = {}, []

    def buyer(i):
        for _ in range(3):
            key = f"crowd-{i}"
            answer = g.buy(f"b{i}", key)
            if answer.status == 201:
                winners.setdefault(key, set()).add(answer.json()["code"])
            elif key in winners:
                losers.append((key, answer.status))

    threads = [threading.Thread(target=buyer, args=(i,)) for i in range(80)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(winners) == 40 and all(len(codes) == 1 for codes in winners.values())
    assert losers == []


def test_nothing_before_enough_is_remembered(make_gateway):
    g = make_gateway(base=config("10m")).start()
    g.create_event(quota=1)
    g.buy("first")
    before = calls(g)
    for i in range(5):
        assert g.buy(f"b{i}").status == 409
    assert calls(g) - before == 5 and refused(g) == 0
    row, = g.ctl_json("show", "closed")["data"]
    assert 500 < row["acts_in_s"] <= 600
    assert (row["key"], row["reason"], row["upstream"]) == ("demo/standard", "sold-out", "boxoffice")


def test_without_the_setting_hints_do_nothing(make_gateway):
    c = config("1s")
    del c["routes"][0]["methods"]["CreateOrder"]["closed_by"]
    g = make_gateway(base=c).start()
    time.sleep(1.1)
    g.create_event(quota=1)
    g.buy("first")
    before = calls(g)
    assert [g.buy(f"b{i}").status for i in range(5)] == [409] * 5
    assert calls(g) - before == 5
    assert g.ctl_json("show", "closed")["data"] == []


def test_a_unit_that_comes_back_is_sold(g):
    g.create_event(quota=1)
    order = g.buy("first").json()
    closed(g)
    answer = g.client.post(f"{ORDERS}/{order['code']}/cancel", {"secret": order["secret"]},
                           {"X-User-Id": "first"})
    assert answer.status == 200
    start = time.monotonic()
    wait_for(lambda: g.buy("second").status == 201, "the unit to be sold again")
    assert time.monotonic() - start < TTL_S + 10  # a loaded machine; that it is sold at all counts
    assert g.buy("third").status == 409
    closed(g)


def test_units_that_expire_are_sold(g):
    g.create_event(quota=3, hold="2s")
    for i in range(3):
        assert g.buy(f"first{i}").status == 201
    closed(g)
    sold = []
    def all_again():
        sold.extend(a for a in [g.buy(f"second{len(sold)}")] if a.status == 201)
        return len(sold) == 3
    wait_for(all_again, "all units to be sold again")
    availability = g.availability()
    assert availability["available_number"] == 0


def test_paused_and_resumed(g):
    g.create_event(quota=10)
    assert g.buy("first").status == 201
    g.ctl("sale", "pause", "demo")
    answer = closed(g)
    assert (answer.status, answer.reason, answer.header("Retry-After")) == (503, "sale-paused", "2")
    g.ctl("sale", "resume", "demo")
    wait_for(lambda: g.buy("second").status == 201, "the sale to go on")


def test_success_opens_at_once(g):
    """Somebody with a known key gets past and succeeds: the others need not wait."""
    g.create_event(quota=10)
    g.ctl("sale", "pause", "demo")
    assert g.buy("ann", "known").status == 503  # sent, so it is known
    closed(g)
    g.ctl("sale", "resume", "demo")
    assert g.buy("ann", "known").status == 201
    assert g.ctl_json("show", "closed")["data"] == []
    assert g.buy("ben").status == 201


def test_only_what_is_the_same(g):
    sold_out(g)
    g.create_event("other", quota=5)
    ask = {"item": "standard", "quantity": 1}
    for body, status in [
        ({**ask, "quantity": 0}, 400), ({**ask, "quantity": 101}, 400), ({**ask, "quantity": -1}, 400),
        ({**ask, "item": "standard2"}, 404), ({**ask, "item": ""}, 400), ({"quantity": 1}, 400),
        ({**ask, "item": ["standard"]}, 400), ({**ask, "item": {"item": "standard"}}, 400),
        ({**ask, "more": 1}, 400), ('{"item":"standard","item":"standard","quantity":1}', 400),
        ('{"item":"standard","quantity":1,"quantity":1}', 400), ('{"item":"standard","quantity":1', 400),
        ('{"item":"standard","quantity":1}x', 400), ("", 400), ("[]", 400), ("null", 400),
        ('{"item":"standard\\u0000","quantity":1}', 404), ('{"item":"' + "s" * 60000 + '"}', 404),
        ({**ask, "item": "STANDARD"}, 404), ({**ask, "event": "other"}, 400),
    ]:
        closed(g)
        before = refused(g)
        answer = post(g, body)
        assert (answer.status != 409 or status == 409), (body, answer)
        assert answer.status in (status, 400, 404), (body, answer)
        assert refused(g) == before, body
    assert post(g, ask, path="/api/v1/events/other/orders").status == 201
    assert post(g, ask, **{"Content-Type": "text/plain"}).status == 415
    # The same in other words is the same.
    for body in ('{"quantity":1,"item":"standard"}', '{"item":"\\u0073tandard","quantity":"1"}',
                 ' { "item" : "standard" , "quantity" : 1.0 } '):
        assert post(g, body).status == 409


def test_who_and_key_come_first(g):
    sold_out(g)
    body = {"item": "standard", "quantity": 1}
    assert g.client.post(ORDERS, body, {"Idempotency-Key": "k"}).status == 401
    assert g.client.post(ORDERS, body, {"X-User-Id": "u"}).status == 400


def test_other_quantities_are_asked_for(g):
    g.create_event(quota=2, limit=0)
    assert g.buy("first").status == 201
    assert g.buy("second", quantity=2).status == 409  # one is left: no hint
    assert g.buy("third").status == 201
    closed(g)


def test_limit_of_the_buyer_is_no_hint(g):
    g.create_event(quota=5, limit=1)
    assert g.buy("ann").status == 201
    assert (g.buy("ann").status, g.buy("ben").status) == (403, 201)
    assert g.ctl_json("show", "closed")["data"] == []


def test_shown(g):
    assert g.ctl_json("show", "closed")["data"] == []
    sold_out(g)
    closed(g)
    row, = g.ctl_json("show", "closed")["data"]
    assert row["left_s"] <= TTL_S
    assert {k: v for k, v in row.items() if k != "left_s"} == {
        "upstream": "boxoffice", "key": "demo/standard", "reason": "sold-out", "status": 409,
        "acts_in_s": 0}

    def logged():
        with open(g.path("log", "access.log")) as f:
            return any('"reason":"sold-out"' in line.replace(" ", "") for line in f)

    wait_for(logged, "the refusal in the access log")


def test_configuration(make_gateway):
    g = make_gateway(base=config())

    def errors(**method):
        c = config()
        c["routes"][0]["methods"]["CreateOrder"].update(method)
        return g.check_config(json.dumps(c))

    assert errors(closed_by=[])[0] == 0
    status, text = errors(closed_by=["event", "itm"])
    assert status != 0
    assert '"itm" is not a field of rushgate.boxoffice.v1.CreateOrderRequest' in text
    assert "at most 8" in errors(closed_by=["event"] * 9)[1]
    c = config()
    c["routes"][1]["closed_by"] = ["event"]
    assert "needs service or rpc" in g.check_config(json.dumps(c))[1]


def test_explained(g):
    sold_out(g)

    def explained(key, body='{"item":"standard","quantity":1}'):
        return json.dumps(g.ctl_json("explain", "POST", ORDERS, "--identity", "zoe", "--header",
                                     f"Idempotency-Key: {key}", "--data", body))

    closed(g)
    document = explained("unknown")
    assert "the service has just refused it to everybody" in document and "sold-out" in document
    for body in ('{"itm":1}', "nojson"):  # nobody was asked about that
        document = explained("unknown", body)
        assert "invalid-request" in document and "the service has just refused it" not in document


# ---- a service of somebody else's ----


class Service:
    """Refuses every order with the metadata and the message that were set last."""

    def __init__(self, grpc):
        self.grpc, self.asked = grpc, 0
        self.metadata, self.message, self.status = [], "no", grpc.StatusCode.FAILED_PRECONDITION
        self.address = f"127.0.0.1:{free_port()}"
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
        handler = grpc.unary_unary_rpc_method_handler(self.answer)
        self.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(
            "rushgate.boxoffice.v1.BoxOffice", {"CreateOrder": handler}),))
        assert self.server.add_insecure_port(self.address)
        self.server.start()

    def answer(self, _request, context):
        self.asked += 1
        context.set_trailing_metadata(self.metadata)
        context.abort(self.status, self.message)


@pytest.fixture
def foreign(make_gateway):
    grpc = pytest.importorskip("grpc")
    service = Service(grpc)
    c = config("1s")
    c["upstreams"]["boxoffice"]["endpoints"] = [service.address]
    c["upstreams"]["boxoffice"]["health"] = {"interval": "0s"}
    c["boxoffice"] = {"mode": "external"}
    g = make_gateway(base=c).start()
    time.sleep(1.1)
    yield g, service
    service.server.stop(0)


def asks(g, service, n=3):
    """How many of n orders reach the service; what the last one got."""
    before = service.asked
    for i in range(n):
        answer = g.buy(f"u{i}")
    return service.asked - before, answer


def test_hints_that_are_none(foreign):
    g, service = foreign
    for hint in ("", "sold-out", "sold-out; key=a", "sold-out; ttl=1000", "; key=a; ttl=1000", "sold-out; key=; ttl=1000",
                 "Sold-Out; key=a; ttl=1000", "sold-out; key=a; ttl=-1", "sold-out; key=a; ttl=1s",
                 "sold-out; key=a; ttl=99999999999999999999999", "sold-out; key=a b; ttl=1000",
                 "sold-out; key=a; key=b; ttl=1000", "sold-out; key=a; ttl=1000; ttl=2000",
                 "sold-out;; key=a; ttl=1000", f"sold-out; key={'k' * 201}; ttl=1000",
                 f"{'w' * 65}; key=a; ttl=1000", "sold-out; key=a; ttl=0"):
        service.metadata = [("rushgate-gate", hint)] if hint else []
        assert asks(g, service)[0] == 3, hint
    assert counted(g, 'rushgate_closed_hints_total{outcome="ignored"}') == 3 * 15
    assert g.ctl_json("show", "closed")["data"] == []


def test_answers_that_are_too_long(foreign):
    g, service = foreign
    service.metadata, service.message = [("rushgate-gate", "full; key=a; ttl=9000")], "x" * 220
    assert asks(g, service)[0] == 3
    assert counted(g, 'rushgate_closed_hints_total{outcome="ignored"}') == 3


def test_a_word_of_its_own(foreign):
    """Any service, any word; unknown parameters; at most ten seconds."""
    g, service = foreign
    service.metadata = [("rushgate-gate", "full ;key=hall/3;  color=red; ttl=86400000"), ("rushgate-reason", "hall-full"),
                        ("rushgate-problem", '{"hall": {"name": "\\u00e9", "free": [0]}}'), ("retry-after", "7")]
    service.message = "come back"
    asked = g.buy("first")
    n, answer = asks(g, service)
    assert n == 0 and public(answer) == public(asked)
    assert (answer.reason, answer.json()["hall"], answer.header("Retry-After")) == \
        ("hall-full", {"name": "é", "free": [0]}, "7")
    row, = g.ctl_json("show", "closed")["data"]
    assert row["key"] == "hall/3" and 0 < row["left_s"] <= 10


def test_failures_of_the_gateway_are_no_hints(foreign):
    g, service = foreign
    service.metadata = [("rushgate-gate", "full; key=a; ttl=1000")]
    service.server.stop(0).wait()
    assert g.buy("a").status == 503
    assert g.ctl_json("show", "closed")["data"] == []


def test_closed_for_whom_the_service_meant(make_gateway):
    """One body, again and again: what one arm's service refuses is asked of the other's, and what is refused
    to buyers who are known is asked for those who are not."""
    grpc = pytest.importorskip("grpc")

    class ToKnown(Service):
        """Says full to whoever is known."""

        def answer(self, request, context):
            known = dict(context.invocation_metadata()).get("rushgate-buyer")
            self.metadata = [("rushgate-gate", "full; key=a; ttl=10000"), ("rushgate-reason", "full")] if known else []
            super().answer(request, context)

    some, none = ToKnown(grpc), Service(grpc)
    c = config("1s")
    c["upstreams"] = {name: {"protocol": "grpc", "health": {"interval": "0s"}, "endpoints": [s.address]}
                      for name, s in (("some", some), ("none", none))}
    c["splits"] = {"shop": {"arms": {"A": {"weight": 50}, "B": {"weight": 50, "upstream": "none"}}}}
    c["routes"][0].update(upstream="some", split="shop")
    c["routes"][0]["methods"]["CreateOrder"]["identity"] = "optional"
    del c["boxoffice"]
    g = make_gateway(base=c).start()
    time.sleep(1.1)
    known = [g.buy("first").reason for _ in range(3)]
    for i in range(60):
        known.append(g.buy(f"u{i}").reason)
        nobody = {"Idempotency-Key": f"nobody{i}", "Content-Type": "application/json", "X-Forwarded-For": f"192.0.2.{i}"}
        answer = g.client.post(ORDERS, {"item": "standard", "quantity": 1}, nobody)
        assert answer.reason == "failed-precondition"
    assert known.count("full") > 5 and known.count("failed-precondition") > 5
    assert set(known) == {"full", "failed-precondition"}
    # Of all that was asked for only what is full is not asked again.
    assert some.asked + none.asked == len(known) + 60 - known.count("full") + 1
    for service in (some, none):
        service.server.stop(0)
