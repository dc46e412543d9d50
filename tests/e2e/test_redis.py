# SPDX-License-Identifier: BSD-2-Clause
"""Limits that hosts share by way of Redis: together within the bound, and what happens when Redis is
flushed, stopped, killed, wrong or not Redis at all. A host is a gateway of its own."""

import os
import re
import signal
import socket
import threading
import time

import pytest

from gateway import ROOT, SHORT, free_port, plain_config, wait_for
from redis_server import RedisServer

BUDGET_S = 0.1  # of a busy machine


def config(servers, limits, workers=2, **redis):
    base = plain_config()
    base["workers"] = workers
    base["trusted_proxies"] = ["127.0.0.0/8"]
    base["limits"] = {name: {"shared": True, **limit} for name, limit in limits.items()}
    base["redis"] = {"servers": servers, "budget": f"{int(BUDGET_S * 1000)}ms", **redis}
    base["routes"].append({"name": "limited", "match": {"path": "/limited/{event}"},
                           "limits": list(limits), "respond": {"status": 200, "body": "in\n"}})
    return base


@pytest.fixture
def make_redis():
    made = []

    def make(*options, **kwargs):
        made.append(RedisServer(*options, **kwargs))
        return made[-1]
    yield make
    for server in made:
        server.close()


@pytest.fixture
def hosts(make_gateway):
    """hosts(n, servers, limits): gateways that count together, ready and connected."""
    def make(n, servers, limits, connected=True, **redis):
        made = [make_gateway(base=config(servers, limits, **redis)) for _ in range(n)]
        for g in made:
            g.start()
        for g in made:
            if connected:
                wait_up(g)
        return made
    return make


def servers_of(g):
    return {row["server"]: row for row in g.ctl_json("show", "redis")["data"]}


def wait_up(g, server=None):
    wait_for(lambda: all(row["workers_up"] == row["workers"] for row in servers_of(g).values()
                         if server in (None, row["server"])), "Redis to be up for every worker")


def limit_row(g, name="all"):
    return next(r for r in g.ctl_json("show", "limits")["data"] if r["limit"] == name)


def ask(g, path="/limited/a", **headers):
    return g.client.request("GET", path, None, headers)


def statuses(g, n, path="/limited/a", pause=0.0, **headers):
    got = []
    for _ in range(n):
        got.append(ask(g, path, **headers).status)
        time.sleep(pause)
    return got


class Load:
    """Asks all gateways as fast as a few connections each can, and notes when it was let in."""

    def __init__(self, gateways, connections=2, batch=8, pause=0.002):
        self.stop_at = threading.Event()
        self.answers, self.admitted, self.slowest = [], [], 0.0
        self.lock = threading.Lock()
        self.batch, self.pause = batch, pause
        self.threads = [threading.Thread(target=self.play, args=(g,))
                        for g in gateways for _ in range(connections)]
        self.begin = time.monotonic()
        for thread in self.threads:
            thread.start()

    def play(self, g):
        request = b"GET /limited/a HTTP/1.1\r\nHost: a\r\n\r\n" * self.batch
        mine, slowest = [], 0.0
        with g.client.connect() as c:
            while not self.stop_at.is_set():
                start = time.monotonic()
                c.send(request)
                for _ in range(self.batch):
                    status = c.response().status
                    assert status in (200, 429)
                    mine.append((time.monotonic(), status == 200))
                slowest = max(slowest, time.monotonic() - start)
                time.sleep(self.pause)
        with self.lock:
            self.answers += mine
            self.slowest = max(self.slowest, slowest)

    def finish(self):
        self.stop_at.set()
        for thread in self.threads:
            thread.join()
        self.seconds = time.monotonic() - self.begin
        self.admitted = [t for t, admitted in self.answers if admitted]
        self.asked = len(self.answers)
        return self

    def possible(self, rate, burst):
        """What one bucket that is full at first admits of the same requests at the same times: fewer
        than the rate where a busy machine asked nothing for longer than the burst lasts."""
        tokens, last, admitted = burst, self.begin, 0
        for t, _ in sorted(self.answers):
            tokens, last = min(burst, tokens + rate * (t - last)), t
            if tokens >= 1:
                tokens, admitted = tokens - 1, admitted + 1
        return admitted

    def between(self, start, end):
        return sum(start <= t < end for t in self.admitted)


