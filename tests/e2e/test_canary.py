# SPDX-License-Identifier: BSD-2-Clause
"""A configuration for a share of the buyers: who gets it, who does not, and how it ends."""

import os
import re
import signal
import threading

import pytest
from gateway import SHORT, plain_config, wait_for

BUYERS = 60 if SHORT else 200


def with_body(gateway, body, status=200, **more):
    gateway.write_config({"routes": [{"name": "hello", "match": {"path": "/hello"},
                                      "respond": {"status": status, "type": "text/plain", "body": body}}],
                          **more})


def ask(gateway, buyer, path="/hello"):
    return gateway.client.get(path, {"X-User-Id": buyer})


def sides(gateway, buyers=BUYERS):
    """{buyer: body}"""
    return {f"buyer-{i}": ask(gateway, f"buyer-{i}").body.decode() for i in range(buyers)}


def rolled_back(gateway):
    """How often, by whom."""
    seen = gateway.metrics()
    return {by: seen[f'rushgate_canary_rolled_back_total{{by="{by}"}}'] for by in ("rule", "operator", "change")}


def listed(gateway):
    return {r["state"]: r for r in gateway.ctl_json("show", "generations")["data"]}


def start(gateway, share="20%", *flags, body="canary", **more):
    with_body(gateway, body, **more)
    return gateway.ctl_json("reload", "--canary", share, *flags)


def test_a_share_of_the_buyers_and_always_the_same(plain):
    document = start(plain, "20%", "--reason", "a try")
    data = document["data"]
    assert document["schema"] == "rushgate.canary/1"
    assert (data["old_generation"], data["generation"]) == (1, 2)
    assert data["processes_on_it"] == data["processes_total"]
    assert {c["setting"] for c in data["changes"]} == {"routes[hello].respond.body",
                                                       "routes[hello].match.method"}
    first = sides(plain)
    chosen = [b for b, body in first.items() if body == "canary"]
    assert 0.08 * BUYERS < len(chosen) < 0.35 * BUYERS, len(chosen)
    assert sides(plain) == first  # other connections, other workers
    # More take part: those who did go on.
    plain.ctl("config", "canary", "50%")
    more = sides(plain)
    assert all(more[b] == "canary" for b in chosen)
    assert 0.35 * BUYERS < sum(b == "canary" for b in more.values()) < 0.65 * BUYERS
    plain.ctl("config", "canary", "100%")
    assert set(sides(plain, 30).values()) == {"canary"}
    plain.ctl("config", "canary", "0.01%")
    assert set(sides(plain, 10).values()) == {"hello\n"}


def test_figures_of_both_sides(plain):
    start(plain, "50%", "--reason", "a try")
    bodies = list(sides(plain).values())
    def counted():
        rows = listed(plain)
        return rows["canary"]["requests"] == bodies.count("canary") and \
            rows["current"]["requests"] == bodies.count("hello\n") and rows
    rows = wait_for(counted, "the figures")
    assert rows["canary"]["share"] == 0.5 and rows["canary"]["reason"] == "a try"
    assert rows["canary"]["responses_5xx"] == 0 and rows["canary"]["latency_p99_s"] > 0
    text = plain.ctl("status").stdout
    assert "generation 2 serves 50% of the buyers" in text, text
    metrics = plain.metrics()
    assert metrics['rushgate_canary_requests_total{side="canary",code="2xx"}'] == bodies.count("canary")
    assert metrics["rushgate_canary_share_ratio"] == 0.5
    plain.ctl("config", "rollback")
    assert "canary" not in listed(plain)
    assert plain.metrics()["rushgate_canary_share_ratio"] == 0
    # The next one begins at nothing.
    start(plain, "1%")
    assert listed(plain)["canary"]["requests"] == 0


def test_promoted(plain):
    start(plain, "20%")
    document = plain.ctl_json("config", "promote", "--reason", "it is good")
    assert (document["data"]["old_generation"], document["data"]["generation"]) == (1, 3)
    assert set(sides(plain, 40).values()) == {"canary"}
    rows = plain.ctl_json("show", "generations")["data"]
    assert [(r["generation"], r["state"], r["origin"]) for r in rows] == \
        [(3, "current", "canary"), (1, "kept", "start")]
    assert rows[0]["reason"] == "it is good" and rows[0]["of_file"]
    assert not any(rolled_back(plain).values())
    plain.ctl("config", "rollback")
    assert set(sides(plain, 40).values()) == {"hello\n"}


