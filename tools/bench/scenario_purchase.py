# SPDX-License-Identifier: BSD-2-Clause
"""Durable purchase on SQLite, end to end, beside reverse proxies in front of a constant answer.

A purchase is answered when it is on disk; the peers write nothing. Counted are all processes: the
gateway's with the box office, the peer's with its backend."""

from benchlib import gateway, load, peers
from benchlib.measure import Contender

ORDER = 40
NEEDS = ["nginx", "wrk"]


def contenders(ctx, log=False):
    """(ours, peers) with the log of every request on or off."""
    back = ctx.start(peers.constant, workers=1)
    ours = ctx.start(gateway.Rushgate, log=log)
    ours.create_event("bench", 16_000_000)
    fronts = [("nginx proxy_pass", ctx.start(peers.Proxied, back.port, log=log), 1.25)]
    if peers.find("haproxy"):
        fronts.append(("HAProxy", ctx.start(peers.Haproxy, back.port, log=log), None))
    else:
        ctx.left_out("beside HAProxy", "HAProxy is not installed")

    def asked(front):
        load.expect(front.url(), 200)
        return lambda: load.wrk(ctx, front.url())

    theirs = [Contender(label, asked(f), [f, back], target=target) for label, f, target in fronts]
    return Contender("rushgate", lambda: load.stampede(ctx, ours), [ours]), theirs


def run(ctx):
    ctx.compare(*contenders(ctx), what="CPU per purchase")
