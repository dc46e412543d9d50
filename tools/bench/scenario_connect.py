# SPDX-License-Identifier: BSD-2-Clause
"""A connection per request: refusals with `Connection: close`, beside servers that answer 404 by themselves."""

from benchlib import gateway, load, peers
from benchlib.measure import Contender

ORDER = 80
NEEDS = ["nginx", "wrk"]


def run(ctx):
    peer = ctx.start(peers.returning, 404)
    ours = ctx.start(gateway.Rushgate, boxoffice=False)

    def refused(server):
        return lambda: load.wrk(ctx, server.url("/no/such/path"), refused=True, headers=["Connection: close"])

    ctx.compare(
        Contender("rushgate", refused(ours), [ours]), [Contender("nginx return", refused(peer), [peer])]
    )