def script():
    with open(os.path.join(ROOT, "src", "gate", "shared_script.h")) as f:
        return "\n".join(re.findall(r'^    "(.*)\\n"', f.read(), re.MULTILINE))


def test_script(make_redis):
    """What is charged and what is answered, by Redis itself: 1 token/s, a burst of 10."""
    redis, lua, s = make_redis().start(), script(), 1000000

    def call(key, hard=0, soft=0, want=0, least=1, interval=s, capacity=10 * s):
        tokens, ahead, wait = redis.command("EVAL", lua, 1, key, interval, capacity, hard, soft,
                                            want, least)
        return tokens, round(ahead / s, 1), round(wait / s, 1)

    assert call("look") == (0, 0, 0)
    assert redis.keys() == []  # a full bucket needs no key
    assert call("a", want=3) == (3, 3, 0)
    assert call("a", want=4, least=2) == (4, 7, 0)
    assert call("a", want=9, least=2) == (2, 9, 1)  # three are left, in twos
    assert call("a", want=9) == (1, 10, 1)
    assert call("a", want=9) == (0, 10, 1)
    assert 9000 < redis.command("PTTL", "a") <= 10000
    # Hard debt goes beyond an empty bucket, soft debt does not.
    assert call("a", hard=5 * s) == (0, 15, 6)
    assert call("a", soft=5 * s) == (0, 15, 6)
    assert call("b", soft=99 * s, want=1) == (0, 10, 1)
    assert call("c", soft=4 * s, want=20) == (6, 10, 1)
    # Hours ahead is a clock that was set back: 17 bursts at most.
    assert call("a", hard=3600 * s)[1] > 3600
    assert call("a") == (0, 170, 161)
    # A fast rate, in fractions of a microsecond; what is charged is rounded up.
    tokens, ahead, _ = redis.command("EVAL", lua, 1, "fast", "1.4285715", "142857.15", 0, 0, 7, 1)
    assert (tokens, ahead) == (7, 11)


@pytest.mark.skipif(SHORT, reason="measures")
def test_two_hosts_admit_one_rate(make_redis, hosts):
    redis = make_redis().start()
    rate, burst = 400, 200
    pair = hosts(2, [redis.address], {"all": {"key": "constant", "rate": f"{rate}/s",
                                              "burst": burst}})

    def figures():
        rows = [limit_row(g) for g in pair]
        assert all(r["shared"] == "redis" for r in rows)
        counted = {k: sum(r[k] for r in rows) for k in ("leased", "unconfirmed", "fallback")}
        return {**counted, "calls": sum(servers_of(g)[redis.address]["calls"] for g in pair)}

    def attempt():
        """What was lost: the share of what could have been admitted, and what Redis was too late for."""
        before = figures()
        load = Load(pair)
        time.sleep(4)
        load.finish()
        got = {k: v - before[k] for k, v in figures().items()}
        # What both may admit on their own word while an answer is on its way, at most.
        unconfirmed = 2 * rate * 2 * BUDGET_S
        assert len(load.admitted) <= burst + rate * load.seconds + unconfirmed
        assert got["calls"] < load.asked / 3, "a call for each request is no lease"
        possible = load.possible(rate, burst)
        return {"offered": load.asked / load.seconds, "possible": possible,
                "admitted": len(load.admitted), **got}

    def holds(a):
        return a["offered"] > 2 * rate and a["admitted"] >= 0.99 * a["possible"] and \
            a["leased"] > 0 and a["fallback"] == 0 and \
            a["leased"] + a["unconfirmed"] >= 0.95 * a["admitted"]

    # Never too much. Too little only where the machine has other work: then not every time.
    attempts = [attempt()]
    while not holds(attempts[-1]) and len(attempts) < 4:
        time.sleep(2 * burst / rate)  # the bucket is full again
        attempts.append(attempt())
    assert holds(attempts[-1]), attempts


