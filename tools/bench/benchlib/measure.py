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

from . import judge, peers, processes
from . import load as answers


@dataclasses.dataclass
class Contender:
    label: str
    load: typing.Callable  # () -> load.Load
    servers: list  # whose processor time counts
    behind: list = dataclasses.field(default_factory=list)  # what they pass to; counts, too
    target: float | None = None  # of a peer: our target beside it, for the first figure
    note: str = ""
    floor: bool = False  # of a peer: it does nothing, so nobody is cheaper


@dataclasses.dataclass
class Run:
    """One turn of a contender."""

    load: typing.Any
    cpu: float  # seconds of its servers
    behind: float  # seconds of what they pass to
    kernel: float  # of both, what was spent in the kernel


@dataclasses.dataclass
class Figure:
    what: str
    unit: str
    of: typing.Callable  # (Run) -> number
    better: str = "lower"


FLOOR = "a server that does nothing"

CPU = Figure("CPU per request", "us", lambda r: (r.cpu + r.behind) / r.load.answers * 1e6)
CPU_PURCHASE = dataclasses.replace(CPU, what="CPU per purchase")
CPU_BOTH = dataclasses.replace(CPU, what="CPU per request, both hops")
CPU_FRONT = Figure("CPU per request, first hop", "us", lambda r: r.cpu / r.load.answers * 1e6)
RATE = Figure("answers", "/s", lambda r: r.load.per_s, "higher")
PURCHASES = dataclasses.replace(RATE, what="purchases")
P50 = Figure("p50", "ms", lambda r: r.load.p50_ms)
P99 = Figure("p99", "ms", lambda r: r.load.p99_ms)


def batch(label, load, servers, behind=()):
    """A peer of which everything runs under peers.BATCH, told beside the one that runs as it comes."""
    return Contender(f"{label}, SCHED_BATCH", load, servers, list(behind))


def floor_of(ctx, ours, request, load, name="floor", **more):
    """A peer that does nothing: every request gets the bytes that `ours` answers `request` with. load(server)
    runs it."""
    server = ctx.start(peers.Floor, answers.raw_answer(ours.port, request), name=name, **more)
    return Contender(FLOOR, lambda: load(server), [server], floor=True)


class Context:
    def __init__(self, scenario, options):
        self.scenario = scenario
        self.quick = options.quick
        self.pairs, self.pairs_chosen = options.pairs, options.pairs_chosen
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

    def compare(self, ours, peers, figures=(CPU,), case="", pairs=None, least_pairs=0, note="", **fields):
        """A row for each figure and peer; with no peer a row of ours alone. `fields` go into each row, but a
        target only into the first.
        least_pairs: where the usual number hides what is looked for."""
        self.warm([*peers, ours])
        pairs = pairs or (self.pairs if self.pairs_chosen else max(self.pairs, least_pairs))
        rounds = [self.turn([*peers, ours], figures, case) for _ in range(pairs)]
        floor = next((i for i, p in enumerate(peers) if p.floor), None)
        mine = [r[-1] for r in rounds]
        for figure in figures:
            common = {"case": case, "unit": figure.unit, "pairs": len(rounds), **fields, **side("ours", figure, mine)}
            first = figure is figures[0]
            if not first:
                common.pop("target", None)
            for i, peer in enumerate(peers):
                theirs = [r[i] for r in rounds]
                each = judge.ratios([figure.of(r) for r in theirs], [figure.of(r) for r in mine], figure.better)
                middle, low, high = judge.spread(each)
                if i > 0:
                    common.pop("target", None)
                more = {"target": peer.target if first else None, "note": peer.note or note}
                if first and floor is not None and peer.target is not None:
                    more.update(beside_floor(figure, peer.label, theirs, [r[floor] for r in rounds], mine))
                self.row(
                    figure.what, peer=peer.label, ratio=middle, ratio_low=low, ratio_high=high,
                    **{**more, **common}, **side("theirs", figure, theirs),
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


def kernel_share(runs):
    return judge.spread([r.kernel / (r.cpu + r.behind) for r in runs])[0]


def beside_floor(figure, peer, theirs, floor, mine):
    """Fields of a row with a target: how far a server that does nothing is from it, and ours from that."""
    values = [[figure.of(r) for r in runs] for runs in (theirs, floor, mine)]
    middle, low, high = judge.spread(judge.ratios(values[0], values[1], figure.better))
    ours = judge.spread(judge.ratios(values[1], values[2], figure.better))[0]
    note = (
        f"a server that does nothing is at {middle:.2f} ({low:.2f} to {high:.2f}) x {peer} and costs {ours:.0%} of"
        f" rushgate; the kernel's part is {kernel_share(floor):.0%} of it, {kernel_share(mine):.0%} of rushgate,"
        f" {kernel_share(theirs):.0%} of {peer}."
    )
    return {"floor": ours, "floor_ratio": middle, "note": note}


def pids_of(servers):
    return [p for s in servers for p in s.pids()]


def measured(contender):
    """A Run. A process that ends meanwhile fails it: what it used would be missing, and it should not."""
    front, behind = pids_of(contender.servers), pids_of(contender.behind)
    before = [processes.cpu_parts(p) for p in (front, behind)]
    load = contender.load()
    if not set(front + behind) <= set(pids_of(contender.servers) + pids_of(contender.behind)):
        raise RuntimeError(f"{contender.label}: a process ended during the run")
    after = [processes.cpu_parts(p) for p in (front, behind)]
    used = [[a - b for a, b in zip(*both, strict=True)] for both in zip(after, before, strict=True)]
    return Run(load, sum(used[0]), sum(used[1]), used[0][1] + used[1][1])