def test_rolled_back(plain):
    start(plain, "100%")
    assert set(sides(plain, 10).values()) == {"canary"}
    document = plain.ctl_json("config", "rollback")
    assert document["data"]["generation"] == 1 and document["warnings"], document
    wait_for(lambda: set(sides(plain, 20).values()) == {"hello\n"}, "the end of the canary")
    assert plain.ctl_json("status")["data"]["canary"] is None
    assert rolled_back(plain) == {"rule": 0, "operator": 1, "change": 0}
    for words in (("config", "promote"), ("config", "canary", "5%")):
        assert plain.ctl_json(*words, check=1)["error"]["code"] == "refused"
    # Generations go on rising.
    with_body(plain, "mended")
    assert plain.ctl_json("reload")["data"]["generation"] == 3


def refused(gateway, *words):
    error = gateway.ctl_json(*words, check=1)["error"]
    gateway.errors_expected = True
    assert error["code"] == "refused", error
    return error["details"] if "details" in error else error["message"]


def test_the_file_still_holds_what_was_rolled_back(plain):
    """Told by status, diff and the log; a reload and an upgrade bring it back only by --force."""
    start(plain, "20%", "--reason", "a try")
    status = plain.ctl_json("status")["data"]
    assert status["config_differs_from_file"] is None and status["canary"]["of_file"]
    assert not listed(plain)["current"]["of_file"]
    answer = plain.ctl_json("config", "rollback", "--reason", "it is slow")
    assert any("still holds what was rolled back" in w for w in answer["warnings"]), answer
    differs = plain.ctl_json("status")["data"]["config_differs_from_file"]
    assert differs.items() >= {"origin": "canary_rollback", "by": f"uid {os.getuid()}", "reason": "it is slow",
                               "file_generation": 2}.items(), differs
    assert differs["file_in_force_since"] <= differs["since"]
    text = plain.ctl("status").stdout
    for words in ("differs from the file, which holds canary generation 2, rolled back", "it is slow",
                  "rushctl diff", "--force"):
        assert words in text, text
    answer = plain.ctl_json("diff", check=1)
    assert any("canary generation 2" in w for w in answer["warnings"]), answer
    for words in (["reload"], ["upgrade"]):
        told = refused(plain, *words)
        assert "rushgate.yaml still holds canary generation 2, rolled back" in told, told
        assert "--force" in told
    plain.process.send_signal(signal.SIGHUP)
    wait_for(lambda: len(re.findall(r"Z error \S+ \S+rushgate.yaml still holds canary generation 2", plain.error_log())) == 2,
             "the refusals of the command and of SIGHUP in the log")
    assert set(sides(plain, 20).values()) == {"hello\n"}
    # A comment mends nothing.
    with open(plain.file, "a") as f:
        f.write("# mended?\n")
    refused(plain, "reload")
    # A share may try it again, by hand, and is told; in the log too.
    answer = plain.ctl_json("reload", "--canary", "20%")
    assert any("tried again" in w for w in answer["warnings"]), answer
    assert plain.ctl_json("status")["data"]["config_differs_from_file"] is None
    plain.ctl("config", "rollback")
    answer = plain.ctl_json("reload", "--force")
    assert any("in force again is what was canary generation 3" in w for w in answer["warnings"]), answer
    assert "in force again is what was canary generation 3" in plain.error_log()
    assert set(sides(plain, 20).values()) == {"canary"}
    assert plain.ctl_json("status")["data"]["config_differs_from_file"] is None
    assert plain.ctl_json("reload")["warnings"] == []


def test_a_canary_that_is_replaced_is_not_rolled_back(plain):
    """Whoever takes the file, anew or for everybody, is not warned of it; unless that fails."""
    start(plain, "20%")
    answer = plain.ctl_json("reload", "--canary", "30%", "--force")
    assert answer["warnings"] == [], answer
    answer = plain.ctl_json("reload", "--force")
    assert answer["warnings"] == [], answer
    assert set(sides(plain, 20).values()) == {"canary"}
    log = plain.error_log()
    assert "canary 2 has ended: another one begins" in log and "canary 3 has ended: a reload with --force" in log
    assert "rolled back" not in log and not any(rolled_back(plain).values())
    assert plain.ctl_json("status")["data"]["config_differs_from_file"] is None
    start(plain, "20%", body="bad")
    with open(plain.file) as f:
        text = f.read()
    plain.write_config(text="workrs: 1\n")
    plain.ctl("reload", "--force", check=5)
    assert rolled_back(plain)["operator"] == 1
    with open(plain.file, "w") as f:
        f.write(text)
    assert "canary generation 5" in refused(plain, "reload")
    assert any("in force again" in w for w in plain.ctl_json("reload", "--force")["warnings"])


