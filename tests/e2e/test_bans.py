# SPDX-License-Identifier: BSD-2-Clause
"""Bans, end to end: who is refused, commands, expiry, restarts and kills, the state file, load."""

import json
import os
import random
import signal
import socket
import threading
import time

import pytest

from client import assert_problem
from gateway import SHORT, plain_config, wait_for


@pytest.fixture
def g(make_gateway):
    return make_gateway(base=plain_config()).start()


def ask(g, address="192.0.2.1", path="/hello", **headers):
    """Seen as this address, through the trusted proxy that we are."""
    return g.client.get(path, {"X-Forwarded-For": address, **headers})


def bans(g, *words):
    return {row["ban"]: row for row in g.ctl_json("show", "bans", *words)["data"]}


def state(g):
    with open(g.path("data", "bans")) as f:
        return f.read()


def test_refusal(g):
    assert ask(g).status == 200
    done = g.ctl_json("ban", "add", "192.0.2.1", "--reason", "scraper, secret")
    assert done["data"] == {"added": 1, "bans": 1, "until": None}
    answer = ask(g)
    assert_problem(answer, 403, "banned")
    assert b"scraper" not in answer.body and b"192.0.2.1" not in answer.body
    assert ask(g, "192.0.2.2").status == 200
    g.ctl("ban", "rm", "192.0.2.1")
    assert ask(g).status == 200


def test_prefixes_and_exceptions(g):
    g.ctl("ban", "add", "10.2.0.0/16", "2001:db8:5::/48")
    g.ctl("ban", "add", "10.2.3.0/24", "--allow")
    g.ctl("ban", "add", "10.2.3.9")
    assert ask(g, "10.2.9.1").status == 403
    assert ask(g, "10.2.3.1").status == 200
    assert ask(g, "10.2.3.9").status == 403
    assert ask(g, "10.3.0.1").status == 200
    assert ask(g, "2001:db8:5:1::1").status == 403
    assert ask(g, "2001:db8:6::1").status == 200
    assert set(bans(g, "10.2.3.9")) == {"10.2.0.0/16", "10.2.3.0/24", "10.2.3.9"}
    assert bans(g)["10.2.3.0/24"]["action"] == "allow"


def test_identities(g):
    g.ctl("ban", "add", "identity:ann")
    assert ask(g, **{"X-User-Id": "ann"}).status == 403
    assert ask(g, **{"X-User-Id": "anna"}).status == 200
    assert ask(g).status == 200
    metrics = g.metrics()
    assert metrics['rushgate_ban_refused_total{by="identity"}'] == 1
    assert metrics['rushgate_ban_refused_total{by="address"}'] == 0


def test_refused_without_reading_the_body(g):
    g.ctl("ban", "add", "127.0.0.1")
    with g.client.connect() as c:
        c.send(b"GET /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")
        assert c.response().status == 403


def test_show_and_log(g):
    g.ctl("ban", "add", "192.0.2.0/24", "--for", "2h", "--reason", "b\u00f6se")
    for _ in range(3):
        assert ask(g).status == 403
    row = bans(g)["192.0.2.0/24"]
    assert row["hits"] == 3 and row["reason"] == "b\u00f6se" and row["by"] == f"uid {os.getuid()}"
    assert 7100 < row["left_s"] <= 7200 and row["action"] == "deny"
    assert row["last_hit"] is not None and row["until"] > row["since"]
    table = g.ctl("show", "bans").stdout
    assert "192.0.2.0/24" in table and "HITS" in table

    def logged():
        with open(g.path("log", "access.log")) as f:
            return [json.loads(line).get("reason") for line in f]
    wait_for(lambda: logged().count("banned") == 3, "the access log")


