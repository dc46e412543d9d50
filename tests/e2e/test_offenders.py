# SPDX-License-Identifier: BSD-2-Clause
"""Who is refused most: by each kind of key, over workers and kills, and banned from what is shown."""

import threading

import pytest

from gateway import plain_config

LIMITS = {
    "address": {"key": "client_ip", "rate": "1/h", "ipv6_prefix": 48},
    "network": {"key": "client_ip", "rate": "1/h", "ipv4_prefix": 24},
    "buyer": {"key": "identity", "rate": "1/h"},
    "agent": {"key": "header:User-Agent", "rate": "1/h"},
    "both": {"key": ["identity", "path:event"], "rate": "1/h"},
    "all": {"key": "constant", "rate": "1/h"},
    "trial": {"key": "client_ip", "rate": "1/h", "mode": "shadow"},
}


@pytest.fixture
def g(make_gateway):
    config = plain_config()
    config["limits"] = LIMITS
    for name in LIMITS:
        config["routes"].append({"name": name, "match": {"path": f"/{name}/{{event}}"},
                                 "limits": [name], "respond": {"status": 200}})
    return make_gateway(base=config).start()


def ask(g, n, route, address="192.0.2.1", **headers):
    return [g.client.get(f"/{route}/demo", {"X-Forwarded-For": address, **headers}).status
            for _ in range(n)]


def offenders(g, *words):
    return g.ctl_json("show", "offenders", *words)["data"]


def test_nobody_at_first(g):
    ask(g, 1, "address")
    assert offenders(g) == []


def test_most_first_and_ready_to_ban(g):
    assert ask(g, 10, "address", "192.0.2.7").count(429) == 9
    assert ask(g, 5, "address", "192.0.2.8").count(429) == 4
    ask(g, 3, "address", "2001:db8:5::1")
    first, second, third = offenders(g)
    assert first == {"key": "192.0.2.7", "limit": "address", "refused": 9,
                     "client": "192.0.2.7", "ban": "192.0.2.7"}
    assert (second["key"], second["refused"]) == ("192.0.2.8", 4)
    assert third["key"] == third["ban"] == "2001:db8:5::/48"
    assert [r["key"] for r in offenders(g, "--top", "1")] == ["192.0.2.7"]
    g.ctl("ban", "add", first["ban"], third["ban"])
    assert ask(g, 1, "address", "192.0.2.7") == [403]
    assert ask(g, 1, "address", "2001:db8:5:9::2") == [403]
    assert "192.0.2.7" in g.ctl("show", "offenders").stdout


@pytest.mark.parametrize("limit, headers, key, ban", [
    ("network", {}, "192.0.2.0/24", "192.0.2.0/24"),
    ("buyer", {"X-User-Id": "ann"}, "identity:ann", "identity:ann"),
    ("buyer", {"X-User-Id": "x" * 128}, "identity:" + "x" * 128, "identity:" + "x" * 128),
    ("buyer", {}, "192.0.2.1", "192.0.2.1"),
    ("agent", {"User-Agent": "Wget"}, "User-Agent: Wget", None),
    ("agent", {"User-Agent": "y" * 300}, "User-Agent: " + "y" * 132, None),
    ("both", {"X-User-Id": "bob"}, "identity:bob, event=demo", "identity:bob"),
    ("all", {}, "all requests", None),
    ("trial", {}, "192.0.2.1", "192.0.2.1"),
])
def test_keys(g, limit, headers, key, ban):
    ask(g, 3, limit, **headers)
    row, = offenders(g, limit)
    refused = 2
    assert (row["key"], row["ban"], row["refused"]) == (key, ban, refused), row
    assert row["client"] == ("192.0.2.0" if limit == "network" else "192.0.2.1")
    assert offenders(g) == [row]
    if ban:
        g.ctl("ban", "add", ban)
        assert ask(g, 1, limit, **headers) == [403]


def test_counts_over_workers_and_kills(g):
    g.errors_expected = True

    def play():
        with g.client.connect() as c:
            for _ in range(50):
                c.request("GET", "/address/demo", None, {"X-Forwarded-For": "192.0.2.7"})
    players = [threading.Thread(target=play) for _ in range(6)]
    for p in players:
        p.start()
    for p in players:
        p.join()
    assert offenders(g)[0]["refused"] == 299
    for i in range(2):
        g.kill_and_wait("worker", i)
    assert offenders(g)[0]["refused"] == 299


@pytest.mark.parametrize("words, code, says", [
    (["nothing"], 7, 'no limit "nothing"'),
    (["--top", "0"], 2, '"0" is no number from 1 to 1000'),
    (["--top", "many"], 2, '"many" is no number'),
])
def test_bad_input(g, words, code, says):
    assert says in g.ctl("show", "offenders", *words, check=code).stderr
