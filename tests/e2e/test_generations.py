# SPDX-License-Identifier: BSD-2-Clause
"""Configurations that were in force: listed, compared, taken into force again."""

import json
import os
import signal
import socket

import pytest
import tracing
from client import compose
from gateway import SHORT, plain_config, wait_for

KEEP = 4
SWAPS = 40 if SHORT else 400


def named(gateway, name, *flags):
    """A reload with another server name; its generation."""
    gateway.write_config({"http": {"server_name": name}})
    return gateway.ctl_json("reload", *flags)["data"]["generation"]


def server(gateway):
    return gateway.client.get("/hello").header("Server")


def listed(gateway):
    return gateway.ctl_json("show", "generations")["data"]


def test_history_lists_what_changed_and_why(plain):
    first = named(plain, "one", "--reason", "a try")
    second = named(plain, "two")
    rows = listed(plain)
    assert [r["generation"] for r in rows] == [second, first, 1]
    assert [r["state"] for r in rows] == ["current", "kept", "kept"]
    assert [r["origin"] for r in rows] == ["file", "file", "start"]
    assert [r["reason"] for r in rows] == ["", "a try", ""]
    assert rows[0]["changes"] == "http.server_name" and rows[2]["changes"] == ""
    assert rows[0]["of_file"] and not rows[1]["of_file"]
    text = plain.ctl("show", "generations").stdout
    assert "CHANGES" in text and "a try" in text


def test_a_reload_without_changes_takes_no_place(plain):
    named(plain, "one")
    for _ in range(20):
        plain.ctl("reload")
    rows = listed(plain)
    assert [r["first_generation"] for r in rows] == [2, 1], rows
    assert rows[0]["generation"] == 22 and rows[0]["changes"] == "http.server_name"


def test_rollback_and_back(plain):
    for name in ("one", "two"):
        named(plain, name)
    answer = plain.ctl_json("config", "rollback", "--reason", "two is slow")
    data = answer["data"]
    assert data["old_generation"] == 3 and data["generation"] == 4
    assert data["processes_on_it"] == data["processes_total"] >= 3
    assert data["changes"] == [{"setting": "http.server_name", "old": "two", "new": "one",
                                "applied": True}]
    assert server(plain) == "one"
    assert any("next reload" in w for w in answer["warnings"]), answer
    status = plain.ctl_json("status")["data"]["config_differs_from_file"]
    assert status["origin"] == "rollback" and status["reason"] == "two is slow"
    text = plain.ctl("status").stdout
    assert "differs from the file, which holds generation 3, rolled back" in text, text
    error = plain.ctl_json("reload", check=1)["error"]
    assert error["code"] == "refused" and "still holds generation 3" in error["details"], error
    assert server(plain) == "one"
    plain.errors_expected = True
    rows = listed(plain)
    assert [(r["generation"], r["first_generation"]) for r in rows] == [(4, 2), (3, 3), (1, 1)]
    # The one before the current is the one that was rolled back.
    answer = plain.ctl_json("config", "rollback")
    assert server(plain) == "two" and not answer["warnings"]
    assert plain.ctl_json("status")["data"]["config_differs_from_file"] is None
    # By number, also the one it had at first.
    plain.ctl("config", "rollback", "2")
    assert server(plain) == "one"
    plain.ctl("config", "rollback", "1")
    assert server(plain) == "rushgate"
    text = plain.ctl("config", "rollback", "3").stdout
    assert "rollback ok: generation 7 -> 8" in text, text
    # The file was never touched, and a reload takes what it says once it is mended.
    named(plain, "three")
    assert server(plain) == "three"
    plain.ctl("config", "rollback", "3")
    plain.ctl("reload", "--force")
    assert server(plain) == "three"


def test_what_was_rolled_back_stays_so_when_it_is_no_longer_kept(plain):
    for name in ("one", "two"):
        named(plain, name)
    plain.ctl("config", "rollback")
    plain.ctl("set", "generations.keep", "0")
    assert len(listed(plain)) == 1
    error = plain.ctl_json("reload", check=1)["error"]
    assert error["code"] == "refused" and "still holds generation 3" in error["details"], error
    assert server(plain) == "one"
    plain.ctl("reload", "--force")
    assert server(plain) == "two"
    plain.errors_expected = True


def test_rollback_refuses_what_is_not_there(plain):
    answer = plain.ctl("config", "rollback", check=1)
    assert "no earlier configuration" in answer.stderr
    named(plain, "one")
    assert plain.ctl_json("config", "rollback", "99", check=7)["error"]["code"] == "not_found"
    assert plain.ctl_json("config", "rollback", "2", check=1)["error"]["code"] == "refused"
    for bad in ("x", "0", "-1", "1.5", "99999999999999999999"):
        assert plain.ctl("config", "rollback", "--", bad, check=2).stderr
    assert server(plain) == "one" and plain.ctl_json("status")["generation"] == 2


