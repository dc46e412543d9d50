# SPDX-License-Identifier: BSD-2-Clause
"""Runtime changes: over the file, in all workers, with an end, remembered, told to the audit log."""

import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time

import pytest

from gateway import BUILD, plain_config, user_name, wait_for

SLOW = "1/h"


def limited(**more):
    config = plain_config()
    config["limits"] = {"few": {"key": "client_ip", "rate": SLOW, "burst": 3}}
    config["routes"].append({"name": "limited", "match": {"path": "/limited"}, "limits": ["few"],
                             "respond": {"status": 200, "body": "in\n"}})
    config.update(more)
    return config


@pytest.fixture
def limits(make_gateway):
    return make_gateway(base=limited()).start()


def statuses(gateway, n):
    return [gateway.client.get("/limited").status for _ in range(n)]


def changes(gateway):
    return {row["setting"]: row for row in gateway.ctl_json("changes")["data"]}


def audit(gateway):
    with open(gateway.path("log", "audit.log")) as f:
        return [json.loads(line) for line in f]


def value(gateway, setting, field="value"):
    rows = gateway.ctl_json("show", "config", "--origin")["data"]
    return next(row[field] for row in rows if row["setting"] == setting)


def test_limit_set_keeps_the_buckets(limits):
    assert statuses(limits, 2) == [200, 200]
    document = limits.ctl_json("limit", "set", "few", "1/2h", "--for", "10m", "--reason", "bots")
    assert document["schema"] == "rushgate.change/1"
    row, = document["data"]["changes"]
    assert (row["setting"], row["old"], row["new"]) == ("limits.few.rate", "1/h", "1/2h")
    assert document["data"]["processes_on_it"] == document["data"]["processes_total"] == 3
    # Two hours of debt are one token at the new rate, as after a reload.
    assert statuses(limits, 3) == [200, 200, 429]
    row = changes(limits)["limits.few.rate"]
    assert (row["file_value"], row["value"], row["reason"], row["uid"]) == \
        ("1/h", "1/2h", "bots", os.getuid())
    assert 590 < row["left_s"] <= 600
    assert value(limits, "limits.few.rate", "origin") == \
        f"runtime change {row['id']}, until {row['until']}"
    assert "bots" in limits.ctl("changes").stdout


def test_mode_burst_and_rate_together(limits):
    assert statuses(limits, 4) == [200] * 3 + [429]
    limits.ctl("limit", "set", "few", "5/h", "--burst", "5", "--shadow")
    assert statuses(limits, 4) == [200] * 4
    assert set(changes(limits)) == {"limits.few.rate", "limits.few.burst", "limits.few.mode"}
    limits.ctl("limit", "set", "few", "5/h", "--enforce")
    assert 429 in statuses(limits, 8)
    text = limits.ctl("changes", "revert", "--all").stdout
    assert "limits.few.burst 5 -> 3" in text
    assert limits.ctl("changes", "revert", "--all").stdout == "no runtime changes\n"
    assert limits.ctl_json("changes", "revert", "--all")["data"]["changes"] == []
    assert changes(limits) == {} and value(limits, "limits.few.rate") == SLOW


def test_any_reloadable_setting(plain):
    plain.ctl("set", "http.server_name", "other: $1")
    for _ in range(10):
        assert plain.client.get("/hello").header("Server") == "other: $1"
    plain.ctl("set", "http.server_name", "third")  # in place of the first
    assert list(changes(plain)) == ["http.server_name"]
    plain.ctl("set", "routes[hello].respond.body", "bye")
    assert plain.client.get("/hello").body == b"bye"
    plain.ctl("set", "trusted_proxies", "10.0.0.0/8, ::1")
    assert value(plain, "trusted_proxies") == ["10.0.0.0/8", "::1"]
    number = changes(plain)["http.server_name"]["id"]
    plain.ctl("changes", "revert", str(number))
    assert plain.client.get("/hello").header("Server") == "rushgate"
    assert plain.client.get("/hello").body == b"bye"


