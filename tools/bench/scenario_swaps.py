# SPDX-License-Identifier: BSD-2-Clause
"""Configurations that come into force one after the other, under load.

Swaps are rollbacks between two kept generations over one connection to the control socket, a thousand
in a second; how long each took from the flip until a worker used it, the workers measure themselves
(rushgate_config_adoption_seconds). A worker that is late for a swap meets the next one already: such
a swap counts as late. Reloads read, check and compile the file each time.

Beside them, on each core, a process that does nothing but sleep to the next millisecond: where it is
late, the machine or its scheduler is, and no worker could have been in time.

What buyers see of a swap is asked apart: as soon as it is acknowledged, requests are sent over
connections to all workers, and their answers say which configuration decided them. It must not be an
earlier one, even where the worker had to wait for a core."""

import json
import os
import re
import select
import socket
import subprocess
import sys
import time

from benchlib import gateway, load, machine, waker

ORDER = 35
NEEDS = ["wrk"]
PER_S = 1000
LATE_MS = 1.024  # a bound of the histogram's
WORKERS = 2
NAMES = 32  # configurations that answers tell apart: as many as are kept
PROBES = 8  # connections; the kernel deals them out to the workers


class Control:
    """One connection, one command a line."""

    def __init__(self, server):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(os.path.join(server.dir, "run", "rushgate.sock"))
        self.file = self.socket.makefile("rb")

    def ask(self, *argv, **flags):
        self.socket.sendall(json.dumps({"v": 1, "argv": argv, "flags": flags}).encode() + b"\n")
        answer = json.loads(self.file.readline())
        if answer["schema"] == "rushgate.error/1":
            raise RuntimeError(f"{' '.join(argv)}: {answer['error']['message']}")
        return answer

    def close(self):
        self.file.close()
        self.socket.close()


def adoptions(server):
    """[(upper bound in ms, adoptions up to it)], cumulative; the last bound is endless."""
    text = load.expect(f"http://127.0.0.1:{server.admin_port}/metrics", 200).decode()
    found = []
    for line in text.splitlines():
        if line.startswith("rushgate_config_adoption_seconds_bucket"):
            bound, count = line.split('le="')[1].split('"} ')
            found.append((float(bound.replace("+Inf", "inf")) * 1e3, int(float(count))))
    return found


def within(before, after, share):
    """The bound that `share` of the adoptions between two scrapes kept."""
    grown = [(bound, n - m) for (bound, n), (_, m) in zip(after, before, strict=True)]
    return next(bound for bound, n in grown if n >= share * grown[-1][1])


def swaps(control, seconds):
    """Flips for so long, PER_S a second; (how many, seconds they took)."""
    start, total = time.perf_counter(), PER_S * seconds
    for i in range(total):
        due = start + i / PER_S - time.perf_counter()
        if due > 0:
            time.sleep(due)
        control.ask("config", "rollback", wait="0s")
    return total, time.perf_counter() - start


class Probes:
    """Requests that begin after a swap was acknowledged; answers name the configuration."""

    def __init__(self, server):
        self.request = load.get("/hello")(0)
        self.free = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(PROBES)]
        self.asked = {}  # connection: the swap behind which it asked
        self.poll = select.poll()
        self.by_fd = {s.fileno(): s for s in self.free}
        for s in self.free:
            self.poll.register(s, select.POLLIN)
        self.sent = self.stale = 0

    def send(self, swap):
        """Behind swap number `swap`."""
        for s in self.free:
            s.sendall(self.request)
            self.asked[s] = swap
        self.sent += len(self.free)
        self.free = []

    def receive(self, last, wait_ms=0):
        """Up to swap number `last` there were."""
        for fd, _ in self.poll.poll(wait_ms):
            s = self.by_fd[fd]
            name = int(re.search(rb"Server: c(\d+)\r", s.recv(4096)).group(1))
            asked = self.asked.pop(s)
            # Any from the one that was in force then to the last one is in order.
            self.stale += (name - asked) % NAMES > last - asked
            self.free.append(s)

    def finish(self, last):
        while self.asked:
            self.receive(last, 1000)
        for s in self.free:
            s.close()


def probed_swaps(control, server, seconds):
    """Swaps through all names, each with its probes; (requests, of them decided by an earlier one)."""
    names = []
    server.config["generations"] = {"keep": NAMES}
    for i in range(NAMES):
        server.config["http"] = {"server_name": f"c{i}"}
        server.write()
        names.append(control.ask("reload")["data"]["generation"])
    probes = Probes(server)
    start, total = time.perf_counter(), PER_S * seconds
    for i in range(total):
        due = start + i / PER_S - time.perf_counter()
        if due > 0:
            time.sleep(due)
        control.ask("config", "rollback", str(names[i % NAMES]), wait="0s")
        probes.receive(i)
        probes.send(i)
    probes.finish(total - 1)
    return probes.sent, probes.stale


