# SPDX-License-Identifier: BSD-2-Clause
"""Processes die with -9 during a sale; nothing acknowledged is lost, nothing is sold twice."""

import json
import os
import random
import signal
import subprocess
import time

from client import assert_problem
from gateway import BUILD, SHORT, plain_config, process_alive, stampede_result, wait_for

KILLS = 12 if SHORT else 54


def check_store(gateway):
    """The box office's own check of every invariant."""
    done = subprocess.run([os.path.join(BUILD, "boxoffice"), "--check", "--store",
                           gateway.path("data", "boxoffice.db")],
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def assert_clean(gateway, summary, text):
    for field in ("oversold", "duplicates", "lost", "over_limit", "unsettled", "malformed"):
        assert summary[field] == 0, f"{field}: {text}\n{gateway.logs()}"
    check_store(gateway)


def kill_slot(gateway, slot):
    """kill -9 whatever process is in the slot now, waiting for one if it is being restarted."""
    def pid():
        row = next(r for r in gateway.ctl_json("show", "workers")["data"] if r["process"] == slot)
        return row["pid"] if row["pid"] and process_alive(row["pid"]) else None
    victim = wait_for(pid, f"a process in slot {slot}", 30)
    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: not process_alive(victim), "its end")  # else the next kill may hit it again
    return victim


def test_sale_under_kills(make_gateway):
    """The main promise: workers, keeper and box office killed in turn, over and over."""
    gateway = make_gateway({"workers": 4}).start()
    gateway.errors_expected = True
    tickets = 4000
    sale = gateway.stampede("--create", "--tickets", str(tickets), "--rate", "250", "--seconds", "600",
                            "--max-seconds", "600", "--timeout", "3", "--seed", "7")
    wait_for(lambda: gateway.client.get("/api/v1/events/sale").status == 200, "the sale to begin")
    slots = ["boxoffice", "worker 0", "keeper", "worker 1", "worker 2", "worker 3"]
    rng = random.Random(7)
    for n in range(KILLS):
        kill_slot(gateway, slots[n % len(slots)])
        time.sleep(rng.uniform(0.02, 0.25))  # so that the kills hit any moment of the sale
        assert sale.poll() is None, sale.communicate()
    wait_for(gateway.is_ready, "everything to be back", 30)
    sale.send_signal(signal.SIGINT)
    status, summary, text = stampede_result(sale)
    assert_clean(gateway, summary, text)
    assert status == 0, text
    assert summary["created"] > 100 and summary["acknowledged"] == summary["created"], text
    starts = {r["process"]: r["starts"] for r in gateway.ctl_json("show", "workers")["data"]}
    assert sum(starts.values()) >= KILLS + len(slots), starts
    # And it still sells.
    assert gateway.buy("after", event="sale").status in (201, 409)


def test_sold_out_under_kills(make_gateway):
    """To the last ticket, with the box office dying meanwhile."""
    gateway = make_gateway().start()
    gateway.errors_expected = True
    sale = gateway.stampede("--create", "--tickets", "600", "--buyers", "900", "--seconds", "4",
                            "--until-sold-out", "--seed", "11")
    wait_for(lambda: gateway.client.get("/api/v1/events/sale").status == 200, "the sale to begin")
    for _ in range(3):
        time.sleep(0.4)
        kill_slot(gateway, "boxoffice")
    status, summary, text = stampede_result(sale)
    assert_clean(gateway, summary, text)
    assert status == 0 and summary["sold"] == summary["quota"] == 600, text


def test_box_office_is_back_soon(gateway):
    gateway.errors_expected = True
    gateway.create_event("demo", 100)
    order = gateway.buy("ann", "k").json()
    pid = gateway.kill("boxoffice")
    start = time.monotonic()

    def ordered():
        answer = gateway.buy("ann", "k")
        if answer.status != 201:
            assert_problem(answer, 503)
            assert int(answer.header("Retry-After")) >= 1
            return None
        return answer

    replay = wait_for(ordered, "the box office to answer again")
    took = time.monotonic() - start
    assert replay.json() == order
    assert gateway.processes("boxoffice") != [pid]
    assert SHORT or took < 1, f"{took:.2f} s"