def test_one_bucket_for_two_hosts(make_redis, hosts):
    redis = make_redis().start()
    pair = hosts(2, [redis.address], {"few": {"key": "client_ip", "rate": "1/h", "burst": 6}},
                 workers=1)
    # A pause longer than a round trip: each answer is there before the next request.
    assert statuses(pair[0], 4, pause=0.03) == [200] * 4
    # The other host has not seen the key: its first is let in on its own word, the answer tells.
    assert statuses(pair[1], 4, pause=0.03) == [200] * 2 + [429] * 2
    refused = ask(pair[1])
    assert 3000 <= int(refused.header("Retry-After")) <= 3600
    assert refused.header("RateLimit").startswith('"few";r=0;')
    assert refused.json()["violated-policies"] == ["few"]
    assert ask(pair[0]).status == 200  # what it heard last is old: this one is owed
    time.sleep(0.05)
    assert ask(pair[0]).status == 429
    # Another client is another bucket; both hosts mean the same key.
    assert statuses(pair[1], 1, **{"X-Forwarded-For": "192.0.2.9"}) == [200]
    assert statuses(pair[0], 1, **{"X-Forwarded-For": "192.0.2.9"}) == [200]
    keys = wait_for(lambda: len(redis.keys()) == 2 and redis.keys(), "two keys")
    assert all(re.fullmatch(r"rushgate:few:\{[0-9a-f]{16}\}", k) for k in keys)
    assert all(0 < redis.command("PTTL", k) <= 7 * 3600 * 1000 for k in keys)


def test_beside_a_limit_of_the_host(make_redis, hosts):
    redis = make_redis().start()
    g, = hosts(1, [redis.address], {
        "few": {"key": "constant", "rate": "1/h", "burst": 2},
        "wide": {"key": "constant", "rate": "1/h", "burst": 50, "shared": False},
        "seen": {"key": "constant", "rate": "1/h", "burst": 1, "mode": "shadow"}}, workers=1)
    assert statuses(g, 4, pause=0.03) == [200] * 2 + [429] * 2
    # What the shared one refused took nothing from the other.
    refused = ask(g)
    assert refused.header("RateLimit").startswith('"few";r=0;')
    assert '"wide";r=47;' in refused.header("RateLimit")
    assert refused.json()["violated-policies"] == ["few"]
    assert (limit_row(g, "seen")["allowed"], limit_row(g, "seen")["shadow_denied"]) == (1, 1)


def test_debt_is_paid_back(make_redis, hosts):
    """Both hosts let a burst in before either has heard of the other; the next tokens pay for it."""
    redis = make_redis().start()
    pair = hosts(2, [redis.address], {"few": {"key": "constant", "rate": "10/h", "burst": 10}})
    requests = b"GET /limited/a HTTP/1.1\r\nHost: a\r\n\r\n" * 10
    redis.signal(signal.SIGSTOP)  # so that they cannot hear
    for g in pair:
        with g.client.connect() as c:
            c.send(requests)
            assert [c.response().status for _ in range(10)] == [200] * 10
    redis.signal(signal.SIGCONT)
    key = wait_for(redis.keys, "the key")[0]
    # 20 were let in, 10 is empty: at least what one host sent before the pause was noticed is owed.
    wait_for(lambda: redis.command("PTTL", key) >= 3600 * 1000 - 60000, "the charge")
    for g in pair:
        wait_up(g)
        wait_for(lambda: ask(g).status == 429, "the refusal", 5)


