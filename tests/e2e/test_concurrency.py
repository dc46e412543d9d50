# SPDX-License-Identifier: BSD-2-Clause
"""Concurrency limits against a service that gets slower the more calls it has at once: `servers` of them
take their time, the others wait in line."""

import threading
import time

import pytest

from client import assert_problem
from gateway import Gateway, plain_config, wait_for
from service import Handler, Service

SERVERS = 8
WORK_S = 0.02


class Worker(Handler):
    def answer(self):
        self.take_body()
        service = self.server
        with service.lock:
            service.at_once += 1
            service.most = max(service.most, service.at_once)
        try:
            if self.path.startswith("/up/held"):
                service.gate.wait(20)
            else:
                with service.servers:
                    time.sleep(service.work_s)
            self.reply(200, b"ok")
        except OSError:
            pass
        finally:
            with service.lock:
                service.at_once -= 1


class Counter(Service):
    def __init__(self, servers=SERVERS):
        self.servers, self.work_s = threading.Semaphore(servers), WORK_S
        self.gate, self.lock, self.at_once, self.most = threading.Event(), threading.Lock(), 0, 0
        super().__init__(Worker)

    def stop(self):
        self.gate.set()
        super().stop()


def config_for(service, concurrency, deadline="5s", workers=1):
    config = plain_config()
    config["workers"] = workers
    config["upstreams"] = {"web": {
        "protocol": "http", "health": {"interval": "0s"}, "concurrency": concurrency,
        "endpoints": [f"127.0.0.1:{service.server_port}"]}}
    config["routes"].append({"name": "web", "match": {"path": "/up/**"}, "upstream": "web",
                             "deadline": deadline})
    return config


@pytest.fixture
def start():
    closing = []

    def start(concurrency, servers=SERVERS, **more):
        service = Counter(servers)
        gateway = Gateway(base=config_for(service, concurrency, **more))
        closing.append((gateway, service))
        return gateway.start(), service

    yield start
    for gateway, service in closing:
        service.gate.set()
        gateway.close()
        service.stop()


def figures(gateway, of="upstream/web", worker="all"):
    rows = gateway.ctl_json("show", "concurrency")["data"]
    return next(r for r in rows if r["limit_of"] == of and r["worker"] == worker)


def in_flight_is(gateway, n):
    wait_for(lambda: figures(gateway)["in_flight"] == n, f"{n} calls in flight")


class Load:
    """So many clients, each with one request at a time; a refused one waits before the next."""

    def __init__(self, gateway, clients, path="/up/x"):
        self.gateway, self.path, self.end = gateway, path, False
        self.seen, self.lock = [], threading.Lock()
        self.threads = [threading.Thread(target=self.client) for _ in range(clients)]
        for t in self.threads:
            t.start()

    def client(self):
        with self.gateway.client.connect() as c:
            while not self.end:
                begun = time.monotonic()
                answer = c.request("GET", self.path)
                took = time.monotonic() - begun
                with self.lock:
                    self.seen.append((answer.status, took, answer.reason))
                if answer.status == 503:
                    time.sleep(0.1)

    def during(self, seconds):
        """What is answered from now on for so long."""
        with self.lock:
            self.seen.clear()
        time.sleep(seconds)
        with self.lock:
            return list(self.seen)

    def stop(self):
        self.end = True
        for t in self.threads:
            t.join(30)


def goodput(seen, seconds):
    return sum(1 for status, _, _ in seen if status == 200) / seconds