def test_commanded_restarts_of_the_box_office_are_no_failures(gateway):
    """Found by tools/chaos: each one waited twice as long as the one before."""
    gateway.create_event("demo", 100)
    for n in range(4):
        pid, = gateway.processes("boxoffice")
        gateway.ctl("restart", "boxoffice")
        wait_for(lambda: gateway.processes("boxoffice") not in ([], [pid]) and
                 gateway.buy(f"b{n}", f"k{n}").status == 201, "the box office to be back")
    assert "starts again in" not in gateway.error_log()
    assert "boxoffice" not in "\n".join(line for line in gateway.error_log().splitlines() if " warn master" in line)


def test_gateway_serves_without_the_box_office(gateway):
    gateway.errors_expected = True
    gateway.kill("boxoffice", signal.SIGSTOP)
    try:
        assert gateway.client.get("/hello").status == 200
        assert_problem(gateway.client.get("/nowhere"), 404, "no-route")
    finally:
        gateway.kill("boxoffice", signal.SIGCONT)


def test_keeper_is_missed_by_nobody(gateway):
    gateway.create_event("demo", 100)
    gateway.kill("keeper")
    assert gateway.buy("ann").status == 201
    wait_for(gateway.is_ready, "the keeper")
    assert gateway.metrics()


def test_worker_crash_loses_no_queued_connection(make_gateway):
    """Connections that wait in a dead worker's listener are taken by its successor."""
    from gateway import plain_config
    gateway = make_gateway({"workers": 1}, base=plain_config()).start()
    worker = gateway.processes("worker")[0]
    os.kill(worker, signal.SIGSTOP)
    connections = [gateway.client.connect() for _ in range(20)]
    for c in connections:
        c.send(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
    os.kill(worker, signal.SIGKILL)
    for c in connections:
        assert c.response().status == 200
        c.close()


def test_master_killed(gateway):
    """Workers go on serving; a new master takes over the place."""
    gateway.errors_expected = True
    gateway.create_event("demo", 100)
    order = gateway.buy("ann", "k").json()
    gateway.process.kill()
    gateway.process.wait()
    wait_for(lambda: gateway.client.get("/hello").status == 200, "an answer without a master")
    gateway.process = gateway.spawn()

    def adopted():
        # The old keeper may still answer readyz: it is the new master that must be there.
        done = gateway.ctl("--json", "status", check=None)
        return done.returncode == 0 and \
            json.loads(done.stdout)["data"]["pid"] == gateway.process.pid
    wait_for(adopted, "the new master")
    gateway.wait_ready()
    replay = wait_for(lambda: (lambda a: a if a.status == 201 else None)(gateway.buy("ann", "k")),
                      "the order under the new master")
    assert replay.json() == order
    assert len(gateway.processes("master")) == 1
    wait_for(lambda: len(gateway.processes("worker")) == 2, "the old workers to go", 40)
    wait_for(lambda: len(gateway.processes("boxoffice")) == 1, "the old box office to go", 40)


def test_crash_loop_backs_off(gateway):
    gateway.errors_expected = True
    for _ in range(4):
        kill_slot(gateway, "worker 1")
    assert "starts again in" in gateway.error_log()
    states = {r["process"]: r for r in gateway.ctl_json("status")["data"]["processes"]}
    assert states["worker 1"]["starts"] >= 4
    assert "signal 9" in str(states["worker 1"]["last_exit"])
    assert gateway.client.get("/hello").status == 200
    wait_for(lambda: len(gateway.processes("worker")) == 2, "the worker")


def test_master_that_is_killed_while_it_starts(make_gateway):
    """The next one ends what is on the list of children: nothing may be left that is not on it. (A worker
    that was forked and not written down yet served on for ever, under the old configuration.)"""
    for _ in range(8 if SHORT else 30):
        gateway = make_gateway(base=plain_config())
        gateway.exit_expected = -signal.SIGKILL
        gateway.process = gateway.spawn()
        time.sleep(random.uniform(0.001, 0.05 if SHORT else 0.007))
        gateway.process.kill()
        gateway.process.wait()

        def unlisted():
            try:
                with open(gateway.path("run", "rushgate.pid.children")) as f:
                    listed = {int(line.split()[1]) for line in f.read().splitlines()[1:]}
            except OSError:
                listed = set()
            return set(gateway.all_processes()) - listed
        wait_for(lambda: not unlisted(), "the processes that are not on the list to end")
        for pid in gateway.all_processes():
            os.kill(pid, signal.SIGKILL)