def test_expires(plain):
    before = plain.ctl_json("status")["generation"]
    plain.ctl("set", "http.server_name", "brief", "--for", "1s")
    assert plain.client.get("/hello").header("Server") == "brief"
    wait_for(lambda: plain.client.get("/hello").header("Server") == "rushgate", "its end")
    wait_for(lambda: changes(plain) == {}, "the list to be empty")
    assert plain.ctl_json("status")["generation"] == before + 2
    event = wait_for(lambda: [r for r in audit(plain) if "expired" in r["command"]], "the audit")[0]
    assert event["changes"] == [{"setting": "http.server_name", "old": "brief", "new": "rushgate"}]
    assert "uid" not in event
    assert "runtime change 1 expired" in plain.error_log()


def test_reload_keeps_it_and_shows_the_file(limits):
    limits.ctl("limit", "set", "few", "2/h")
    limits.write_config({"limits": {"few": {"rate": "7/h", "burst": 4}}})
    limits.ctl("reload")
    row = changes(limits)["limits.few.rate"]
    assert (row["file_value"], row["value"]) == ("7/h", "2/h")
    assert limits.ctl_json("show", "limits")["data"][0]["burst"] == 4
    limits.ctl("changes", "revert", "--all")
    assert limits.ctl_json("show", "limits")["data"][0]["rate"] == "7/h"


def test_reload_without_the_setting_ends_it(limits):
    limits.ctl("limit", "set", "few", "2/h")
    limits.ctl("set", "http.server_name", "stays")
    config = json.loads(json.dumps(limits.config))
    del config["limits"]
    del config["routes"][-1]["limits"]
    limits.config = config
    limits.write_config()
    document = limits.ctl_json("reload")
    assert any("limits.few.rate = 2/h no longer fits" in w for w in document["warnings"])
    assert list(changes(limits)) == ["http.server_name"]
    assert limits.client.get("/hello").header("Server") == "stays"
    assert any(r["command"] == "runtime change 1 ended" for r in audit(limits))


def test_a_half_edited_file_is_not_looked_at(limits):
    limits.write_config(text="this: is [not")
    limits.ctl("limit", "set", "few", "2/h", "--for", "1s")
    wait_for(lambda: changes(limits) == {}, "its end")
    assert value(limits, "limits.few.rate") == SLOW
    os.unlink(limits.file)
    limits.ctl("set", "http.server_name", "other")
    assert limits.client.get("/hello").header("Server") == "other"


@pytest.mark.parametrize("words, status, code, text", [
    (("limit", "set", "fow", "1/s"), 7, "not_found", 'there is no limit "fow"'),
    (("limit", "set", "few", "fast"), 5, "config_invalid", '"fast" is not a rate'),
    (("limit", "set", "few", "1/s", "--burst", "many"), 5, "config_invalid", "limits.few.burst"),
    (("limit", "set", "few", "99999999/s"), 5, "config_invalid", "limits.few.rate"),
    (("limit", "set", "few", "1/s", "--shadow", "--enforce"), 2, "usage", "choose one"),
    (("limit", "set", "few", "1/s", "--for", "soon"), 2, "usage", "no duration"),
    (("limit", "set", "few", "1/s", "--for", "0"), 2, "usage", "lasts no time"),
    (("set", "http.sever_name", "x"), 7, "not_found", 'no setting "http.sever_name"'),
    (("set", "workers", "3"), 1, "refused", "needs a restart"),
    (("set", "http", "x"), 1, "refused", "settings below it"),
    (("set", "include", "/etc/passwd"), 1, "refused", "only a reload reads"),
    (("set", "http.server_name", "${HOME}"), 5, "config_invalid", "no variables"),
    (("set", "routes[limited].limits", "gone"), 5, "config_invalid", '"gone" is not in limits'),
    (("changes", "revert", "77"), 7, "not_found", "no runtime change 77"),
    (("changes", "revert"), 2, "usage", "or --all"),
    (("changes", "revert", "x"), 2, "usage", "no id"),
])
def test_bad_orders_change_nothing(limits, words, status, code, text):
    before = limits.ctl_json("status")["generation"]
    error = limits.ctl_json(*words, check=status)["error"]
    assert error["code"] == code
    assert text in error["message"] + error.get("details", "")
    assert changes(limits) == {}
    assert limits.ctl_json("status")["generation"] == before
    assert not os.path.exists(limits.path("data", "runtime.json.new"))


