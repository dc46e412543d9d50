# SPDX-License-Identifier: BSD-2-Clause
"""Configurations that come into force one after the other, under load.

Swaps are rollbacks between two kept generations over one connection to the control socket, a thousand
in a second; how long each took from the flip until a worker used it, the workers measure themselves
(rushgate_config_adoption_seconds). A worker that is late for a swap meets the next one already: such
a swap counts as late. Reloads read, check and compile the file each time."""

import json
import os
import socket
import subprocess
import time

from benchlib import gateway, load

ORDER = 35
NEEDS = ["wrk"]
PER_S = 1000
WORKERS = 2


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


def run(ctx):
    routes = [{"name": "hello", "match": {"path": "/hello"}, "respond": {"body": "hello"}}]
    server = ctx.start(gateway.Rushgate, {"routes": routes}, workers=WORKERS, boxoffice=True)
    control = Control(server)
    server.config["http"] = {"server_name": "two"}
    server.write()
    control.ask("reload")
    seconds = ctx.pick(ctx.seconds, 1)
    for busy in (False, True):
        case = "under load" if busy else "idle"
        wrk = Wrk(server.url("/hello"), seconds + 1) if busy else None
        before = adoptions(server)
        n, took = swaps(control, seconds)
        time.sleep(0.2)  # the last ones
        after = adoptions(server)
        answers = wrk.end() if busy else {"answers": 0, "bad": 0, "errors": ""}
        in_time = after[4][1] - before[4][1]
        note = f"within 1.024 ms; half within {within(before, after, 0.5):g} ms, 99 % within " \
               f"{within(before, after, 0.99):g} ms, all within {within(before, after, 1):g} ms of the flip"  # fmt: skip
        ctx.row("swaps", case=case, unit="/s", ours=n / took, target=0.99 * PER_S, of="at least")
        ctx.row(
            "adopted in time", case=case, unit="%", ours=100 * in_time / (n * WORKERS), target=100, of="at least",
            note=note,
        )  # fmt: skip
        if busy:
            if answers["errors"]:
                raise RuntimeError(f"socket errors: {answers['errors']}")
            ctx.row(
                "requests that failed", case=f"{answers['answers']:,} answered", ours=answers["bad"], target=0.5,
                of="at most",
            )  # fmt: skip
    ctx.row("reloads", case="idle", unit="/s", ours=reloads(control, server, seconds))
    control.close()
