# SPDX-License-Identifier: BSD-2-Clause
"""What is seen from outside: metrics, access log, health, memory of idle connections."""

import json
import os
import re
import shutil
import subprocess

import pytest

from gateway import BUILD, SHORT, plain_config, wait_for

PROMTOOL = os.environ.get("RUSHGATE_PROMTOOL") or shutil.which("promtool")


@pytest.mark.skipif(PROMTOOL is None, reason="promtool (package prometheus) is not here")
def test_promtool_accepts_the_metrics(shared):
    shared.create_event("measured", 5)
    shared.buy("ann", event="measured")
    shared.client.get("/nowhere")
    text = shared.admin.get("/metrics")
    assert text.header("Content-Type").startswith("text/plain")
    done = subprocess.run([PROMTOOL, "check", "metrics"], input=text.body, capture_output=True,
                          timeout=60)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()


def total(metrics, name, *labels):
    return sum(v for k, v in metrics.items()
               if k.split("{")[0] == name and all(x in k for x in labels))


def test_requests_are_counted(shared):
    before = shared.metrics()
    for _ in range(7):
        assert shared.client.get("/hello").status == 200
    after = shared.metrics()
    changed = {k for k in after if after[k] == before.get(k, 0) + 7 and 'route="hello"' in k}
    assert any("2xx" in k or 'code="2' in k or 'class="2' in k for k in changed), changed
    assert any("_count" in k for k in changed), changed
    assert any(k.split("{")[0].endswith("_bucket") and 'le="+Inf"' in k for k in changed), changed


def test_purchases_are_counted(shared):
    shared.create_event("counted", 3, 2)
    before = shared.metrics()
    order = shared.buy("ann", "k", 2, "counted").json()
    shared.buy("ann", "k", 2, "counted")          # replayed
    shared.buy("ann", quantity=1, event="counted")  # purchase-limit
    shared.buy("bob", quantity=2, event="counted")  # sold-out
    shared.client.post(f"/api/v1/events/counted/orders/{order['code']}/confirm",
                       {"secret": order["secret"]})

    def counted():
        now = shared.metrics()
        delta = {k: now[k] - before.get(k, 0) for k in now}
        outcomes = {w: sum(v for k, v in delta.items() if f'"{w}"' in k)
                    for w in ("created", "replayed", "purchase-limit", "sold-out")}
        state = {w: [v for k, v in now.items() if '"counted"' in k and (f'"{w}"' in k or
                                                                        k.startswith(f"rushgate_{w}")
                                                                        or f"_{w}" in k)]
                 for w in ("free", "held", "sold")}
        return all(v >= 1 for v in outcomes.values()) and \
            1 in state["free"] and 0 in state["held"] and 2 in state["sold"]
    wait_for(counted, "the figures of the sale", 15)


def test_counters_never_fall(make_gateway):
    """Over a reload, a kill -9 of a worker and of the keeper."""
    gateway = make_gateway(base=plain_config()).start()
    counter = re.compile(r"\w+_(total|count|bucket|sum)(\{|$)")

    def counters():
        return {k: v for k, v in gateway.metrics().items() if counter.match(k)}

    def some_load():
        for _ in range(20):
            gateway.client.get("/hello")
            gateway.client.get("/nowhere")

    def reload():
        gateway.write_config({"http": {"server_name": "x"}})
        gateway.ctl("reload")

    some_load()
    last = counters()
    assert last
    for disturb in (reload, lambda: gateway.kill_and_wait("worker"),
                    lambda: gateway.kill_and_wait("keeper"),
                    lambda: gateway.kill_and_wait("worker", 1)):
        disturb()
        some_load()
        now = counters()
        fallen = {k: (v, now.get(k)) for k, v in last.items() if now.get(k, -1) < v}
        assert not fallen
        # Workers hand these over once a second.
        wait_for(lambda: total(counters(), "rushgate_connections_accepted_total") >
                 total(last, "rushgate_connections_accepted_total"), "connections to be counted")
        last = now
    gateway.errors_expected = True


def test_every_metric_has_help_and_type(shared):
    text = shared.admin.get("/metrics").body.decode()
    names = {re.sub(r"_(bucket|sum|count)$", "", line.split("{")[0].split(" ")[0])
             for line in text.splitlines() if line and not line.startswith("#")}
    helped = set(re.findall(r"^# HELP (\S+) \S", text, re.MULTILINE))
    typed = set(re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE))
    assert names - helped == set() and names - typed == set()


def test_lag_and_processes_are_shown(shared):
    text = shared.admin.get("/metrics").body.decode()
    assert "lag" in text and "boxoffice" in text


def records(gateway):
    with open(gateway.path("log", "access.log")) as f:
        return [json.loads(line) for line in f.read().splitlines()]


