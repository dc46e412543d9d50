# SPDX-License-Identifier: BSD-2-Clause
"""10,000 and 100,000 idle connections: memory each, and the latency of the others, beside nginx.

Each connection has had one answer and waits for the next request. Memory of the processes is what became
private to them; memory of the kernel is what its slabs grew by, both ends together: the clients are here, too. A process that may not open enough files is helped by more
workers, on both sides."""

import os
import subprocess
import sys

from benchlib import gateway, load, peers, processes

ORDER = 100
NEEDS = ["nginx", "wrk"]
HOLD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "benchlib", "hold.py")


class Holders:
    """Children that hold connections, each from an address of its own: it has 28,000 ports."""

    def __init__(self, port, n):
        each = min(15_000, processes.files_limit() - 100)
        self.children = []
        for i in range(0, n, each):
            words = [sys.executable, HOLD, f"127.0.1.{1 + i // each}", str(port), str(min(each, n - i))]
            self.children.append(subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        for c in self.children:
            if c.stdout.readline() != "ready\n":
                raise RuntimeError("connections could not be held")

    def end(self):
        """How many the server had closed."""
        return sum(int(c.communicate()[0]) for c in self.children)

    def stop(self):
        for c in self.children:
            if c.poll() is None:
                c.kill()
                c.wait()


def slab_bytes():
    """The whole kernel's: other programs' sockets and files are in it, too."""
    with open("/proc/meminfo") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("Slab:"))


def workers_for(n):
    """Two, or as many as share n connections without running out of descriptors (unevenly by a tenth)."""
    return max(2, -(-n * 11 // 10 // (processes.files_limit() - 1000)))


def ours_for(ctx, n):
    http = {"max_connections": processes.files_limit() - 500, "idle_timeout": "1d"}
    return ctx.start(gateway.Rushgate, {"http": http}, name=f"rushgate-{n}", boxoffice=False, workers=workers_for(n))


def peer_for(ctx, n):
    return ctx.start(peers.returning, 404, name=f"nginx-{n}", workers=workers_for(n), connections=processes.files_limit() - 500)


def figures(ctx, server, n):
    """What n idle connections do to a server."""
    others = lambda: load.wrk(ctx, server.url("/no"), refused=True, connections=32)  # noqa: E731
    others()
    alone = others()
    own, slabs = processes.memory_bytes(server.pids())[0], slab_bytes()
    holders = Holders(server.port, n)
    ctx.stack.callback(holders.stop)
    grown = processes.memory_bytes(server.pids())[0] - own
    kernel = slab_bytes() - slabs
    beside = others()
    closed = holders.end()
    if closed:
        raise RuntimeError(f"{closed} of {n} idle connections were closed")
    return {"memory": grown / n, "kernel": kernel / n, "alone": alone.p99_ms, "p99": beside.p99_ms}


def run(ctx):
    for n in ctx.pick((10_000, 100_000), (1_000, 10_000)):
        got = []
        for start in (peer_for, ours_for):
            server = start(ctx, n)
            got.append(figures(ctx, server, n))
            ctx.say(f"{n:,}: {server.name} {got[-1]}")
            server.stop()
        theirs, ours = got
        case, workers = f"{n:,} connections", workers_for(n)
        note = "" if workers == 2 else (
            f"{workers} workers on both sides, because a process may open only {processes.files_limit():,} files here"
        )  # fmt: skip
        for what, key, unit in (("memory of the processes, each", "memory", "bytes"),
                                ("memory of the kernel, both ends, each", "kernel", "bytes"),
                                ("p99 of 32 others", "p99", "ms"),
                                ("p99 of 32 others without idle ones", "alone", "ms")):  # fmt: skip
            ratio = theirs[key] / ours[key] if ours[key] > 0 else None
            ctx.row(what, case=case, unit=unit, peer="nginx", ours=ours[key], theirs=theirs[key], ratio=ratio,
                    pairs=1, note=note)  # fmt: skip