def test_hints(limits):
    assert "few" in limits.ctl_json("limit", "set", "fow", "1/s", check=7)["error"]["hint"]
    assert "server_name" in limits.ctl_json("set", "http.sever_name", "x", check=7)["error"]["hint"]
    assert "few" in limits.ctl_json("set", "limits.fow.rate", "x", check=7)["error"]["hint"]
    assert "runtime change 1: error:" in limits.ctl("set", "http.max_line", "x", check=5).stderr


def test_audit_log(limits):
    limits.ctl("limit", "set", "few", "2/h", "--for", "10m", "--reason", "why not")
    limits.ctl("set", "workers", "3", check=1)
    limits.ctl("reload")
    record, refused, reload = audit(limits)
    assert record["uid"] == os.getuid() and record["pid"] > 0 and record["time"].endswith("Z")
    assert (record["command"], record["args"]) == ("limit set", ["few", "2/h"])
    assert (record["for"], record["reason"], record["result"]) == ("10m", "why not", "ok")
    assert record["changes"] == [{"setting": "limits.few.rate", "old": "1/h", "new": "2/h"}]
    assert refused["result"].startswith("refused: ") and "changes" not in refused
    assert (reload["command"], reload["result"]) == ("reload", "ok")
    assert "limits.few.rate 1/h -> 2/h: why not: ok" in limits.error_log()
    os.rename(limits.path("log", "audit.log"), limits.path("log", "audit.1"))
    limits.ctl("reopen")
    limits.ctl("changes", "revert", "--all")
    assert [r["command"] for r in audit(limits)] == ["reopen", "changes revert"]


def restart(gateway, sig):
    gateway.process.send_signal(sig)
    gateway.process.wait()
    gateway.start()
    # Left-over processes of a killed master answer /readyz, too.
    wait_for(lambda: gateway.ctl("status", check=None).returncode == 0, "the new master")
    wait_for(lambda: "ready: 2 workers" in gateway.error_log().split("killed")[-1], "its workers")


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGTERM])
def test_survives_the_master(limits, sig):
    limits.ctl("limit", "set", "few", "2/h", "--for", "10m", "--reason", "sale")
    limits.ctl("set", "http.server_name", "brief", "--for", "1s")
    limits.ctl("set", "http.problem_base", "urn:x:")
    limits.ctl("changes", "revert", "3")
    before = changes(limits)["limits.few.rate"]
    limits.errors_expected = True
    time.sleep(1)
    restart(limits, sig)
    after = changes(limits)
    assert list(after) == ["limits.few.rate"]
    assert {k: v for k, v in after["limits.few.rate"].items() if k != "left_s"} == \
        {k: v for k, v in before.items() if k != "left_s"}
    assert limits.ctl_json("show", "limits")["data"][0]["rate"] == "2/h"
    assert limits.client.get("/hello").header("Server") == "rushgate"
    # Numbers are not given twice.
    limits.ctl("set", "http.server_name", "x")
    assert changes(limits)["http.server_name"]["id"] == 4


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version":2,"last_id":1,"changes":[]}',
                                  '{"version":1,"last_id":1,"changes":[{"id":1}]}', "\0" * 100])