def test_rollback_tells_what_needs_a_restart(plain):
    plain.write_config({"workers": 3})
    plain.ctl("reload")
    named(plain, "one")
    data = plain.ctl_json("config", "rollback")["data"]
    changes = {c["setting"]: c["applied"] for c in data["changes"]}
    assert changes == {"http.server_name": True, "workers": False}
    plain.ctl("config", "rollback", "--strict", check=1)
    data = plain.ctl_json("config", "rollback", "1")["data"]
    assert {c["setting"] for c in data["changes"]} == {"http.server_name"}


def test_diff_of_generations(plain):
    named(plain, "one")
    plain.write_config({"routes": [], "workers": 3})
    plain.ctl("reload")
    rows = {r["setting"]: r for r in plain.ctl_json("config", "diff", "1")["data"]}
    assert rows["http.server_name"]["old"] == "rushgate"
    assert rows["http.server_name"]["new"] == "one"
    assert rows["routes[hello]"]["new"] == "absent"
    assert rows["workers"]["needs_restart"] and not rows["routes[hello]"]["needs_restart"]
    rows = plain.ctl_json("config", "diff", "1", "2")["data"]
    assert [r["setting"] for r in rows] == ["http.server_name"]
    assert plain.ctl_json("config", "diff", "2", "1")["data"][0]["new"] == "rushgate"
    assert plain.ctl_json("config", "diff", "3")["data"] == []
    plain.ctl("config", "diff", "9", check=7)
    plain.ctl("config", "diff", check=2)


def test_as_many_are_kept_as_was_said(make_gateway):
    gateway = make_gateway({"generations": {"keep": KEEP}}, base=plain_config()).start()
    for i in range(3 * KEEP):
        named(gateway, f"name-{i}")
    rows = listed(gateway)
    assert [r["generation"] for r in rows] == list(range(3 * KEEP + 1, 2 * KEEP, -1))
    gateway.ctl("config", "rollback", str(2 * KEEP), check=7)
    gateway.ctl("config", "rollback", str(2 * KEEP + 1))
    assert server(gateway) == f"name-{2 * KEEP - 1}"
    gateway.write_config({"generations": {"keep": 0}})
    gateway.ctl("reload")
    assert len(listed(gateway)) == 1
    gateway.ctl("config", "rollback", check=1)


def test_routes_and_counters_come_back(plain):
    """What a rollback brings back counts on where it was."""
    def requests(route):
        rows = plain.ctl_json("show", "routes")["data"]
        return {r["route"]: r["requests"] for r in rows}.get(route)
    for _ in range(3):
        assert plain.client.get("/hello").status == 200
    routes = plain.config["routes"]
    for i in range(10):
        plain.write_config({"routes": [{"name": f"r{i}", "match": {"path": f"/r{i}"},
                                        "respond": {"status": 200, "body": str(i)}}]})
        plain.ctl("reload")
        assert plain.client.get(f"/r{i}").body == str(i).encode()
        assert plain.client.get("/hello").status == 404
    plain.ctl("config", "rollback", "1")
    wait_for(lambda: requests("hello") == 3, "the counters of /hello")
    assert plain.client.get("/hello").status == 200
    plain.ctl("config", "rollback", "5")
    assert plain.client.get("/r3").body == b"3"
    wait_for(lambda: requests("r3") == 2, "the counters of /r3")
    plain.write_config({"routes": routes})


def test_rollback_while_a_worker_stands_still(plain):
    """Nobody waits for it: neither the others nor the next command."""
    named(plain, "one")
    worker = plain.processes("worker")[0]
    os.kill(worker, signal.SIGSTOP)
    try:
        plain.write_config({"http": {"server_name": "two"}})
        plain.ctl("reload", "--wait", "0s")
        answer = plain.ctl_json("config", "rollback", "--wait", "1s", check=6)
        assert answer["error"]["code"] == "timed_out"
        plain.ctl("config", "rollback", "--wait", "0s")
    finally:
        os.kill(worker, signal.SIGCONT)
    plain.ctl("config", "rollback")
    for _ in range(20):
        assert server(plain) == "one"
    plain.errors_expected = True


@pytest.mark.skipif(tracing.RECVFROM is None, reason="the call's number is not known here")
def test_a_request_begins_under_what_is_in_force_by_then(make_gateway):
    """Not under what was when the turn of the worker's loop began, which may have been long ago."""
    gateway = make_gateway(config={"workers": 1}, base=plain_config()).start()
    named(gateway, "one")
    with gateway.client.connect() as kept:
        assert kept.request("GET", "/hello").header("Server") == "one"
        request = compose("GET", "/hello", None, None, kept.host)
        with tracing.before_recv(gateway.processes("worker")[0], lambda: kept.send(request * 2)):
            gateway.ctl("config", "rollback", "--wait", "0s")
        assert [kept.response().header("Server") for _ in range(2)] == ["rushgate"] * 2