def test_expiry(g):
    g.ctl("ban", "add", "192.0.2.1", "--for", "700ms")
    g.ctl("ban", "add", "192.0.2.0/24", "--for", "1h")
    g.ctl("ban", "add", "198.51.100.7", "--for", "700ms")
    assert ask(g).status == 403 and ask(g, "198.51.100.7").status == 403
    wait_for(lambda: ask(g, "198.51.100.7").status == 200, "the end of a ban")
    assert ask(g).status == 403  # the prefix around it is still there
    wait_for(lambda: set(bans(g)) == {"192.0.2.0/24"}, "the list without the expired")
    wait_for(lambda: "198.51.100.7" not in state(g), "the file without the expired")


def test_again_means_new_terms(g):
    g.ctl("ban", "add", "192.0.2.1", "--for", "1h")
    ask(g)
    done = g.ctl_json("ban", "add", "192.0.2.1")
    assert done["data"]["added"] == 0
    row = bans(g)["192.0.2.1"]
    assert row["until"] is None and row["hits"] == 1


@pytest.mark.parametrize("words, code, says", [
    (["ban", "add"], 2, "an argument is missing"),
    (["ban", "add", "nonsense"], 2, '"nonsense" is no address, prefix or identity'),
    (["ban", "add", "10.2.3.4/16"], 2, "write 10.2.0.0/16"),
    (["ban", "add", "0.0.0.0/0"], 2, "the shortest is /8"),
    (["ban", "add", "192.0.2.9", "10.0.0.0/40"], 2, '"10.0.0.0/40" is no address'),
    (["ban", "add", "identity:" + "x" * 129], 2, "1 to 128 visible"),
    (["ban", "add", "192.0.2.9", "--for", "soon"], 2, '"soon" is no duration'),
    (["ban", "add", "192.0.2.9", "--for", "0"], 2, "--for"),
    (["ban", "add", "192.0.2.9", "--for", "400d"], 2, "at most 366d"),
    (["ban", "add", "192.0.2.9", "--reason", "a\nb"], 2, "one line"),
    (["ban", "add", "192.0.2.9", "--reason", "x" * 201], 2, "at most 200 bytes"),
    (["ban", "add", "identity:ann", "--allow"], 2, "--allow is"),
    (["ban", "rm"], 2, "name them, or --all"),
    (["ban", "rm", "192.0.2.1", "--all"], 2, "name them, or --all"),
    (["ban", "rm", "192.0.2.77"], 7, "192.0.2.77 is not banned"),
    (["ban", "rm", "192.0.2.1", "10.2.3.4"], 7, "it lies in 10.2.0.0/16"),
    (["show", "bans", "nonsense"], 2, "is no address"),
])
def test_bad_input_changes_nothing(bad_input_gateway, words, code, says):
    g = bad_input_gateway
    before = bans(g), state(g)
    done = g.ctl(*words, check=code)
    assert says in done.stderr, done.stderr
    assert (bans(g), state(g)) == before


@pytest.fixture(scope="module")
def bad_input_gateway(shared_plain):
    shared_plain.ctl("ban", "add", "192.0.2.1", "10.2.0.0/16")
    return shared_plain


def test_remove_all(g):
    g.ctl("ban", "add", "192.0.2.1", "10.2.0.0/16", "identity:ann")
    assert g.ctl_json("ban", "rm", "--all")["data"] == {"removed": 3, "bans": 0}
    assert bans(g) == {} and ask(g).status == 200
    assert g.ctl_json("ban", "rm", "--all")["data"]["removed"] == 0


# ---- what lasts ----

def test_survives_restart(g):
    g.ctl("ban", "add", "192.0.2.1", "identity:ann", "--reason", "x", "--for", "3h")
    g.ctl("ban", "add", "10.2.0.0/16", "--for", "1s")
    before = bans(g)
    g.stop()
    time.sleep(1)
    g.start()
    assert ask(g).status == 403
    after = bans(g)
    assert set(after) == {"192.0.2.1", "identity:ann"}
    for key in ("since", "until", "by", "reason"):
        assert after["192.0.2.1"][key] == before["192.0.2.1"][key]