def test_bad_state_file(limits, text):
    limits.ctl("limit", "set", "few", "2/h")
    limits.stop()
    with open(limits.path("data", "runtime.json"), "w") as f:
        f.write(text)
    limits.start()
    assert changes(limits) == {}
    assert "are lost" in limits.error_log()
    limits.ctl("limit", "set", "few", "3/h")
    assert list(changes(limits)) == ["limits.few.rate"]
    # One that comes later does not take its place.
    limits.stop()
    with open(limits.path("data", "runtime.json"), "w") as f:
        f.write("again" + text)
    limits.start()
    aside = [n for n in os.listdir(limits.path("data")) if n.startswith("runtime.json.bad-")]
    assert sorted(open(limits.path("data", n)).read() for n in aside) == sorted([text, "again" + text])


def test_state_that_others_could_write_is_not_believed(limits):
    limits.ctl("limit", "set", "few", "2/h")
    limits.stop()
    os.chmod(limits.path("data", "runtime.json"), 0o666)
    limits.start()
    assert changes(limits) == {} and "others could have written it" in limits.error_log()


def test_state_that_no_longer_fits(limits):
    limits.ctl("limit", "set", "few", "2/h")
    limits.ctl("set", "http.server_name", "stays")
    limits.stop()
    limits.config = plain_config() | {"listen": limits.config["listen"], "admin": limits.config["admin"]}
    limits.write_config()
    limits.start()
    assert list(changes(limits)) == ["http.server_name"]
    assert "no longer fits" in limits.error_log()


def test_full_disk(limits):
    """What cannot be remembered does not begin."""
    limits.ctl("limit", "set", "few", "2/h")
    os.rename(limits.path("data"), limits.path("data.away"))
    with open(limits.path("data"), "w"):
        pass
    error = limits.ctl_json("set", "http.server_name", "x", check=1)["error"]
    assert "cannot write the state file" in error["message"]
    assert list(changes(limits)) == ["limits.few.rate"]
    assert limits.client.get("/hello").header("Server") == "rushgate"
    # An end does not wait for room; it says that a restart would not know.
    document = limits.ctl_json("changes", "revert", "--all")
    assert "cannot write the state file" in document["warnings"][0]
    assert changes(limits) == {}
    os.unlink(limits.path("data"))
    os.rename(limits.path("data.away"), limits.path("data"))


def test_under_load(limits):
    """Orders from two sides and reloads between; no request fails, no order is lost."""
    stop, failures, asked = threading.Event(), [], [0]

    def play():
        with limits.client.connect() as c:
            while not stop.is_set():
                answer = c.request("GET", "/hello")
                asked[0] += 1
                if answer.status != 200:
                    failures.append(answer.status)

    def order(name):
        for i in range(10):
            limits.ctl("set", name, str(20 + i))
    threads = [threading.Thread(target=play) for _ in range(2)]
    orders = [threading.Thread(target=order, args=(n,)) for n in ("http.max_headers", "http.max_connections")]
    limits.write_config({"http": {"max_line": "4k"}})
    for t in threads + orders:
        t.start()
    for _ in range(5):
        limits.ctl("reload")
    for t in orders:
        t.join()
    stop.set()
    for t in threads:
        t.join()
    assert not failures and asked[0] > 10
    assert {k: row["value"] for k, row in changes(limits).items()} == \
        {"http.max_headers": "29", "http.max_connections": "29"}


def test_drained_workers_stay_away(plain):
    plain.ctl("drain")
    plain.ctl("set", "http.server_name", "other")
    assert plain.processes("worker") == []
    plain.ctl("reload")
    assert plain.client.get("/hello").header("Server") == "other"


def test_completion(limits):
    def offered(*words):
        return subprocess.run([os.path.join(BUILD, "rushctl"), "__complete", "--", "-s",
                               limits.path("run", "rushgate.sock"), *words],
                              capture_output=True, text=True, timeout=60).stdout.split()
    assert offered("limit", "set", "") == ["few"]
    assert offered("set", "limits.few.r") == ["limits.few.rate"]
    assert "--for" in offered("limit", "set", "--")


# ---- into the file ----

