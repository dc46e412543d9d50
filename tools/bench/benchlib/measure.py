# SPDX-License-Identifier: BSD-2-Clause
"""The context a scenario runs in: its directory, its servers, its rows, and how contenders are compared.

Contenders take turns, A B A B: a machine that gets slower or faster in the middle does so for all of
them, and the ratio of neighbours is what is judged (the median of the pairs' ratios)."""

import contextlib
import dataclasses
import os
import shutil
import sys
import tempfile
import typing

from . import judge, processes


@dataclasses.dataclass
class Contender:
    label: str
    load: typing.Callable  # () -> load.Load
    servers: list  # whose processor time counts
    behind: list = dataclasses.field(default_factory=list)  # what they pass to; counts, too
    target: float | None = None  # of a peer: our target beside it, for the first figure
    note: str = ""


@dataclasses.dataclass
class Run:
    """One turn of a contender."""

    load: typing.Any
    cpu: float  # seconds of its servers
    behind: float  # seconds of what they pass to


@dataclasses.dataclass
class Figure:
    what: str
    unit: str
    of: typing.Callable  # (Run) -> number
    better: str = "lower"


CPU = Figure("CPU per request", "us", lambda r: (r.cpu + r.behind) / r.load.answers * 1e6)
CPU_PURCHASE = dataclasses.replace(CPU, what="CPU per purchase")
CPU_BOTH = dataclasses.replace(CPU, what="CPU per request, both hops")
CPU_FRONT = Figure("CPU per request, first hop", "us", lambda r: r.cpu / r.load.answers * 1e6)
RATE = Figure("answers", "/s", lambda r: r.load.per_s, "higher")
PURCHASES = dataclasses.replace(RATE, what="purchases")
P50 = Figure("p50", "ms", lambda r: r.load.p50_ms)
P99 = Figure("p99", "ms", lambda r: r.load.p99_ms)


class Context:
    def __init__(self, scenario, options):
        self.scenario = scenario
        self.quick = options.quick
        self.pairs = options.pairs
        self.seconds = options.seconds
        self.connections = options.connections
        self.rows = []
        parent = os.environ.get("RUSHGATE_BENCH_DIR", "/var/tmp")
        self.dir = tempfile.mkdtemp(prefix="rushgate-bench-", dir=parent)
        os.chmod(self.dir, 0o755)
        self.stack = contextlib.ExitStack()
        if options.keep:
            self.say(f"files stay in {self.dir}")
        else:
            self.stack.callback(shutil.rmtree, self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *what):
        self.stack.close()

    # ---- what scenarios need ----

    def start(self, kind, *args, **more):
        """A server that is stopped when the scenario ends: ctx.start(peers.Nginx, "name", ...)."""
        server = kind(self.dir, *args, **more)
        self.stack.callback(server.stop)
        return server

    def text(self, name, text):
        path = os.path.join(self.dir, name)
        with open(path, "w") as f:
            f.write(text)
        return path

    def say(self, text):
        print(f"  {self.scenario}: {text}", file=sys.stderr, flush=True)

    def pick(self, full, quick):
        return quick if self.quick else full

    # ---- rows ----

    def row(self, what, **fields):
        row = judge.Row(self.scenario, what, **fields).judged()
        self.rows.append(row)
        return row

    def left_out(self, what, why, **fields):
        return self.row(what, verdict=judge.LEFT_OUT, note=why, **fields)

    # ---- comparison ----

    def compare(self, ours, peers, figures=(CPU,), case="", pairs=None, note="", **fields):
        """A row for each figure and peer; with no peer a row of ours alone. `fields` go into each row."""
        self.warm([*peers, ours])
        rounds = [self.turn([*peers, ours], figures, case) for _ in range(pairs or self.pairs)]
        mine = [r[-1] for r in rounds]
        for figure in figures:
            common = {"case": case, "unit": figure.unit, "pairs": len(rounds), **fields, **side("ours", figure, mine)}
            for i, peer in enumerate(peers):
                theirs = [r[i] for r in rounds]
                each = judge.ratios([figure.of(r) for r in theirs], [figure.of(r) for r in mine], figure.better)
                middle, low, high = judge.spread(each)
                target = {"target": peer.target if figure is figures[0] else None}
                self.row(
                    figure.what, peer=peer.label, ratio=middle, ratio_low=low, ratio_high=high,
                    **{**target, **common, "note": peer.note or note}, **side("theirs", figure, theirs),
                )  # fmt: skip
            if not peers:
                self.row(figure.what, note=note, **common)

    def warm(self, contenders):
        """A second of each that does not count: connections to what is behind, pools, caches."""
        seconds, self.seconds = self.seconds, 1
        for c in contenders:
            c.load()
        self.seconds = seconds

    def turn(self, contenders, figures, case):
        """A Run of everybody, in their order."""
        runs = [measured(c) for c in contenders]
        words = [
            f"{c.label} "
            + " ".join(f"{f.of(r):,.2f} {f.unit}" for f in figures)
            + f" ({r.load.per_s:,.0f}/s, generator {r.load.generator:.0%})"
            for c, r in zip(contenders, runs, strict=True)
        ]
        self.say((f"{case}: " if case else "") + ", ".join(words))
        return runs


def side(name, figure, runs):
    """Fields of a row for "ours" or "theirs"."""
    middle, low, high = judge.spread([figure.of(r) for r in runs])
    return {
        name: middle,
        f"{name}_low": low,
        f"{name}_high": high,
        f"{name}_per_s": judge.spread([r.load.per_s for r in runs])[0],
        f"{name}_generator": judge.spread([r.load.generator for r in runs])[0],
    }


def pids_of(servers):
    return [p for s in servers for p in s.pids()]


def measured(contender):
    """A Run. A process that ends meanwhile fails it: what it used would be missing, and it should not."""
    front, behind = pids_of(contender.servers), pids_of(contender.behind)
    before = [processes.cpu_seconds(p) for p in (front, behind)]
    load = contender.load()
    if not set(front + behind) <= set(pids_of(contender.servers) + pids_of(contender.behind)):
        raise RuntimeError(f"{contender.label}: a process ended during the run")
    after = [processes.cpu_seconds(p) for p in (front, behind)]
    return Run(load, after[0] - before[0], after[1] - before[1])
