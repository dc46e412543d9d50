# SPDX-License-Identifier: BSD-2-Clause
"""Bare refusal: GET of an unknown path, beside servers that answer 404 by themselves."""

from benchlib import gateway, load, peers
from benchlib.measure import Contender

ORDER = 10
NEEDS = ["nginx", "wrk"]


def run(ctx):
    peer = ctx.start(peers.returning, 404)
    ours = ctx.start(gateway.Rushgate)
    for server in (peer, ours):
        load.expect(server.url("/no/such/path"), 404)

    def refused(server):
        return lambda: load.wrk(ctx, server.url("/no/such/path"), refused=True)

    ctx.compare(
        Contender("rushgate", refused(ours), [ours]),
        [Contender("nginx return", refused(peer), [peer], target=1.1)],
    )
