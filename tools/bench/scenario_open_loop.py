# SPDX-License-Identifier: BSD-2-Clause
"""p99 of durable purchases at 42,000 a second offered, open loop.

A purchase's time runs from when it was due. Beside it an nginx proxy_pass that passes the same
requests to a constant answer, offered the same."""

import scenario_purchase
from benchlib import gateway, load, measure, peers
from benchlib.measure import Contender

ORDER = 45
NEEDS = ["nginx"]
OFFERED = 42_000


class Offered:
    """A load at a rate, and how much of it was answered."""

    def __init__(self, ctx, server, rate):
        self.ctx, self.server, self.rate, self.answered = ctx, server, rate, 1.0

    def __call__(self):
        got = load.stampede(self.ctx, self.server, rate=self.rate, connections=512)
        self.answered = min(self.answered, got.answers / (self.rate * self.ctx.seconds))
        return got


def run(ctx):
    ours = ctx.start(gateway.Rushgate)
    ours.create_event("bench", 16_000_000)
    peer = ctx.start(peers.Proxied, scenario_purchase.created(ctx).port)
    for rate in (OFFERED // 4, OFFERED):
        mine, theirs = Offered(ctx, ours, rate), Offered(ctx, peer, rate)
        ctx.compare(
            Contender("rushgate", mine, [ours]),
            [Contender("nginx proxy_pass", theirs, [peer])],
            figures=[measure.P99],
            case=f"{rate:,}/s",
            of="at most",
            target=2.0 if rate == OFFERED else None,
        )
        for who, load_of in (("rushgate", mine), ("nginx", theirs)):
            # What was due and never sent is in no percentile: the figure is better than the truth.
            if load_of.answered < 0.99:
                ctx.rows[-1].note += f"{who} fell behind: in its worst run {load_of.answered:.0%} were answered. "
