# SPDX-License-Identifier: BSD-2-Clause
"""A limit that two gateways share by way of Redis, while Redis is stopped, paused, flushed and restarted.

Two gateways under an open-loop load of three times the rate. No request waits for Redis: the p99 of a
run with a fault in its middle stands beside one without, and may be twice that. What both admit together
is judged by the bound of docs/operations.md: with Redis burst + rate * t and what is on its way, for the
time without it (and until the breaker lets a worker try again) twice as much, one burst more for a flush."""

import os
import signal
import socket
import statistics
import subprocess
import time
import urllib.request

from benchlib import gateway, judge, peers, processes

ORDER = 35
NEEDS = ["h2load", "redis-server"]

RATE, BURST, HOSTS, WORKERS = 1000, 200, 2, 2
CONNECTIONS, PER_CONNECTION = 8, 188  # of each gateway: together three times the rate
OPEN_FOR_S = 0.3
NOTICED_S = 0.2  # five budgets of 5 ms, checked every 8 ms; a new connection
ON_ITS_WAY = HOSTS * WORKERS * RATE * 0.018  # between calls, budget, looks at the clock
LIMITS = {"bench": {"key": "constant", "rate": f"{RATE}/s", "burst": BURST, "shared": True}}


def command(port, *words):
    with socket.create_connection(("127.0.0.1", port), 5) as s:
        s.sendall((" ".join(words) + "\r\n").encode())
        return s.recv(65536)


def alone(hosts):
    """Requests that a host admitted by itself, ever."""
    total = 0
    for h in hosts:
        with urllib.request.urlopen(f"http://127.0.0.1:{h.admin_port}/metrics") as r:
            lines = r.read().decode().splitlines()
        total += sum(int(x.rsplit(" ", 1)[1]) for x in lines if x.startswith("rushgate_limit_fallback_total{"))
    return total


class Server(peers.Redis):
    """Can be away: SIGSTOP, or not there at all."""

    def __init__(self, base):
        super().__init__(base)
        self.words = self.process.args

    def stopped(self, seconds):
        self.process.kill()
        self.process.wait()
        time.sleep(seconds)
        self.spawn(self.words)
        return seconds, 0

    def paused(self, seconds):
        self.process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self.process.send_signal(signal.SIGCONT)
        return seconds, 0

    def flushed(self, seconds):
        for _ in range(4):
            command(self.port, "FLUSHALL")
            command(self.port, "SCRIPT", "FLUSH")
            time.sleep(seconds / 4)
        return 0, 4

    def restarted(self, _seconds):
        begin = time.monotonic()
        self.process.terminate()
        self.process.wait()
        self.spawn(self.words)
        return time.monotonic() - begin, 1

    def well(self, seconds):
        time.sleep(seconds)
        return 0, 0


class Run:
    """What was answered, from h2load's logs: p99 in ms, admitted, seconds."""

    def __init__(self, logs):
        answers = []
        for log in logs:
            with open(log) as f:
                answers += [tuple(map(int, line.split()[:3])) for line in f]
            os.remove(log)
        bad = {status for _, status, _ in answers} - {200, 429}
        if bad or not answers:
            raise RuntimeError(f"answers that are neither 200 nor 429: {bad or 'none at all'}")
        ends = sorted(start + took for start, _, took in answers)
        self.seconds = (ends[-1] - min(start for start, _, _ in answers)) / 1e6
        self.p99_ms = sorted(took for _, _, took in answers)[len(answers) * 99 // 100] / 1000
        self.admitted = sum(status == 200 for _, status, _ in answers)
        self.per_s = len(answers) / self.seconds


def drive(ctx, hosts, fault, seconds):
    """One run with a fault in its middle: (Run, most that may have been admitted)."""
    time.sleep(BURST / RATE + OPEN_FOR_S)  # a full bucket, breakers closed
    logs = [os.path.join(ctx.dir, f"{h.name}.log") for h in hosts]
    loads = [
        subprocess.Popen(
            ["h2load", "--h1", "-t1", f"-c{CONNECTIONS}", f"--rps={PER_CONNECTION}", f"-D{seconds}",
             f"--log-file={log}", h.url("/limited")],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for h, log in zip(hosts, logs)
    ]  # fmt: skip
    by_itself = alone(hosts)
    time.sleep(seconds / 4)
    away_s, flushes = fault(seconds / 4)
    for load in loads:
        if load.wait(seconds * 10) != 0:
            raise RuntimeError("h2load failed")
    run = Run(logs)
    bound = BURST + RATE * run.seconds + ON_ITS_WAY + flushes * BURST
    run.alone = alone(hosts) - by_itself
    away = (HOSTS - 1) * (BURST + RATE * (away_s + OPEN_FOR_S + NOTICED_S)) if away_s > 0 else 0
    # Where the machine is busy elsewhere Redis is late without a fault: then what was counted as such.
    bound += max(away, run.alone)
    return run, bound


def rows(ctx, name, pairs):
    """pairs: [(Run without the fault, (Run with it, its bound))]"""
    case = f"Redis {name}"
    ours = [run.p99_ms for _, (run, _) in pairs]
    theirs = [well.p99_ms for well, _ in pairs]
    middle, low, high = judge.spread(judge.ratios(theirs, ours, "lower"))
    ctx.row(
        "p99", unit="ms", case=case, peer="the same with Redis well", ours=statistics.median(ours),
        theirs=statistics.median(theirs), ratio=middle, ratio_low=low, ratio_high=high, target=0.5,
        pairs=len(pairs), ours_per_s=statistics.median(run.per_s for _, (run, _) in pairs),
    )  # fmt: skip
    worst = max(100 * run.admitted / bound for _, (run, bound) in pairs)
    ctx.row(
        "admitted, of the stated bound", unit="%", case=case, ours=worst, target=100.0, of="at most",
        note=f"the worst of {len(pairs)} runs",
    )  # fmt: skip


def run(ctx):
    redis = ctx.start(Server)
    config = {
        "limits": LIMITS,
        "routes": [{**gateway.LIMITED, "limits": ["bench"]}],
        "redis": {"servers": [f"127.0.0.1:{redis.port}"], "breaker": {"open_for": f"{int(OPEN_FOR_S * 1000)}ms"}},
    }
    hosts = [
        ctx.start(gateway.Rushgate, config, name=f"rushgate-{i}", boxoffice=False, workers=WORKERS)
        for i in range(HOSTS)
    ]
    seconds = max(4, ctx.seconds)
    processes.wait_for(lambda: command(redis.port, "CLIENT", "LIST").count(b"id=") > HOSTS * WORKERS, "connections")
    well = []
    for name in ("stopped", "paused", "flushed", "restarted"):
        pairs = []
        for _ in range(ctx.pick(3, 1)):
            before, bound = drive(ctx, hosts, redis.well, seconds)
            well.append((before, bound))
            pairs.append((before, drive(ctx, hosts, getattr(redis, name), seconds)))
        rows(ctx, name, pairs)
    least = min(100 * r.admitted / (BURST + RATE * r.seconds) for r, _ in well)
    most = max(100 * r.admitted / bound for r, bound in well)
    ctx.row(
        "admitted, of the rate", unit="%", case="Redis well", ours=least, target=99.0, of="at least",
        note=f"the least of {len(well)} runs",
    )  # fmt: skip
    ctx.row(
        "admitted, of the stated bound", unit="%", case="Redis well", ours=most, target=100.0, of="at most",
        note=f"with {sum(r.alone for r, _ in well)} requests that a host admitted alone, Redis being late",
    )  # fmt: skip