TEXT = """\
# The big sale.
workers: 2
user: {user}
listen: [{{name: public, address: "127.0.0.1:{port}"}}]
admin: {{address: "127.0.0.1:{admin}"}}   # metrics

http:
    # for old proxies
    max_line: 4k        # bytes

limits:
  few: {{key: client_ip, rate: 1/h}}      # by address
  many:
    key: constant
    rate: '100/s' # all together
include: ["more/*.yaml"]
routes:
  - name: limited
    match: {{path: /limited}}
    limits: [few]
    respond:
      status: 200
      body: |
        in
        two lines
  - match: {{path: /other}}
    limits: [few, many]
    name: "other"
    respond: {{status: 200, body: "${{WORD:-word}}"}}
"""


@pytest.fixture
def filed(make_gateway):
    gateway = make_gateway(base=plain_config())
    text = TEXT.format(user=user_name(), port=gateway.port, admin=gateway.admin_port)
    os.mkdir(gateway.path("more"))
    with open(gateway.path("more", "a.yaml"), "w") as f:
        f.write("log:\n  level: notice\n")
    gateway.write_config(text=text)
    gateway.text = text
    return gateway.start()


def read(path):
    with open(path) as f:
        return f.read()


def test_save_in_place(filed):
    os.chmod(filed.file, 0o640)
    filed.ctl("limit", "set", "few", "2/h", "--burst", "7", "--shadow")
    filed.ctl("limit", "set", "many", "90/s", "--shadow")
    filed.ctl("set", "http.max_line", "5k")
    filed.ctl("set", "http.server_name", "a \"b\"")
    filed.ctl("set", "log.level", "info")
    filed.ctl("set", "routes[other].respond.status", "404")
    generation = filed.ctl_json("status")["generation"]
    text = filed.ctl("changes", "save", "--all", "--reason", "good ones").stdout
    assert f"in {filed.file}:9" in text
    want = filed.text
    for old, new in [
            ("rate: 1/h}", "rate: 2/h, burst: 7, mode: shadow}"),
            ("'100/s' # all together", '"90/s" # all together\n    mode: shadow'),
            ("max_line: 4k        # bytes", 'max_line: 5k        # bytes\n    server_name: "a \\"b\\""'),
            ("{status: 200, body: \"${", "{status: 404, body: \"${")]:
        assert old in want
        want = want.replace(old, new)
    assert read(filed.file) == want
    assert read(filed.path("more", "a.yaml")) == "log:\n  level: info\n"
    assert os.stat(filed.file).st_mode & 0o777 == 0o640
    assert os.listdir(filed.prefix).count("rushgate.yaml") == 1
    assert not [n for n in os.listdir(filed.prefix) if n.startswith(".")]
    # Nothing is published, nothing differs, and the origin is the file.
    assert changes(filed) == {} and filed.ctl_json("status")["generation"] == generation
    assert value(filed, "limits.few.rate", "origin").startswith(filed.file)
    assert filed.ctl("diff").stdout == "no differences\n"
    assert filed.ctl_json("reload")["data"]["changes"] == []
    assert audit(filed)[-2]["command"] == "changes save"
    filed.stop()
    filed.start()
    assert changes(filed) == {}


def test_save_one_of_two(filed):
    filed.ctl("limit", "set", "few", "2/h")
    filed.ctl("set", "http.max_line", "5k", "--for", "10m")
    filed.ctl("changes", "save", "1")
    assert read(filed.file) == filed.text.replace("1/h}", "2/h}")
    assert list(changes(filed)) == ["http.max_line"]
    assert changes(filed)["http.max_line"]["file_value"] == "4k"


def test_save_refuses_a_file_that_was_edited(filed):
    filed.ctl("limit", "set", "few", "2/h")
    with open(filed.file, "a") as f:
        f.write("# on my way\n")
    error = filed.ctl_json("changes", "save", "--all", check=1)["error"]
    assert "is not what was loaded" in error["message"] and "reload first" in error["hint"]
    assert read(filed.file) == filed.text + "# on my way\n"
    assert list(changes(filed)) == ["limits.few.rate"]
    filed.ctl("reload")
    filed.ctl("changes", "save", "--all")
    assert "rate: 2/h}" in read(filed.file)