def test_rolled_back_generation_survives_worker_death(plain):
    named(plain, "one")
    plain.ctl("config", "rollback")
    plain.kill_and_wait("worker")
    for _ in range(20):
        assert server(plain) == "rushgate"


def test_runtime_changes_stay_over_a_rollback(plain):
    """What is rolled back is what files said. Changes in force stay, ended ones do not come back."""
    def level():
        rows = plain.ctl_json("show", "config")["data"]
        return {r["setting"]: r["value"] for r in rows}["log.level"]
    named(plain, "one")
    plain.ctl("set", "log.level", "info", "--for", "1h")
    assert [r["first_generation"] for r in listed(plain)] == [2, 1]  # no configuration of its own
    named(plain, "two")
    plain.ctl("config", "rollback")
    assert server(plain) == "one" and level() == "info"
    row = listed(plain)[0]
    assert (row["origin"], row["runtime_changes"]) == ("rollback", 1), row
    plain.ctl("changes", "revert", "--all")
    assert server(plain) == "one" and level() == "notice"
    plain.ctl("config", "rollback")  # generation two was compiled with the change over it
    assert server(plain) == "two" and level() == "notice"
    assert plain.ctl_json("status")["data"]["config_differs_from_file"] is None


def test_runtime_changes_take_no_reason_away(plain):
    """What the line says of its configuration stays, over a change, its end and a reload of the same."""
    named(plain, "one", "--reason", "a try")
    before = listed(plain)[0]
    for words in (("set", "log.level", "info"), ("changes", "revert", "--all"), ("reload",)):
        plain.ctl(*words)
        after = listed(plain)[0]
        kept = ("reason", "changes", "origin", "first_generation")
        assert [after[k] for k in kept] == [before[k] for k in kept], (words, after)
        assert after["runtime_changes"] == (1 if words[0] == "set" else 0)
        if words[0] != "reload":
            assert after["since"] == before["since"]


def test_swaps_are_felt_by_no_request(plain):
    """Rollbacks one after the other over one connection, as fast as they go."""
    named(plain, "one")
    worked = set()
    with plain.client.connect() as kept, socket.socket(socket.AF_UNIX) as control:
        control.connect(plain.path("run", "rushgate.sock"))
        answers = control.makefile("rb")
        for i in range(SWAPS):
            # Now and then all have caught up: a worker that gets no core keeps banks from reuse.
            flags = {"wait": "10s" if i % 16 == 15 else "0s"}
            line = json.dumps({"v": 1, "argv": ["config", "rollback"], "flags": flags}) + "\n"
            control.sendall(line.encode())
            document = json.loads(answers.readline())
            assert "data" in document and document["data"]["generation"] == 3 + i, document
            if i % 3 == 0:
                answer = kept.request("GET", "/hello")
                assert answer.status == 200, answer
                # It was asked after the swap had been acknowledged.
                assert answer.header("Server") == ("rushgate", "one")[i % 2], i
                worked.add(answer.header("Server"))
        answers.close()
    assert worked == {"one", "rushgate"}
    assert [r["first_generation"] for r in listed(plain)] == [2, 1]  # as many swaps came in pairs
    assert plain.metrics()["rushgate_config_adoption_seconds_count"] >= 2
    assert server(plain) == "one"


def test_what_is_kept_gives_way_to_what_is_in_use(gateway):
    """Requests that do not end hold all banks but those that are kept: a runtime change is refused, a reload is
    not, and the log says what it cost."""
    gateway.errors_expected = True
    gateway.config["http"] = {**gateway.config.get("http", {}), "body_timeout": "120s"}
    gateway.create_event("demo")
    kept = [named(gateway, f"kept-{i}") for i in range(3)]
    uploads = []
    try:
        for i in range(70):
            uploads.append(gateway.client.connect())
            uploads[-1].send(b"POST /api/v1/events/demo/orders HTTP/1.1\r\nHost: a\r\nX-User-Id: ann\r\n"
                             b"Idempotency-Key: %d\r\nContent-Length: 19\r\n\r\n{" % i)
            wait_for(lambda: sum(r["requests"] or 0 for r in gateway.ctl_json("show", "workers")["data"])
                     == len(uploads), "the request to be seen")
            done = gateway.ctl("set", "http.server_name", f"name-{i}", check=None)
            if done.returncode != 0:
                break
        assert "banks are in use" in done.stderr, done.stderr
        assert len(listed(gateway)) == len(kept) + 1
        gateway.write_config({"http": {"server_name": "last"}, "drain_timeout": "7s"})
        assert "ok: generation" in gateway.ctl("reload").stdout
        assert "every bank is in use: generation 1 is kept no longer" in gateway.error_log()
    finally:
        for c in uploads:
            c.close()