def test_fallback_when_redis_was_never_there(make_redis, hosts):
    g, = hosts(1, [f"127.0.0.1:{free_port()}"], {"few": {"key": "client_ip", "rate": "1/h",
                                                       "burst": 3}}, connected=False)
    assert statuses(g, 5) == [200] * 3 + [429] * 2
    row = limit_row(g, "few")
    assert (row["fallback"], row["leased"]) == (3, 0)
    metrics = g.metrics()
    assert metrics['rushgate_limit_fallback_total{limit="few"}'] == 3
    wait_for(lambda: list(servers_of(g).values())[0]["state"] == "open", "the breaker to open")
    log = wait_for(lambda: "Connection refused" in g.error_log() and g.error_log(), "the log")
    assert "its limits count locally (is it running?)" in log
    assert log.count("Connection refused") <= 2  # once for each worker


@pytest.mark.parametrize("what", ["SCRIPT FLUSH", "FLUSHALL", "SIGSTOP", "kill -9"])
def test_trouble_under_load(make_redis, hosts, what):
    redis = make_redis().start()
    rate, burst = 200, 50
    pair = hosts(2, [redis.address], {"all": {"key": "constant", "rate": f"{rate}/s",
                                              "burst": burst}}, breaker={"open_for": "300ms"})
    load = Load(pair)
    time.sleep(0.5)
    if what == "SIGSTOP":
        redis.signal(signal.SIGSTOP)
        time.sleep(1)
        redis.signal(signal.SIGCONT)
    elif what == "kill -9":
        redis.kill()
        time.sleep(1)
        redis.start()
    else:
        redis.command(*what.split())
    for g in pair:
        wait_up(g)
    time.sleep(1)
    load.finish()
    # Each host keeps to its own bucket at worst, whatever Redis does.
    assert len(load.admitted) <= 2 * (burst + rate * load.seconds)
    assert len(load.admitted) >= 0.9 * rate * (load.seconds - 0.2)
    # It counts together again: a second and a half of both, after the debt is paid.
    load = Load(pair)
    time.sleep(1.5)
    load.finish()
    assert len(load.admitted) <= burst + rate * load.seconds + 2 * rate * 2 * BUDGET_S
    for g in pair:
        row = servers_of(g)[redis.address]
        assert row["state"] == "up"
        if what in ("SIGSTOP", "kill -9"):
            assert limit_row(g)["fallback"] > 0
            assert row["failures"] > 0
            assert g.error_log().count("answers again") <= 4
        if what == "SCRIPT FLUSH":
            # The flush is felt by nobody; that a budget passes on a busy machine is another thing.
            assert limit_row(g)["fallback"] == 0 or row["timeouts"] > 0
            assert row["failures"] <= row["timeouts"]


def test_breaker_opens_and_tries_again(make_redis, hosts):
    redis = make_redis().start()
    g, = hosts(1, [redis.address], {"all": {"key": "constant", "rate": "1000/s"}},
               breaker={"failures": 2, "open_for": "200ms"})
    redis.signal(signal.SIGSTOP)

    def opened():
        statuses(g, 4)
        return servers_of(g)[redis.address]["breaker_opened"] >= 2
    wait_for(opened, "the breakers of both workers")
    assert "too slow" in g.error_log()
    redis.signal(signal.SIGCONT)

    def closed():
        statuses(g, 4)
        return servers_of(g)[redis.address]["state"] == "up"
    wait_for(closed, "it to close")
    assert "answers again" in g.error_log()


def refused_by(g, server, text, advice):
    """The server's answer is in the log with what to do, and the host counts by itself."""
    def logged():
        statuses(g, 2)
        return text in g.error_log() and g.error_log()
    log = wait_for(logged, f"{text} in the log")
    line = next(line for line in log.splitlines() if text in line)
    assert f"redis {server}: " in line and advice in line, line
    before = limit_row(g)["fallback"]
    wait_for(lambda: set(statuses(g, 4)) == {200} and limit_row(g)["fallback"] > before,
             "requests that are decided here")


