# SPDX-License-Identifier: BSD-2-Clause
"""Reloads: applied or said to need a restart, refused whole when wrong, felt by no request."""

import os
import signal
import subprocess
import threading
import time

import pytest

from gateway import BUILD, SHORT, base_config, plain_config, stampede_result, wait_for

RELOADS = 20 if SHORT else 100
SLOW_RELOADS = 50 if SHORT else 80  # more than are kept, twice


def generation(gateway):
    return gateway.ctl_json("status")["generation"]


def changes(gateway, *flags, check=0):
    document = gateway.ctl_json("reload", *flags, check=check)
    return document, {c["setting"]: c for c in document["data"]["changes"]}


def test_applied(plain):
    before = generation(plain)
    plain.write_config({"http": {"server_name": "other"}})
    document, changed = changes(plain)
    assert document["data"]["generation"] == before + 1
    assert document["data"]["processes_on_it"] == document["data"]["processes_total"] >= 3
    assert changed["http.server_name"]["old"] == "rushgate"
    assert changed["http.server_name"]["new"] == "other"
    assert changed["http.server_name"]["applied"] is True
    # The reload has answered: every worker is on the new generation, on every connection.
    for _ in range(20):
        assert plain.client.get("/hello").header("Server") == "other"


def test_needs_restart(plain):
    plain.write_config({"workers": 3, "http": {"server_name": "other"}})
    document, changed = changes(plain)
    assert changed["workers"]["applied"] is False
    assert changed["http.server_name"]["applied"] is True
    assert document["warnings"]
    assert len(plain.processes("worker")) == 2
    text = plain.ctl("reload")
    assert "restart" in text.stdout
    plain.ctl("reload", "--strict", check=1)


def test_nothing_changed(plain):
    document, changed = changes(plain)
    assert not changed and not document["warnings"]


def test_bad_file_changes_nothing(plain):
    before = generation(plain)
    config = open(plain.file).read().replace('"server_name"', '"sever_name"')
    plain.write_config({"http": {"server_name": "x"}})
    config = open(plain.file).read().replace('"server_name"', '"sever_name"')
    plain.write_config(text=config)
    done = plain.ctl("reload", check=5)
    assert "sever_name" in done.stdout + done.stderr and "server_name" in done.stdout + done.stderr
    document = plain.ctl_json("reload", check=5)
    assert document["error"]["code"] == "config_invalid"
    assert "rushgate.yaml:" in document["error"]["details"]
    assert generation(plain) == before
    assert plain.client.get("/hello").header("Server") == "rushgate"
    plain.errors_expected = True


def test_missing_file_changes_nothing(plain):
    os.rename(plain.file, plain.file + ".away")
    plain.ctl("reload", check=5)
    assert plain.client.get("/hello").status == 200
    os.rename(plain.file + ".away", plain.file)
    plain.ctl("reload")
    plain.errors_expected = True


def test_hup(plain):
    before = generation(plain)
    plain.write_config({"http": {"server_name": "by-signal"}})
    plain.process.send_signal(signal.SIGHUP)
    wait_for(lambda: generation(plain) == before + 1, "the new generation")
    wait_for(lambda: plain.client.get("/hello").header("Server") == "by-signal", "the new name")


def test_routes_and_upstreams_come_and_go(make_gateway):
    gateway = make_gateway(base=plain_config()).start()
    gateway.write_config({"routes": gateway.config["routes"] + [
        {"name": "new", "match": {"path": "/new"}, "respond": {"status": 200, "body": "n"}}]})
    gateway.ctl("reload")
    assert gateway.client.get("/new").body == b"n"
    gateway.write_config({"routes": gateway.config["routes"][:1]})
    gateway.ctl("reload")
    assert gateway.client.get("/new").status == 404


def test_includes(make_gateway):
    gateway = make_gateway(base=plain_config())
    os.mkdir(gateway.path("conf.d"))
    gateway.write_config({"include": ["conf.d/*.yaml"]})
    with open(gateway.path("conf.d", "a.yaml"), "w") as f:
        f.write("routes:\n  - {name: a, match: {path: /a}, respond: {body: \"${A_BODY:-from a}\"}}\n")
    with open(gateway.path("conf.d", "b.yaml"), "w") as f:
        f.write("http: {server_name: included}\n")
    gateway.start()
    answer = gateway.client.get("/a")
    assert answer.body == b"from a" and answer.header("Server") == "included"
    with open(gateway.path("conf.d", "c.yaml"), "w") as f:
        f.write("http: {server_name: again}\n")
    gateway.ctl("reload", check=5)
    assert gateway.client.get("/a").status == 200
    gateway.errors_expected = True