def test_a_mended_file_is_reloaded(plain):
    start(plain, "20%")
    plain.ctl("config", "rollback")
    with_body(plain, "mended")
    assert plain.ctl_json("diff", check=1)["warnings"] == []
    assert plain.ctl_json("reload")["warnings"] == []
    assert set(sides(plain, 10).values()) == {"mended"}
    assert plain.ctl_json("status")["data"]["config_differs_from_file"] is None
    # What was mended is forgotten: the same content may come again.
    with_body(plain, "canary")
    plain.ctl("reload")


def test_a_canary_that_says_nothing_new_leaves_nothing_behind(plain):
    plain.ctl("reload", "--canary", "20%")
    plain.ctl("config", "rollback")
    assert not any(rolled_back(plain).values())
    assert plain.ctl_json("status")["data"]["config_differs_from_file"] is None
    assert listed(plain)["current"]["of_file"]
    plain.ctl("reload")


def test_rolled_back_with_runtime_changes_over_it(plain):
    """Those are not what the file says: with or without them it is the same file."""
    start(plain, "20%")
    plain.ctl("set", "log.level", "info")
    plain.ctl("config", "rollback")
    refused(plain, "reload")
    plain.ctl("changes", "revert", "--all")
    refused(plain, "reload")


def test_share_and_rule_are_told(plain):
    start(plain, "20%")
    text = plain.ctl("config", "canary", "35%").stdout
    for words in ("generation 2 serves 35% of the buyers since", "after 200 requests rolled back when over 1% more",
                  "p99 is over 2 times", "promoted only by hand", "show generations", "config promote",
                  "config rollback"):
        assert words in text, text
    assert "check" not in text and "files" not in text
    assert plain.ctl_json("config", "canary", "40%")["data"]["canary"]["rule"] == {
        "min_requests": 200, "max_error_rate_increase": 0.01, "p99_factor": 2.0, "promote_after_s": None}
    text = plain.ctl("explain", "GET", "/hello", "--generation", "canary").stdout
    assert "generation 2, canary; the canary has 40 % of the buyers" in text, text


def test_what_else_may_happen_meanwhile(plain):
    start(plain, "50%")
    plain.errors_expected = True
    answer = plain.ctl("reload", check=1)
    assert "canary" in answer.stderr
    assert "canary" in plain.ctl("reload", "--canary", "5%", check=1).stderr
    assert "canary" in plain.ctl("config", "rollback", "2", check=1).stderr
    assert "canary" in plain.ctl("upgrade", check=1).stderr
    before = sides(plain)
    # A runtime change is in force on both sides, and buyers stay where they are.
    plain.ctl("set", "log.level", "info")
    assert sides(plain) == before
    assert listed(plain)["canary"]["generation"] > listed(plain)["current"]["generation"]
    with_body(plain, "next")
    assert plain.ctl_json("reload", "--canary", "100%", "--force")["data"]["generation"] == 5
    assert set(sides(plain, 20).values()) == {"next"}
    with_body(plain, "last")
    plain.ctl("reload", "--force")
    assert set(sides(plain, 20).values()) == {"last"}
    assert "canary" not in listed(plain)


@pytest.mark.parametrize("share", ["0%", "101%", "5", "x%", "-1%", "5.%", "0.001%", "1e2%", ""])
def test_shares_that_are_none(plain, share):
    with_body(plain, "canary")
    assert plain.ctl("reload", "--canary=" + share, check=2).stderr
    assert set(sides(plain, 10).values()) == {"hello\n"}


def test_a_bad_file_starts_nothing(plain):
    plain.errors_expected = True
    with_body(plain, "canary", sever="x")
    assert plain.ctl_json("reload", "--canary", "5%", check=5)["error"]["code"] == "config_invalid"
    assert "canary" not in listed(plain)


def test_restart_only_settings_are_told(plain):
    data = start(plain, "5%", workers=3)["data"]
    assert {c["setting"]: c["applied"] for c in data["changes"]}["workers"] is False


def test_survives_worker_death(plain):
    start(plain, "50%")
    before = sides(plain)
    for index in (0, 1):
        plain.kill_and_wait("worker", index)
    assert sides(plain) == before


def test_who_the_buyer_is_the_stable_side_says(make_gateway):
    """The identity header of the stable configuration decides; without identity the address does."""
    gateway = make_gateway(base=plain_config()).start()
    with_body(gateway, "canary", identity={"header": "x-other"})
    gateway.ctl("reload", "--canary", "50%")
    bodies = sides(gateway)
    assert 0.3 * BUYERS < sum(b == "canary" for b in bodies.values()) < 0.7 * BUYERS
    assert sides(gateway) == bodies
    alone = {gateway.client.get("/hello").body for _ in range(20)}
    assert len(alone) == 1