@pytest.mark.parametrize("setting, text, why", [
    ("routes[limited].respond.body", "one line", "spans several lines"),
    ("routes[other].respond.body", "x", "from the environment"),
    ("routes[limited].limits", "few, many", "it is a list"),
])
def test_save_that_has_no_place(filed, setting, text, why):
    filed.ctl("set", setting, text)
    filed.ctl("set", "http.max_line", "5k")
    error = filed.ctl_json("changes", "save", "--all", check=1)["error"]
    assert why in error["message"] and "by hand" in error["hint"]
    assert read(filed.file) == filed.text and len(changes(filed)) == 2


def test_save_keeps_a_link(filed):
    os.rename(filed.file, filed.path("real.yaml"))
    os.symlink("real.yaml", filed.file)
    filed.ctl("limit", "set", "few", "2/h")
    filed.ctl("changes", "save", "--all")
    assert os.path.islink(filed.file) and "rate: 2/h}" in read(filed.path("real.yaml"))


def test_save_into_json(limits):
    """What tests write is JSON, which is YAML; it stays JSON."""
    limits.ctl("limit", "set", "few", "2/h", "--shadow")
    limits.ctl("changes", "save", "--all")
    few = json.loads(read(limits.file))["limits"]["few"]
    assert few == {"key": "client_ip", "rate": "2/h", "burst": 3, "mode": "shadow"}


@pytest.mark.skipif(os.getuid() != 0, reason="mounts")
def test_save_on_a_full_disk(filed):
    """A file system without room: neither the file nor the state file is harmed."""
    filed.ctl("limit", "set", "few", "2/h")
    os.mkdir(filed.path("small"))
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", filed.path("small")],
                          capture_output=True)
    if done.returncode != 0:
        pytest.skip("no mounts here")
    try:
        shutil.copy(filed.file, filed.path("small", "rushgate.yaml"))
        os.unlink(filed.file)
        os.symlink("small/rushgate.yaml", filed.file)
        fd = os.open(filed.path("small", "fill"), os.O_WRONLY | os.O_CREAT)
        with pytest.raises(OSError):
            while True:
                os.write(fd, b"x" * 4096)
        os.close(fd)
        error = filed.ctl_json("changes", "save", "--all", check=1)["error"]
        assert "cannot write" in error["message"] and "space" in error["message"]
        assert read(filed.file) == filed.text
        assert sorted(os.listdir(filed.path("small"))) == ["fill", "rushgate.yaml"]
        assert list(changes(filed)) == ["limits.few.rate"]
        os.unlink(filed.path("small", "fill"))
        filed.ctl("changes", "save", "--all")
        assert "rate: 2/h}" in read(filed.file)
    finally:
        subprocess.run(["umount", "-l", filed.path("small")], check=True)


# ---- diff ----

def test_diff(limits):
    assert limits.ctl("diff").stdout == "no differences\n"
    limits.ctl("limit", "set", "few", "2/h")
    limits.write_config({"workers": 3, "http": {"server_name": "other"},
                         "limits": {"few": {"rate": "9/h"}}})
    rows = {r["setting"]: r for r in limits.ctl_json("diff", check=1)["data"]}
    assert set(rows) == {"workers", "http.server_name"}
    assert (rows["workers"]["new"], rows["workers"]["applies"]) == ("3", "restart")
    assert (rows["http.server_name"]["old"], rows["http.server_name"]["applies"]) == \
        ("rushgate", "reload")
    assert changes(limits)["limits.few.rate"]["file_value"] == "1/h"  # nothing was loaded
    limits.write_config(text="workrs: 1\n")
    done = limits.ctl("diff", check=5)
    assert 'unknown setting "workrs"' in done.stderr
    assert limits.client.get("/hello").header("Server") == "rushgate"