def median_latency(seen):
    took = sorted(t for status, t, _ in seen if status == 200)
    return took[len(took) // 2]


def test_fixed_limit_is_exact(start):
    gateway, service = start({"mode": "fixed", "max": 3})
    held = [gateway.client.connect() for _ in range(3)]
    for c in held:
        c.send(b"GET /up/held HTTP/1.1\r\nHost: h\r\n\r\n")
    wait_for(lambda: service.at_once == 3, "the calls")
    answer = gateway.client.get("/up/x")
    assert_problem(answer, 503, "overloaded")
    assert answer.header("Retry-After") == "1"
    # The body is not waited for.
    answer = gateway.client.raw(b"POST /up/x HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n")
    assert_problem(answer, 503, "overloaded")
    service.gate.set()
    assert [c.response().status for c in held] == [200] * 3
    for c in held:
        c.close()
    assert gateway.client.get("/up/x").status == 200
    row = figures(gateway)
    assert (row["in_flight"], row["admitted"], row["refused"]) == (0, 4, 2)
    assert service.most == 3
    metrics = gateway.admin.get("/metrics").body.decode()
    assert 'rushgate_concurrency_calls_total{limit_of="upstream/web",outcome="refused"} 2\n' in metrics
    assert 'rushgate_concurrency_limit{limit_of="upstream/web",worker="0"} 3\n' in metrics


def test_a_body_that_does_not_come_takes_no_place(start):
    """But when it has come and the room is gone, there is none."""
    gateway, service = start({"mode": "fixed", "max": 1})
    slow = [gateway.client.connect() for _ in range(2)]
    for c in slow:
        c.send(b"POST /up/held HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nab")
    assert gateway.client.get("/up/x").status == 200
    slow[0].send(b"cd")
    in_flight_is(gateway, 1)
    slow[1].send(b"cd")
    assert_problem(slow[1].response(), 503, "overloaded")
    service.gate.set()
    assert slow[0].response().status == 200
    for c in slow:
        c.close()
    in_flight_is(gateway, 0)


def test_shadow_refuses_nothing(start):
    gateway, service = start({"mode": "shadow", "max": 2})
    held = [gateway.client.connect() for _ in range(5)]
    for c in held:
        c.send(b"GET /up/held HTTP/1.1\r\nHost: h\r\n\r\n")
    in_flight_is(gateway, 5)
    service.gate.set()
    assert [c.response().status for c in held] == [200] * 5
    for c in held:
        c.close()
    row = figures(gateway)
    assert (row["shadow_refused"], row["refused"], row["in_flight"]) == (3, 0, 0)


def test_route_and_upstream_both_count(start):
    gateway, service = start({"mode": "fixed", "max": 2})
    gateway.config["routes"].append({
        "name": "narrow", "match": {"path": "/up/held/narrow"}, "upstream": "web",
        "concurrency": {"mode": "fixed", "max": 1}})
    gateway.write_config()
    gateway.ctl("reload")
    with gateway.client.connect() as one, gateway.client.connect() as two:
        one.send(b"GET /up/held/narrow HTTP/1.1\r\nHost: h\r\n\r\n")
        in_flight_is(gateway, 1)
        assert_problem(gateway.client.get("/up/held/narrow"), 503, "overloaded")
        two.send(b"GET /up/held HTTP/1.1\r\nHost: h\r\n\r\n")
        in_flight_is(gateway, 2)
        assert_problem(gateway.client.get("/up/x"), 503, "overloaded")
        assert figures(gateway, "route/narrow")["refused"] == 1
        assert figures(gateway)["refused"] == 1
        service.gate.set()
        assert one.response().status == two.response().status == 200
    assert figures(gateway, "route/narrow")["in_flight"] == figures(gateway)["in_flight"] == 0


def test_a_purchase_goes_on_without_its_buyer(start):
    """And keeps its place: the service is still busy with it. A GET is cancelled."""
    gateway, service = start({"mode": "fixed", "max": 1})
    with gateway.client.connect() as c:
        c.send(b"POST /up/held HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n")
        wait_for(lambda: service.at_once == 1, "the call")
    wait_for(lambda: gateway.ctl_json("show", "workers")["data"][0]["connections"] == 0, "the end")
    assert_problem(gateway.client.get("/up/x"), 503, "overloaded")
    service.gate.set()
    in_flight_is(gateway, 0)
    assert gateway.client.get("/up/x").status == 200


def test_every_way_to_end_gives_the_place_back(start):
    gateway, service = start({"mode": "fixed", "max": 3}, deadline="300ms")
    assert_problem(gateway.client.get("/up/held"), 504)  # deadline
    in_flight_is(gateway, 0)
    for method in ("GET", "POST"):  # the client leaves
        c = gateway.client.connect()
        c.send(f"{method} /up/held HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n".encode())
        in_flight_is(gateway, 1)
        c.close()
        in_flight_is(gateway, 0)
    service.gate.set()
    service.socket.close()  # nobody listens
    service.shutdown()
    wait_for(lambda: gateway.client.get("/up/x").status == 503, "the service to be away")
    in_flight_is(gateway, 0)
    assert figures(gateway)["failed"] >= 2


def test_learns_how_much_the_service_can_take(start):
    """Ten times more clients than it serves at once: with the limit as much is answered, and faster."""
    gateway, service = start({"mode": "off"})
    load = Load(gateway, SERVERS * 10)
    try:
        load.during(1)
        seconds = 4
        without = load.during(seconds)
        gateway.config["upstreams"]["web"]["concurrency"] = {"mode": "adaptive"}
        gateway.write_config()
        gateway.ctl("reload")
        load.during(4)
        limited = load.during(seconds)
    finally:
        load.stop()
    assert all(s == 200 or (s == 503 and r == "overloaded") for s, _, r in limited)
    assert not [s for s, _, _ in without if s != 200]
    print(f"without: {goodput(without, seconds):.0f}/s, median {median_latency(without) * 1000:.0f} ms; "
          f"with: {goodput(limited, seconds):.0f}/s, {median_latency(limited) * 1000:.0f} ms; "
          f"limit {figures(gateway)['limit']}")
    assert goodput(limited, seconds) > 0.5 * goodput(without, seconds)
    assert median_latency(limited) < 0.6 * median_latency(without)
    assert figures(gateway)["refused"] > 0
    in_flight_is(gateway, 0)


def test_what_was_learnt_stays(start):
    """Over a reload, with settings that stay or bounds that leave room, and over the death of the worker."""
    gateway, service = start({"mode": "adaptive", "initial": 4})
    load = Load(gateway, SERVERS * 6)
    try:
        load.during(2)
    finally:
        load.stop()
    learnt = figures(gateway)
    assert learnt["limit"] != 4 and learnt["latency_long_s"] > 0
    gateway.write_config({"drain_timeout": "29s"})
    gateway.ctl("reload")
    assert figures(gateway)["limit"] == learnt["limit"]
    gateway.errors_expected = True
    gateway.kill_and_wait("worker")
    assert figures(gateway)["limit"] == learnt["limit"]
    assert figures(gateway)["in_flight"] == 0
    gateway.config["upstreams"]["web"]["concurrency"]["max"] = 4
    gateway.write_config()
    gateway.ctl("reload")
    assert figures(gateway)["limit"] == 4
