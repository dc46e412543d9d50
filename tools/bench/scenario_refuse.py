# SPDX-License-Identifier: BSD-2-Clause
"""Bare refusal: GET of an unknown path, beside servers that answer 404 by themselves."""

from benchlib import gateway, load, peers
from benchlib.measure import Contender, batch, floor_of

ORDER = 10
NEEDS = ["nginx", "wrk"]
CHECKS = ["tools/bench/floor"]
PATH = "/no/such/path"


def run(ctx):
    peer = ctx.start(peers.returning, 404)
    batched = ctx.start(peers.returning, 404, name="return-batch", under=peers.BATCH)
    ours = ctx.start(gateway.Rushgate)
    for server in (peer, ours):
        load.expect(server.url(PATH), 404)

    def refused(server):
        return load.wrk(ctx, server.url(PATH), refused=True)

    ctx.compare(
        Contender("rushgate", lambda: refused(ours), [ours]),
        [
            Contender("nginx return", lambda: refused(peer), [peer], target=1.1),
            batch("nginx return", lambda: refused(batched), [batched]),
            floor_of(ctx, ours, load.request(PATH), refused),
        ],
        least_pairs=9,
    )