def test_nobody_waits_beside_a_stopped_worker(limits):
    """--wait as with a reload; it says who has not followed, and the next change does not queue behind it."""
    stopped = limits.processes("worker")[0]
    os.kill(stopped, signal.SIGSTOP)
    try:
        began = time.monotonic()
        document = limits.ctl_json("limit", "set", "few", "2/h", "--wait", "1s", check=6)
        assert document["error"]["code"] == "timed_out"
        assert re.search(rf"used by 2 of 3 processes, but not yet by worker \d \(process {stopped}\)",
                         document["error"]["message"]), document
        assert document["data"]["changes"][0]["new"] == "2/h"
        limits.ctl("set", "http.server_name", "now", "--wait", "0s")
        limits.ctl("changes", "revert", "--all", "--wait", "1s", check=6)
        slow = [threading.Thread(target=limits.ctl, args=("set", "http.server_name", "slow", "--wait", "30s"),
                                 kwargs={"check": None})]
        slow[0].start()
        wait_for(lambda: "http.server_name" in changes(limits), "the change that somebody waits for")
        limits.ctl("limit", "set", "few", "7/h", "--wait", "0s")
        assert set(changes(limits)) == {"http.server_name", "limits.few.rate"}
        assert time.monotonic() - began < 25
    finally:
        os.kill(stopped, signal.SIGCONT)
    slow[0].join()
    limits.errors_expected = True


def test_changes_beside_a_stopped_worker_leave_room(limits):
    """It keeps every bank published since; so before they run out, changes are refused and the answer names it."""
    limits.write_config({"http": {"server_name": "one"}})
    limits.ctl("reload")
    kept = limits.ctl("show", "generations").stdout.count("kept")
    stopped = limits.processes("worker")[0]
    os.kill(stopped, signal.SIGSTOP)
    try:
        for i in range(8):
            limits.ctl("limit", "set", "few", f"{i + 2}/h", "--wait", "0s", "--for", "2s")
        error = limits.ctl_json("limit", "set", "few", "20/h", "--wait", "0s", check=1)["error"]
        assert error["code"] == "refused" and "can be killed" in error["hint"], error
        assert re.search(rf"worker \d \(process {stopped}\) has not followed the last 8 generations", error["message"])
        wait_for(lambda: changes(limits) == {}, "the end of the change")
        for i in range(7):
            limits.ctl("set", "http.server_name", "x", "--wait", "0s", check=1)
        assert limits.ctl("show", "generations").stdout.count("kept") == kept
        limits.ctl("reload", "--wait", "0s")
    finally:
        os.kill(stopped, signal.SIGKILL)
    wait_for(lambda: limits.ctl("set", "http.server_name", "now", check=None).returncode == 0, "room for changes")
    assert limits.client.get("/hello").header("Server") == "now"
    limits.errors_expected = True


def test_what_is_over_has_no_end(limits):
    limits.ctl("limit", "set", "few", "2/h", "--for", "1h")
    assert "until" in limits.ctl("limit", "set", "few", "4/h", "--for", "1h").stdout
    document = limits.ctl_json("changes", "revert", "--all")
    assert document["data"]["changes"][0]["until"] is None, document
    limits.ctl("limit", "set", "few", "2/h", "--for", "1h")
    assert "until" not in limits.ctl("changes", "save", "--all").stdout


def test_a_path_with_a_dot_for_brackets(plain):
    error = plain.ctl_json("set", "routes.hello.deadline", "3s", check=7)["error"]
    assert "routes[hello]" in error["hint"], error


def test_a_configuration_without_routes_is_warned_of(make_gateway):
    gateway = make_gateway({"routes": []}, base=plain_config()).start()
    words = "has no routes: every request is answered with 404"
    assert words in gateway.error_log()
    assert any(words in w for w in gateway.ctl_json("reload")["warnings"])
    assert any(words in w for w in gateway.ctl_json("check")["warnings"])
    assert words in gateway.ctl("check").stderr