def test_bad_canary_is_rolled_back_by_rule(make_gateway):
    gateway = make_gateway({"canary": {"min_requests": 20, "max_error_rate_increase": "5%"}},
                           base=plain_config()).start()
    start(gateway, "50%", body="broken", status=500)
    for i in range(60):
        ask(gateway, f"buyer-{i}")
    wait_for(lambda: "canary" not in listed(gateway), "the rule")
    log = gateway.error_log()
    assert re.search(r"Z warn .*canary 2 is rolled back by rule: [\d.]+ % of its requests failed", log), log
    assert "holds it still: mend it before the next reload" in log
    differs = gateway.ctl_json("status")["data"]["config_differs_from_file"]
    assert differs["by"] == "rule" and "of its requests failed" in differs["reason"], differs
    assert rolled_back(gateway) == {"rule": 1, "operator": 0, "change": 0}
    assert "by rule" in refused(gateway, "reload")
    wait_for(lambda: set(sides(gateway, 30).values()) == {"hello\n"}, "its end in every worker")


def test_good_canary_is_promoted_by_rule(make_gateway):
    rule = {"min_requests": 10, "p99_factor": "0%", "promote_after": "100ms"}
    gateway = make_gateway({"canary": rule}, base=plain_config()).start()
    start(gateway, "50%")
    for i in range(60):
        ask(gateway, f"buyer-{i}")
    wait_for(lambda: "canary" not in listed(gateway), "the rule")
    assert set(sides(gateway, 30).values()) == {"canary"}
    assert listed(gateway)["current"]["origin"] == "canary"
    assert "is promoted" in gateway.error_log()


def test_canary_does_not_disturb_the_stable_upstream(gateway):
    """Another address of the same upstream: the stable side keeps its own."""
    gateway.create_event("demo", quota=1000)
    gateway.write_config({"upstreams": {"boxoffice": {"endpoints": ["unix:run/nobody.sock"]}}})
    gateway.ctl("reload", "--canary", "30%")
    codes = {f"b{i}": gateway.buy(f"b{i}").status for i in range(60)}
    assert set(codes.values()) == {201, 503}, codes
    failed = [b for b, code in codes.items() if code == 503]
    assert 5 <= len(failed) <= 35
    gateway.ctl("config", "rollback")
    wait_for(lambda: all(gateway.buy(b).status == 201 for b in failed), "the end of the canary")
    gateway.errors_expected = True


def test_limits_of_a_canary_do_not_touch_those_of_the_stable_side(make_gateway):
    """The same limit with another rate counts in buckets of its own; an unchanged one is shared. In one
    bucket the canary's small burst would forgive what the stable side owes."""
    def config(body, rate, burst):
        return {"limits": {"all": {"key": "constant", "rate": rate, "burst": burst},
                           "same": {"key": "constant", "rate": "40/h"}},
                "routes": [{"name": "hello", "match": {"path": "/hello"}, "limits": ["all"],
                            "respond": {"body": body}},
                           {"name": "same", "match": {"path": "/same"}, "limits": ["same"],
                            "respond": {"body": body}}]}
    gateway = make_gateway(config("stable", "30/h", 30), base=plain_config()).start()
    gateway.write_config(config("canary", "1000000/s", 1))
    gateway.ctl("reload", "--canary", "50%")
    answers = [ask(gateway, f"buyer-{i}") for i in range(200)]
    admitted = [a.body for a in answers if a.status == 200]
    assert admitted.count(b"stable") == 30
    assert admitted.count(b"canary") > 20
    answers = [ask(gateway, f"buyer-{i}", "/same") for i in range(100)]
    assert [a.status for a in answers].count(200) == 40


def test_no_request_fails_over_canaries(plain):
    """Begun, resized, ended and promoted while people ask."""
    stop, failures, asked = threading.Event(), [], [0]
    def reader(n):
        with plain.client.connect() as c:
            i = 0
            while not stop.is_set():
                answer = c.request("GET", "/hello", None, {"X-User-Id": f"r{n}-{i % 50}"})
                i += 1
                asked[0] += 1
                if answer.status != 200:
                    failures.append(answer)
    threads = [threading.Thread(target=reader, args=(n,)) for n in range(3)]
    for t in threads:
        t.start()
    for i in range(5 if SHORT else 20):
        start(plain, "30%", body=f"round {i}")
        plain.ctl("config", "canary", "60%")
        plain.ctl("config", "promote" if i % 2 else "rollback")
    stop.set()
    for t in threads:
        t.join()
    assert not failures and asked[0] > 50
    wait_for(lambda: not any(r["older_generations"] for r in plain.ctl_json("show", "workers")["data"]),
             "old generations to be let go")