WIDE = {"all": {"key": "constant", "rate": "1/s", "burst": 100000}}  # keys stay for seconds
SOON = {"failures": 2, "open_for": "100ms"}


def test_password(make_redis, hosts, tmp_path):
    redis = make_redis("--requirepass", "sesame").start()
    g, = hosts(1, [redis.address], WIDE, connected=False, breaker=SOON)
    refused_by(g, redis.address, "NOAUTH", "set redis.password_file")
    secret = tmp_path / "password"
    secret.write_text("mustard\n")
    g.write_config({"redis": {"password_file": str(secret)}})
    g.ctl("reload")
    refused_by(g, redis.address, "WRONGPASS", "see redis.username")
    secret.write_text("sesame\n")
    g.ctl("reload")
    wait_up(g)
    statuses(g, 4)
    redis.password = "sesame"
    wait_for(redis.keys, "a key")
    assert "sesame" not in g.ctl("show", "config").stdout


def test_user_and_database(make_redis, hosts, tmp_path):
    redis = make_redis("--user", "gate", "on", ">sesame", "~gate:*", "+evalsha", "+script|load",
                       "+get", "+set", "+time", "+select").start()
    secret = tmp_path / "password"
    secret.write_text("sesame")
    g, = hosts(1, [redis.address], WIDE, db=3, prefix="gate:", username="gate",
               password_file=str(secret))
    statuses(g, 4)
    wait_for(lambda: "db3" in redis.command("INFO", "keyspace"), "a key in database 3")
    g.write_config({"redis": {"prefix": "other:"}})
    g.ctl("reload")
    refused_by(g, redis.address, "NOPERM", "needs the keys below redis.prefix")


def test_replica(make_redis, hosts):
    primary = make_redis().start()
    replica = make_redis("--replicaof", "127.0.0.1", str(primary.port)).start()
    wait_for(lambda: "master_link_status:up" in replica.command("INFO", "replication"), "replication")
    g, = hosts(1, [replica.address], WIDE, connected=False, breaker=SOON)
    refused_by(g, replica.address, "READONLY", "name the primary")


def test_memory_used_up(make_redis, hosts):
    redis = make_redis("--maxmemory", "1", "--maxmemory-policy", "noeviction").start()
    g, = hosts(1, [redis.address], WIDE, connected=False, breaker=SOON)
    refused_by(g, redis.address, "OOM", "maxmemory is used up")
    redis.command("CONFIG", "SET", "maxmemory", "0")
    wait_for(lambda: statuses(g, 4) and servers_of(g)[redis.address]["state"] == "up", "it is up")


def test_key_of_somebody_else(make_redis, hosts):
    redis = make_redis().start()
    g, = hosts(1, [redis.address], WIDE, breaker=SOON)
    statuses(g, 4)
    key = wait_for(redis.keys, "the key")[0]
    redis.command("DEL", key)
    redis.command("LPUSH", key, "x")
    refused_by(g, redis.address, "WRONGTYPE", "choose another redis.prefix")
    redis.command("DEL", key)
    wait_for(lambda: statuses(g, 4) and servers_of(g)[redis.address]["state"] == "up", "it is up")
    redis.command("SET", key, "soon")
    refused_by(g, redis.address, "RUSHGATE", "choose another redis.prefix")


class Babbler:
    """Accepts connections and says what it always says."""

    def __init__(self, *speech):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.speech = speech
        self.connections = []
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                s, _ = self.socket.accept()
            except OSError:
                return
            self.connections.append(s)
            threading.Thread(target=self.talk, args=(s,), daemon=True).start()

    def talk(self, s):
        try:
            for words in self.speech:
                if not s.recv(65536):
                    return
                s.sendall(words)
            while s.recv(65536):
                pass
        except OSError:
            pass

    def close(self):
        self.socket.close()
        for s in self.connections:
            s.close()


