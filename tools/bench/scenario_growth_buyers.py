# SPDX-License-Identifier: BSD-2-Clause
"""Growth: 10 to 10,000 buyers connected who buy, beside itself with 100.

Fewer buyers at a time make smaller batches, so ten are dearer than a hundred; many should cost no more. Connecting counts, too. All of
them always have a purchase under way, so the upstream's max_in_flight is raised from 4,096 to 16,384 calls of a
worker; with the default the gateway refuses some of 10,000 with 503."""

from benchlib import gateway, load, measure
from benchlib.measure import Contender

ORDER = 122


def run(ctx):
    server = ctx.start(gateway.Rushgate, {"upstreams": {"boxoffice": {"max_in_flight": 16384}}})
    server.create_event("bench", 16_000_000)

    def contender(n, label):
        return Contender(label, lambda: load.stampede(ctx, server, connections=n), [server])

    for n in ctx.pick((10, 1_000, 10_000), (10, 1_000)):
        ctx.compare(
            contender(n, "rushgate"), [contender(100, "itself with 100")], figures=[measure.CPU_PURCHASE, measure.P99],
            case=f"{n:,} buyers", pairs=min(ctx.pairs, 3),
        )  # fmt: skip
    ctx.left_out("1 to 10 million known keys", "there is no such setting yet")