def test_limits_apply_to_open_connections(plain):
    with plain.client.connect() as c:
        assert c.request("GET", "/hello?" + "x" * 3000).status == 200
        plain.write_config({"http": {"max_line": "1k"}})
        plain.ctl("reload")
        assert c.request("GET", "/hello?" + "x" * 3000).status == 414


def test_slow_request_keeps_its_generation(gateway):
    """A request that began before the reload ends as it began."""
    gateway.create_event("demo")
    body = b'{"item":"standard"}'
    with gateway.client.connect() as c:
        c.send(b"POST /api/v1/events/demo/orders HTTP/1.1\r\nHost: a\r\nX-User-Id: ann\r\n"
               b"Idempotency-Key: k\r\nContent-Length: %d\r\n\r\n" % len(body) + body[:5])
        wait_for(lambda: sum(r["requests"] or 0 for r in gateway.ctl_json("show", "workers")["data"]),
                 "the request to be seen")
        gateway.write_config({"routes": gateway.config["routes"][1:]})
        gateway.ctl("reload")
        assert gateway.client.get("/api/v1/events/demo").status == 404
        c.send(body[5:])
        assert c.response().status == 201


class Reader(threading.Thread):
    """A kept-alive connection that asks until it is told to stop, and forgives nothing."""

    def __init__(self, gateway):
        super().__init__()
        self.gateway, self.asked, self.failure = gateway, 0, None
        self.stopping = threading.Event()

    def run(self):
        try:
            with self.gateway.client.connect() as c:
                while not self.stopping.is_set():
                    answer = c.request("GET", "/hello")
                    assert answer.status == 200 and answer.header("Connection") != "close", answer
                    self.asked += 1
        except Exception as e:  # pylint: disable=broad-except
            self.failure = e


def test_reloads_under_load(gateway):
    """100 reloads while people buy: not one request fails, not one connection closes."""
    readers = [Reader(gateway) for _ in range(4)]
    for r in readers:
        r.start()
    sale = gateway.stampede("--create", "--tickets", "100000", "--max-per-buyer", "0", "--rate", "200",
                            "--seconds", "600", "--mix", "plain=3,pay=1", "--fresh", "0.1")
    wait_for(lambda: gateway.client.get("/api/v1/events/sale").status == 200, "the sale to begin")
    first = generation(gateway)
    for i in range(RELOADS):
        routes = gateway.config["routes"]
        routes[0]["deadline"] = f"{6 + i % 3}s"
        gateway.write_config({"http": {"max_body": f"{65 + i % 5}k"}})
        document, changed = changes(gateway)
        assert changed and all(c["applied"] for c in changed.values()), document
        time.sleep(0.02)  # so that every reload meets requests of its own
    assert generation(gateway) == first + RELOADS
    for r in readers:
        r.stopping.set()
    sale.send_signal(signal.SIGINT)
    status, summary, text = stampede_result(sale)
    for r in readers:
        r.join()
        assert r.failure is None, f"after {r.asked} answers: {r.failure!r}"
        assert r.asked > RELOADS
    assert status == 0, text
    assert set(summary["status"]) <= {"200", "201"}, text
    assert not any(summary["errors"].values()) and summary["retries"] == 0, text
    assert summary["idle_cut"] == 0 and summary["created"] > RELOADS / 2, text
    rows = gateway.ctl_json("show", "workers")["data"]
    assert all(r["starts"] == 1 for r in rows), rows


