# SPDX-License-Identifier: BSD-2-Clause
"""Start-up and memory: from the start of the program to the first answer, and what it then holds.

Memory is the proportional share of all processes (shared pages are counted once)."""

import functools
import time

from benchlib import gateway, judge, load, peers, processes

ORDER = 130
NEEDS = ["nginx"]


def started(ctx, kind, *args, **more):
    """(milliseconds to the first answer, megabytes) of a server that is ended again."""
    begin = time.monotonic()
    server = kind(ctx.dir, *args, name=f"start-{time.monotonic_ns()}", **more)
    try:
        load.ask(server.url("/"))
        took = (time.monotonic() - begin) * 1e3
        time.sleep(0.3)  # what is allocated after the first answer
        return took, processes.memory_bytes(server.pids())[1] / 1e6
    finally:
        server.stop()


def run(ctx):
    back = ctx.start(peers.constant, workers=1)
    kinds = {
        "rushgate": functools.partial(gateway.Rushgate, boxoffice=False),
        "rushgate with box office": gateway.Rushgate,
        "nginx": functools.partial(peers.Proxied),
    }
    arguments = {"nginx": [back.port], "HAProxy": [back.port]}
    if peers.find("haproxy"):
        kinds["HAProxy"] = peers.Haproxy
    else:
        ctx.left_out("beside HAProxy", "HAProxy is not installed")
    got = {label: [] for label in kinds}
    for _ in range(ctx.pairs):
        for label, kind in kinds.items():
            got[label].append(started(ctx, kind, *arguments.get(label, [])))
    for which, (what, unit) in enumerate((("to the first answer", "ms"), ("memory", "MB"))):
        figures = {label: judge.spread([g[which] for g in values]) for label, values in got.items()}
        ours = figures.pop("rushgate")
        for label, theirs in figures.items():
            ctx.row(
                what, unit=unit, peer=label, pairs=ctx.pairs, ratio=theirs[0] / ours[0],
                ours=ours[0], ours_low=ours[1], ours_high=ours[2],
                theirs=theirs[0], theirs_low=theirs[1], theirs_high=theirs[2],
            )  # fmt: skip