def test_survives_kill_of_the_master(g):
    g.errors_expected = True
    g.ctl("ban", "add", "192.0.2.1")
    os.kill(g.process.pid, signal.SIGKILL)
    g.process.wait()
    assert ask(g).status == 403  # the workers it left serve on, with its bans
    g.start()  # the old keeper may have said that it is ready
    wait_for(lambda: g.ctl("status", check=None).returncode == 0, "the new master")
    assert ask(g).status == 403
    assert set(bans(g)) == {"192.0.2.1"}


def test_killed_workers_forget_nothing(g):
    g.errors_expected = True
    g.ctl("ban", "add", "192.0.2.1")
    ask(g)
    for i in range(2):
        g.kill_and_wait("worker", i)
    assert ask(g).status == 403
    assert bans(g)["192.0.2.1"]["hits"] == 2


@pytest.mark.parametrize("damage", [
    lambda text: text[: len(text) // 2],
    lambda text: text.replace("192.0.2.1", "192.0.2.2"),
    lambda text: "",
    lambda text: "\0" * 5000,
])
def test_damaged_file_is_moved_aside(g, damage):
    g.ctl("ban", "add", "192.0.2.1")
    g.stop()
    text = damage(state(g))
    with open(g.path("data", "bans"), "w") as f:
        f.write(text)
    g.start()
    assert ask(g).status == 200 and bans(g) == {}
    aside, = [n for n in os.listdir(g.path("data")) if n.startswith("bans.bad-")]
    with open(g.path("data", aside)) as f:
        assert f.read() == text
    assert "cannot be used" in g.logs()
    g.ctl("ban", "add", "192.0.2.1")
    assert "192.0.2.1" in state(g)


def test_file_that_others_could_write_is_not_believed(g):
    g.ctl("ban", "add", "192.0.2.1")
    g.stop()
    os.chmod(g.path("data", "bans"), 0o666)
    g.start()
    assert bans(g) == {} and "others could have written it" in g.logs()


def test_unwritable_file(g):
    """In force, and the answer says that it would not last; written when that is possible again."""
    g.errors_expected = True
    g.ctl("ban", "add", "192.0.2.1")
    os.mkdir(g.path("data", "bans.new"))
    document = g.ctl_json("ban", "add", "192.0.2.2")
    warning, = document["warnings"]
    assert "would not survive a restart" in warning and g.path("data", "bans") in warning
    assert ask(g, "192.0.2.2").status == 403
    assert "192.0.2.2" not in state(g)
    os.rmdir(g.path("data", "bans.new"))
    wait_for(lambda: "192.0.2.2" in state(g), "another try")


def test_without_a_file(make_gateway):
    g = make_gateway({"bans": {"state_file": "off"}}, base=plain_config()).start()
    assert g.ctl_json("ban", "add", "192.0.2.1")["warnings"] == []
    assert ask(g).status == 403
    g.stop()
    g.start()
    assert ask(g).status == 200


# ---- under load ----

def test_many_changes_under_load(g):
    """What a command said is true for every request that begins after it; the rest is untouched."""
    stop, wrong, served = threading.Event(), [], [0]

    def play(seed):
        rng = random.Random(seed)
        with g.client.connect() as c:
            while not stop.is_set():
                always = rng.random() < 0.5
                address = "198.51.100.7" if always else f"203.0.113.{rng.randrange(256)}"
                status = c.request("GET", "/hello", None, {"X-Forwarded-For": address}).status
                served[0] += 1
                if status != (403 if always else 200):
                    wrong.append((address, status))
    g.ctl("ban", "add", "198.51.100.0/24")
    players = [threading.Thread(target=play, args=(i,)) for i in range(3)]
    for p in players:
        p.start()
    rng = random.Random(7)
    for i in range(10 if SHORT else 40):
        address = f"192.0.2.{rng.randrange(256)}"
        g.ctl("ban", "add", address, f"10.{i}.0.0/16", f"identity:b{i}")
        assert all(ask(g, address).status == 403 for _ in range(4))
        g.ctl("ban", "rm", address)
        assert all(ask(g, address).status == 200 for _ in range(4))
    stop.set()
    for p in players:
        p.join()
    assert not wrong and served[0] > 100


# ---- lists ----

def load(g, text, *words, check=0):
    with open(g.path("list.txt"), "w") as f:
        f.write(text)
    return g.ctl("--json", "ban", "load", g.path("list.txt"), *words, check=check)


def test_load(g):
    n = 5000 if SHORT else 20000
    lines = [f"10.{i >> 8}.{i & 255}.0/24  # {i}" for i in range(n - 3)]
    text = "\n".join(["; a list", "", *lines, "192.0.2.1", "2001:db8:5::/48", "identity:ann"])
    done = json.loads(load(g, text, "--for", "1h", "--reason", "daily").stdout)
    assert done["data"]["added"] == done["data"]["bans"] == n
    assert ask(g).status == ask(g, "10.3.7.9").status == ask(g, "2001:db8:5::9").status == 403
    assert ask(g, "172.16.0.1").status == 200
    document = g.ctl_json("show", "bans")
    assert len(document["data"]) == min(n, 10000)
    assert n <= 10000 or f"and {n - 10000} more" in document["warnings"][0]
    assert bans(g, "192.0.2.1")["192.0.2.1"]["reason"] == "daily"
    assert json.loads(load(g, text).stdout)["data"]["added"] == 0  # now without an end
    g.stop()
    g.start()
    assert ask(g).status == 403
    assert g.ctl_json("ban", "rm", "--all")["data"]["removed"] == n


def test_load_is_all_or_nothing(g):
    done = load(g, "192.0.2.1\n\n  10.2.3.4/16\nwhat\n", check=2)
    errors = json.loads(done.stdout)["error"]["errors"]
    assert [(e["line"], e["column"]) for e in errors] == [(3, 3), (4, 1)]
    assert errors[0]["file"] == g.path("list.txt")
    assert "write 10.2.0.0/16" in errors[0]["message"]
    assert bans(g) == {} and ask(g).status == 200
    people = g.ctl("ban", "load", g.path("list.txt"), check=2).stderr
    assert f"{g.path('list.txt')}:4:1: error: \"what\" is no address" in people
    assert "nothing changed" in people


def test_load_more_than_there_is_room_for(g):
    lines = [f"{10 + (i >> 16)}.{i >> 8 & 255}.{i & 255}.1" for i in range((1 << 18) + 1)]
    assert "no room" in json.loads(load(g, "\n".join(lines), check=1).stdout)["error"]["message"]
    assert bans(g) == {}


def test_load_without_a_file(g):
    assert "No such file" in g.ctl("ban", "load", g.path("none"), check=2).stderr
    assert "Is a directory" in g.ctl("ban", "load", g.prefix, check=2).stderr
    with socket.socket(socket.AF_UNIX) as s:  # who speaks to the socket by hand
        s.connect(g.path("run", "rushgate.sock"))
        line = b'{"v":1,"argv":["ban","load","x"]}\n'
        s.sendall(line)
        assert b"no usable file" in s.recv(65536)
        with open(g.file, "rb") as f:  # a file that somebody could still change, or take away
            socket.send_fds(s, [line], [f.fileno()] * 3)
            assert b"no usable file" in s.recv(65536)
        socket.send_fds(s, [b'{"v":1,"argv":["status"]}\n'], [s.fileno()])
        assert b'"state":"running"' in s.recv(65536)
    master = g.process.pid
    count = len(os.listdir(f"/proc/{master}/fd"))
    for _ in range(5):
        load(g, "192.0.2.1")
    wait_for(lambda: len(os.listdir(f"/proc/{master}/fd")) <= count, "descriptors to be closed")


def test_audit(g):
    g.ctl("ban", "add", "192.0.2.1", "--reason", "why")
    g.ctl("ban", "rm", "192.0.2.1")
    with open(g.path("log", "audit.log")) as f:
        add, rm = [r for r in map(json.loads, f) if r["command"].startswith("ban")]
    assert add["changes"] == [{"setting": "192.0.2.1", "old": "", "new": "deny"}]
    assert add["reason"] == "why"
    assert rm["changes"] == [{"setting": "192.0.2.1", "old": "deny", "new": ""}]