SHA = b"$40\r\n" + b"a" * 40 + b"\r\n"


@pytest.mark.parametrize("speech", [
    [b"HTTP/1.1 400 Bad Request\r\n\r\n"],
    [b"\x00\xff" * 50],
    [b"$-1\r\n"],
    [b"*1\r\n" * 20],
    [b"$2000000000\r\n" + b"x" * 300000],
    [SHA + SHA + b"+OK\r\n" * 5],          # what nobody asked for
    [SHA, b"+OK\r\n"],
    [SHA, b"*3\r\n:1\r\n:2\r\n$1\r\nx\r\n"],
    [SHA, b"*3\r\n:9223372036854775807\r\n:-5\r\n:9223372036854775807\r\n"] * 20,
    [SHA, b":1\r\n" * 3],
    [SHA, b"-EVIL \x1b[2J\r\n"],
    [SHA, b"-NOSCRIPT No matching script\r\n"] * 50,
    [b""],
], ids=lambda s: repr(s[-1][:24]))
def test_not_redis(hosts, speech):
    babbler = Babbler(*speech)
    try:
        g, = hosts(1, [f"127.0.0.1:{babbler.port}"], {"all": {"key": "constant", "rate": "1000/s"}},
                   connected=False, breaker=SOON, connect_timeout="100ms")
        workers = g.processes("worker")
        end = time.monotonic() + 1
        while time.monotonic() < end:
            assert set(statuses(g, 4)) <= {200, 429}
        assert g.processes("worker") == workers
        assert "\x1b" not in g.error_log()
        assert len(g.error_log().splitlines()) < 60
    finally:
        babbler.close()


def test_an_array_head_costs_nothing(hosts):
    """A server that announces a hundred million values: they are not allocated, so that the worker has
    time for its clients. Measured as its CPU time, which other load does not change."""
    babbler = Babbler(SHA, b"*100000000\r\n")
    try:
        g, = hosts(1, [f"127.0.0.1:{babbler.port}"], {"all": {"key": "constant", "rate": "1000/s"}},
                   connected=False, workers=1, breaker=SOON, connect_timeout="100ms")
        worker, = g.processes("worker")
        before = cpu_s(worker)
        wait_for(lambda: set(statuses(g, 4)) <= {200, 429} and
                 sum(row["failures"] for row in servers_of(g).values()) >= 10, "ten such answers")
        assert cpu_s(worker) - before < 0.5
    finally:
        babbler.close()


