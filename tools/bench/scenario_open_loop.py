# SPDX-License-Identifier: BSD-2-Clause
"""p99 of durable purchases at 42,000 a second offered, open loop.

A purchase's time runs from when it was due. Beside it an nginx proxy_pass that passes the same
requests to a constant answer, and a server that does nothing but write and wait for the disk
(floor.c), offered the same. The generator has the same two cores: what it was late with sending,
and what it left unread after it had arrived (the kernel's time stamp), are rows of their own."""

import scenario_purchase
from benchlib import gateway, load, measure, peers
from benchlib.measure import Contender, Figure

ORDER = 45
NEEDS = ["nginx"]
CHECKS = ["tools/bench/floor"]
OFFERED = 42_000
CONNECTIONS = 512
PARTS = [
    Figure("p99 of what the generator sent late", "ms", lambda r: r.load.late_p99_ms),
    Figure("p99 from sent to arrived", "ms", lambda r: r.load.away_p99_ms),
    Figure("p99 of what the generator left unread", "ms", lambda r: r.load.unread_p99_ms),
]


class Offered:
    """A load at a rate, and how much of it was answered."""

    def __init__(self, ctx, server, rate):
        self.ctx, self.server, self.rate, self.answered = ctx, server, rate, 1.0

    def __call__(self):
        got = load.stampede(self.ctx, self.server, rate=self.rate, connections=CONNECTIONS)
        self.answered = min(self.answered, got.answers / (self.rate * self.ctx.seconds))
        return got


def capacities(ctx, servers):
    """What each answers in a closed loop, in the same minute: how far the rate is from the end."""
    return "closed loop: " + ", ".join(
        f"{name} {load.stampede(ctx, server, connections=CONNECTIONS).per_s:,.0f}/s" for name, server in servers.items()
    )


def run(ctx):
    ours = ctx.start(gateway.Rushgate)
    ours.create_event("bench", 16_000_000)
    peer = ctx.start(peers.Proxied, scenario_purchase.created(ctx).port)
    order = load.purchases("bench", "floor")(0)
    floor = ctx.start(peers.Floor, load.raw_answer(ours.port, order), store=True)
    servers = {"rushgate": ours, "nginx proxy_pass": peer, measure.FLOOR: floor}
    note = capacities(ctx, servers)
    for rate in (OFFERED // 4, OFFERED // 2, OFFERED):
        loads = {name: Offered(ctx, server, rate) for name, server in servers.items()}
        mine, *theirs = (Contender(name, loads[name], [server]) for name, server in servers.items())
        rows = len(ctx.rows)
        ctx.compare(
            mine, theirs, figures=[measure.P99, *PARTS], case=f"{rate:,}/s", note=f"{note}. ",
            of="at most", target=2.0 if rate == OFFERED else None,
        )  # fmt: skip
        judged, least = ctx.rows[rows : rows + 2]
        judged.floor, judged.verdict = least.ratio, ""
        judged.judged()
        for name, load_of in loads.items():
            # What was due and never sent is in no percentile: the figure is better than the truth.
            if load_of.answered < 0.99:
                judged.note += f"{name} fell behind: in its worst run {load_of.answered:.0%} were answered. "