def test_access_log(gateway):
    gateway.create_event("demo", 1)
    gateway.buy("ann", "k", X_Request_Id="order-1",
                traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                User_Agent='evil "agent"\\')
    gateway.client.get("/nowhere?q=%22", {"X-Request-Id": "nowhere-1"})

    def found():
        by_id = {r.get("request_id"): r for r in records(gateway)}
        return by_id if {"order-1", "nowhere-1"} <= set(by_id) else None
    by_id = wait_for(found, "the records")
    order, nowhere = by_id["order-1"], by_id["nowhere-1"]
    assert order["status"] == 201 and order["method"] == "POST"
    assert order["route"] == "boxoffice.CreateOrder"
    text = json.dumps(order)
    for word in ("ann", "0af7651916cd43dd8448eb211c80319c", "127.0.0.1", 'evil'):
        assert word in text, (word, order)
    assert nowhere["status"] == 404 and "no-route" in json.dumps(nowhere)


def test_access_log_can_be_turned_off(plain):
    plain.client.get("/hello?seen")
    wait_for(lambda: "seen" in json.dumps(records(plain)), "a record")
    plain.write_config({"log": {"access_enabled": False}})
    plain.ctl("reload")
    plain.client.get("/hello?hidden")
    plain.write_config({"log": {"access_enabled": True}})
    plain.ctl("reload")
    plain.client.get("/hello?again")
    wait_for(lambda: "again" in json.dumps(records(plain)), "a record")
    assert "hidden" not in json.dumps(records(plain))


def test_health(plain):
    assert plain.admin.get("/healthz").status == 200
    assert plain.admin.get("/readyz").status == 200
    assert plain.admin.get("/").status == 404 or plain.admin.get("/").status == 200
    assert plain.admin.request("POST", "/metrics", "").status == 405
    # The admin listener has no routes, the public one no metrics.
    assert plain.client.get("/metrics").status == 404
    assert plain.admin.get("/hello").status == 404


def test_admin_off(make_gateway):
    gateway = make_gateway(base=plain_config())
    gateway.config["admin"]["address"] = ""
    gateway.write_config()
    gateway.process = gateway.spawn()
    wait_for(lambda: gateway.ctl("status", check=None).returncode == 0, "the control socket")
    wait_for(lambda: all(p["state"] == "ready"
                         for p in gateway.ctl_json("status")["data"]["processes"]), "readiness")
    with pytest.raises(OSError):
        gateway.admin.get("/healthz")
    assert gateway.client.get("/hello").status == 200


def resident_bytes(pid):
    """Private memory: what the process has written to."""
    with open(f"/proc/{pid}/smaps_rollup") as f:
        fields = dict(line.split(":", 1) for line in f if ":" in line and "kB" in line)
    return sum(int(fields[k].split()[0]) for k in ("Private_Clean", "Private_Dirty")) * 1024


@pytest.mark.skipif(SHORT, reason="sanitizers change memory")
def test_memory_of_idle_connections(make_gateway):
    """At most 1 KB each in the worker, after each has made a request."""
    import resource
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 5600:
        pytest.skip(f"only {hard} file descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    gateway = make_gateway({"workers": 1, "http": {"idle_timeout": "10m"}},
                           base=plain_config()).start()
    worker = gateway.processes("worker")[0]
    # The first ones pay for pools and tables that all share.
    connections = [gateway.client.connect() for _ in range(500)]
    for c in connections:
        assert c.request("GET", "/hello").status == 200
    before = resident_bytes(worker)
    for _ in range(5000):
        c = gateway.client.connect()
        connections.append(c)
        assert c.request("GET", "/hello").status == 200
    grown = resident_bytes(worker) - before
    for c in connections:
        c.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert grown / 5000 <= 1024, f"{grown / 5000:.0f} bytes a connection"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small disk")
def test_disk_full(make_gateway):
    """Orders get 503, everything else works; once there is room, orders work again by themselves."""
    gateway = make_gateway()
    gateway.errors_expected = True
    os.makedirs(gateway.path("data"), exist_ok=True)
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", gateway.path("data")],
                           capture_output=True)
    if mount.returncode != 0:
        pytest.skip("cannot mount here: " + mount.stderr.decode())
    try:
        gateway.start()
        gateway.create_event("demo", 10000)
        order = gateway.buy("ann", "first").json()
        ballast = gateway.path("data", "ballast")
        with open(ballast, "wb", buffering=0) as f:
            try:
                while f.write(b"x" * 4096):
                    pass
            except OSError:
                pass
        acknowledged = []
        for i in range(400):
            answer = gateway.buy("ann", f"full-{i}")
            if answer.status == 503:
                break
            acknowledged.append(answer.json()["code"])
        assert answer.status == 503 and answer.reason == "store-unavailable", answer
        assert int(answer.header("Retry-After")) >= 1
        assert gateway.client.get("/hello").status == 200
        assert gateway.client.get("/api/v1/events/demo").status == 200
        assert gateway.buy("ann", "first").json() == order  # what is known is still told
        os.unlink(ballast)
        wait_for(lambda: gateway.buy("ann", "after").status == 201, "orders to work again")
        for code in acknowledged:
            read = gateway.client.get(f"/api/v1/events/demo/orders/{code}", {"X-User-Id": "ann"})
            assert read.status == 200, code
        done = subprocess.run([os.path.join(BUILD, "boxoffice"), "--check", "--store",
                               gateway.path("data", "boxoffice.db")], capture_output=True, timeout=60)
        assert done.returncode == 0, done
        gateway.stop()
    finally:
        subprocess.run(["umount", "-l", gateway.path("data")], check=False)