def reloads(control, server, seconds):
    """Full reloads one after the other, each other than the one before; how many a second."""
    start, n = time.perf_counter(), 0
    while time.perf_counter() < start + seconds:
        server.config["http"] = {"server_name": f"r{n % 2}"}
        server.write()
        control.ask("reload", wait="10s")
        n += 1
    return n / (time.perf_counter() - start)


class Wrk:
    """Keepalive connections that ask meanwhile, and forgive nothing."""

    def __init__(self, url, seconds):
        self.process = subprocess.Popen(
            ["wrk", "-t1", "-c16", f"-d{seconds}s", "--latency", url],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        time.sleep(0.5)

    def end(self):
        out = load.parse_wrk(self.process.communicate()[0])
        if self.process.returncode != 0:
            raise RuntimeError(f"wrk: exit {self.process.returncode}")
        return out


class Wakers:
    """A process that does nothing on each core (waker.py), beside what is measured."""

    def __init__(self, seconds):
        words = [sys.executable, waker.__file__]
        self.processes = [
            subprocess.Popen([*words, str(core), str(seconds), str(LATE_MS)], stdout=subprocess.PIPE, text=True)
            for core in sorted(os.sched_getaffinity(0))
        ]
        for p in self.processes:
            p.stdout.readline()  # it is ready

    def end(self):
        """(per cent that woke in time, the worst in ms)"""
        found = [json.loads(p.communicate()[0]) for p in self.processes]
        due, late = (sum(f[key] for f in found) for key in ("due", "late"))
        return 100 * (1 - late / due), max(f["worst_ms"] for f in found)


def adopted(ctx, server, control, case, seconds):
    """Swaps with the rows of one case; the load, if there is any, runs."""
    wakers, stolen = Wakers(seconds), machine.stolen_s()
    before = adoptions(server)
    n, took = swaps(control, seconds)
    time.sleep(0.2)  # the last ones
    after = adoptions(server)
    woken, worst_ms = wakers.end()
    in_time = 100 * (after[4][1] - before[4][1]) / (n * WORKERS)
    ctx.row("swaps", case=case, unit="/s", ours=n / took, target=0.99 * PER_S, of="at least")
    ctx.row(
        "adopted in time", case=case, unit="%", ours=in_time, target=100, of="at least",
        peer="a process that only sleeps and wakes", theirs=woken, ratio=in_time / woken,
        floor=(100 - woken) / (100 - in_time) if in_time < 100 else None,
        note=f"within {LATE_MS} ms; half within {within(before, after, 0.5):g} ms, 99 % within "
        f"{within(before, after, 0.99):g} ms, all within {within(before, after, 1):g} ms of the flip. Beside it on "
        f"each core a process that sleeps to each ms, the worst {worst_ms:.1f} ms late; the machine was without "
        f"its processors for {machine.stolen_s() - stolen:.2f} s",
    )  # fmt: skip


def run(ctx):
    routes = [{"name": "hello", "match": {"path": "/hello"}, "respond": {"body": "hello"}}]
    server = ctx.start(gateway.Rushgate, {"routes": routes}, workers=WORKERS, boxoffice=True)
    control = Control(server)
    server.config["http"] = {"server_name": "two"}
    server.write()
    control.ask("reload")
    seconds = ctx.pick(ctx.seconds, 1)
    adopted(ctx, server, control, "idle", seconds)
    wrk = Wrk(server.url("/hello"), seconds + 1)
    adopted(ctx, server, control, "under load", seconds)
    answers = wrk.end()
    if answers["errors"]:
        raise RuntimeError(f"socket errors: {answers['errors']}")
    ctx.row(
        "requests that failed", case=f"{answers['answers']:,} answered", ours=answers["bad"], target=0.5,
        of="at most",
    )  # fmt: skip
    wrk = Wrk(server.url("/hello"), seconds + 1)
    asked, stale = probed_swaps(control, server, seconds)
    wrk.end()
    ctx.row(
        "decided by an earlier one", case=f"{asked:,} asked behind a swap, under load", ours=stale, target=0.5,
        of="at most",
    )  # fmt: skip
    ctx.row("reloads", case="idle", unit="/s", ours=reloads(control, server, seconds))
    control.close()