def cpu_s(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")



def test_half_open_connection(make_redis, hosts):
    """The peer is gone without a word: only the silence tells."""
    redis = make_redis().start()
    g, = hosts(1, [redis.address], WIDE, breaker={"failures": 2, "open_for": "100ms"})
    statuses(g, 4)
    redis.signal(signal.SIGSTOP)
    wait_for(lambda: statuses(g, 4) and servers_of(g)[redis.address]["breaker_opened"] > 0,
             "the silence to be noticed")
    redis.kill()
    redis.start()
    wait_for(lambda: statuses(g, 4) and servers_of(g)[redis.address]["state"] == "up", "it is up")


def test_two_servers_share_the_keys(make_redis, hosts):
    two = [make_redis().start() for _ in range(2)]
    names = [r.address for r in two]
    limits = {"few": {"key": "client_ip", "rate": "1/h", "burst": 2}}
    # In whatever order they are named.
    a, b = (hosts(1, order, limits, workers=1)[0] for order in (names, names[::-1]))
    clients = [f"192.0.2.{i}" for i in range(1, 41)]
    for address in clients:
        assert ask(a, **{"X-Forwarded-For": address}).status == 200
    wait_for(lambda: sum(len(r.keys()) for r in two) == 40, "all keys")
    assert all(10 <= len(r.keys()) <= 30 for r in two)
    for address in clients:
        assert ask(b, **{"X-Forwarded-For": address}).status == 200
    time.sleep(0.1)
    assert sum(len(r.keys()) for r in two) == 40, "both hosts mean the same server"
    # One dies: its keys are the host's alone, those of the other are shared as before.
    keys = two[1].keys()
    two[0].kill()
    wait_for(lambda: statuses(b, 2, **{"X-Forwarded-For": "192.0.2.99"}) and
             servers_of(b)[names[0]]["state"] != "up", "the loss to be noticed")
    time.sleep(0.1)
    assert set(two[1].keys()) - set(keys) <= {k for k in two[1].keys() if "few" in k}
    got = [ask(b, **{"X-Forwarded-For": c}).status for c in clients]
    assert got.count(429) >= len(keys)  # of the living one: two were taken already


def test_reload(make_redis, hosts):
    redis, other = make_redis().start(), make_redis().start()
    g, = hosts(1, [redis.address], {"all": {"key": "constant", "rate": "1/h", "burst": 4}},
               workers=1)
    assert statuses(g, 2, pause=0.03) == [200, 200]
    wait_for(redis.keys, "the key")
    before = redis.command("INFO", "stats")
    accepted = re.search(r"total_connections_received:(\d+)", before).group(1)
    clients = len(redis.command("CLIENT", "LIST").splitlines())
    # A new rate keeps bucket and connections; the debt in time stays.
    g.write_config({"limits": {"all": {"rate": "2/h"}}})
    g.ctl("reload")
    assert statuses(g, 4, pause=0.03)[-1] == 429
    g.write_config({"redis": {"servers": [redis.address, other.address]}})
    g.ctl("reload")
    wait_up(g)
    assert len(redis.command("CLIENT", "LIST").splitlines()) == clients
    after = redis.command("INFO", "stats")
    ours = int(re.search(r"total_connections_received:(\d+)", after).group(1)) - int(accepted)
    assert ours <= 4  # of this test's own commands; a gateway would have opened one for each worker
    # Not shared any more: Redis is let go.
    g.write_config({"limits": {"all": {"shared": False}}})
    g.ctl("reload")
    wait_for(lambda: len(other.command("CLIENT", "LIST").splitlines()) == 1, "its connections to end")
    assert servers_of(g)[redis.address]["state"] == "unused"
    g.write_config({"limits": {"all": {"shared": True}}, "redis": {"servers": [other.address]}})
    g.ctl("reload")
    wait_up(g)
    assert list(servers_of(g)) == [other.address]


def test_killed_worker(make_redis, hosts):
    redis = make_redis().start()
    g, = hosts(1, [redis.address], {"all": {"key": "constant", "rate": "1/h", "burst": 8}})
    assert statuses(g, 5, pause=0.03) == [200] * 5
    g.errors_expected = True
    g.kill_and_wait("worker", 0)
    wait_up(g)
    assert statuses(g, 5, pause=0.03) == [200] * 3 + [429] * 2


def test_bad_settings(make_gateway):
    g = make_gateway(base=plain_config())
    for text, want in [
            ("limits: {a: {key: constant, rate: 1/s, shared: true}}", "Set redis.servers"),
            ("redis: {servers: [a:1, a:1], password_file: nowhere}", "cannot read"),
            ("redis: {servers: ['127.0.0.1:1', '127.0.0.1:1']}", "is there twice"),
            ("redis: {servers: ['127.0.0.1:1'], username: x}", "a user needs a password"),
            ("redis: {servers: ['127.0.0.1:1'], budget: 2s}", "between 1ms and 1s"),
            ("redis: {server: x}", 'did you mean "servers"')]:
        status, said = g.check_config(text)
        assert status == 1 and want in said, said
    empty = os.path.join(g.prefix, "empty")
    with open(empty, "w"):
        pass
    status, said = g.check_config(f"redis: {{servers: ['127.0.0.1:1'], password_file: {empty}}}")
    assert status == 1 and "must be the password" in said, said
