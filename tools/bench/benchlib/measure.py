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
    target: float | None = None  # of a peer: our target beside it
    note: str = ""


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

    def compare(self, ours, peers, what="CPU per request", case="", pairs=None, figure=None, unit="us",
                better="lower", note=""):  # fmt: skip
        """A row for each peer; with none a row of ours alone. The figure is the servers' processor time per
        answer, or figure(load, seconds of processor time)."""
        figure = figure or (lambda load, cpu: cpu / load.answers * 1e6)
        rounds = [self.round([*peers, ours], figure, unit, case) for _ in range(pairs or self.pairs)]
        mine = [r[-1] for r in rounds]
        out = []
        for i, peer in enumerate(peers):
            theirs = [r[i] for r in rounds]
            r = judge.spread(judge.ratios([t[0] for t in theirs], [m[0] for m in mine], better))
            out.append(
                self.row(
                    what, case=case, unit=unit, pairs=len(rounds), note=peer.note or note, target=peer.target,
                    **self.side("ours", mine), **self.side("theirs", theirs), peer=peer.label,
                    ratio=r[0], ratio_low=r[1], ratio_high=r[2],
                )
            )  # fmt: skip
        if not peers:
            out.append(self.row(what, case=case, unit=unit, pairs=len(rounds), note=note, **self.side("ours", mine)))
        return out

    def round(self, contenders, figure, unit, case):
        """[(figure, load)] of one turn of everybody."""
        got = []
        for c in contenders:
            load, cpu = measured(c)
            got.append((figure(load, cpu), load))
        self.say(
            (f"{case}: " if case else "")
            + ", ".join(
                f"{c.label} {value:.2f} {unit} ({load.per_s:,.0f}/s, generator {load.generator:.0%})"
                for c, (value, load) in zip(contenders, got, strict=True)
            )
        )
        return got

    @staticmethod
    def side(name, got):
        """Fields of a row for "ours" or "theirs"."""
        middle, low, high = judge.spread([value for value, _ in got])
        return {
            name: middle,
            f"{name}_low": low,
            f"{name}_high": high,
            f"{name}_per_s": judge.spread([load.per_s for _, load in got])[0],
            f"{name}_generator": judge.spread([load.generator for _, load in got])[0],
        }


def measured(contender):
    """(load, processor seconds of its servers) of one run. A process that ends meanwhile fails it: what
    it used would be missing, and it should not."""
    pids = [p for s in contender.servers for p in s.pids()]
    before = processes.cpu_seconds(pids)
    load = contender.load()
    after = [p for s in contender.servers for p in s.pids()]
    if not set(pids) <= set(after):
        raise RuntimeError(f"{contender.label}: a process ended during the run")
    return load, processes.cpu_seconds(pids) - before