def test_one_slow_upload_does_not_stop_reloads(gateway):
    """It keeps the one generation that it began under, whatever comes after."""
    gateway.create_event("demo")
    body = b'{"item":"standard"}'
    with gateway.client.connect() as slow:
        slow.send(b"POST /api/v1/events/demo/orders HTTP/1.1\r\nHost: a\r\nX-User-Id: ann\r\n"
                  b"Idempotency-Key: k\r\nContent-Length: %d\r\n\r\n" % len(body) + body[:5])
        wait_for(lambda: sum(r["requests"] or 0 for r in gateway.ctl_json("show", "workers")["data"]),
                 "the request to be seen")
        gateway.write_config({"http": {"body_timeout": "60s"}})
        first = generation(gateway)
        memory = []
        for i in range(SLOW_RELOADS):
            gateway.write_config({"http": {"server_name": f"name-{i}"},
                                  "drain_timeout": f"{i + 1}s"})
            document, changed = changes(gateway)
            assert changed["http.server_name"]["applied"], document
            memory.append(config_zone_bytes(gateway))
            if i % 8 == 0:  # lets the upload live
                slow.send(body[5 + i // 8:6 + i // 8])
        assert generation(gateway) == first + SLOW_RELOADS
        held = [r["older_generations"] for r in gateway.ctl_json("show", "workers")["data"]]
        assert sorted(h for h in held if h is not None)[-2:] == [0, 1], held
        assert memory[-1] == memory[len(memory) // 2], memory
        slow.send(body[5 + (SLOW_RELOADS + 7) // 8:])
        answer = slow.response()
        assert answer.status == 201 and answer.header("Server") == f"name-{SLOW_RELOADS - 1}", answer
    wait_for(lambda: not any(r["older_generations"] for r in gateway.ctl_json("show", "workers")["data"]),
             "the old generation to be let go")


def config_zone_bytes(gateway):
    """Memory that the banks take up."""
    master = gateway.process.pid
    for fd in os.listdir(f"/proc/{master}/fd"):
        if "rushgate-config" in os.readlink(f"/proc/{master}/fd/{fd}"):
            return os.stat(f"/proc/{master}/fd/{fd}").st_blocks * 512
    raise AssertionError("no config zone")


def test_nothing_leaks_over_reloads(plain):
    """Descriptors and memory stay where they are."""
    def descriptors():
        return {pid: len(os.listdir(f"/proc/{pid}/fd"))
                for pid in plain.processes("worker") + plain.processes("keeper")
                + plain.processes("master")}
    plain.ctl("reload")
    before = descriptors()
    for i in range(10):
        plain.write_config({"http": {"max_body": f"{i + 1}k"}})
        plain.ctl("reload")
    assert descriptors() == before


def test_wait_zero_answers_after_the_flip(plain):
    """However long a worker takes: published is all that was asked."""
    before = generation(plain)
    worker = plain.processes("worker")[0]
    os.kill(worker, signal.SIGSTOP)
    try:
        start = time.monotonic()
        plain.write_config({"http": {"server_name": "other"}})
        document, changed = changes(plain, "--wait", "0s")
        assert SHORT or time.monotonic() - start < 3
        assert document["data"]["generation"] == before + 1
        assert document["data"]["processes_on_it"] < document["data"]["processes_total"]
        assert changed["http.server_name"]["applied"] is True
    finally:
        os.kill(worker, signal.SIGCONT)
    plain.ctl("reload")


def test_reloads_are_counted(plain):
    """By what came of them; what is no reload of the file is not among them."""
    def counted():
        seen = plain.metrics()
        return [seen[f'rushgate_config_reloads_total{{outcome="{o}"}}'] for o in ("applied", "refused", "incomplete")]
    plain.errors_expected = True
    assert counted() == [0, 0, 0]
    plain.write_config({"http": {"max_body": "5k"}})
    plain.ctl("reload")
    plain.ctl("set", "log.level", "info")
    plain.ctl("config", "rollback", check=None)
    assert counted() == [1, 0, 0]
    plain.write_config(text="workrs: 1\n")
    plain.ctl("reload", check=5)
    plain.ctl("reload", "--canary", "5%", check=5)
    assert counted() == [1, 2, 0]
    plain.write_config({"http": {"max_body": "6k"}})
    worker = plain.processes("worker")[0]
    os.kill(worker, signal.SIGSTOP)
    try:
        plain.ctl("reload", "--wait", "200ms", check=None)
        assert counted() == [1, 2, 1]
    finally:
        os.kill(worker, signal.SIGCONT)


@pytest.mark.parametrize("make", [base_config, plain_config])
def test_check_agrees(make_gateway, make):
    """rushgate -t and rushctl check say ok about what then starts."""
    gateway = make_gateway(base=make())
    status, text = gateway.check_config()
    assert status == 0 and "ok" in text, text
    done = subprocess.run([os.path.join(BUILD, "rushctl"), "check", gateway.file],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
