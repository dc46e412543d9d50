# SPDX-License-Identifier: BSD-2-Clause
"""Refusal by limit: 429 by a rate limit per client, beside nginx `return 429`."""

from benchlib import gateway, load, peers
from benchlib.measure import Contender

ORDER = 20
NEEDS = ["nginx", "wrk"]


def run(ctx):
    peer = ctx.start(peers.returning, 429)
    limits = {"limits": {"bench": {"key": "client_ip", "rate": "1/h"}}}
    ours = ctx.start(gateway.Rushgate, {**limits, "routes": [{**gateway.LIMITED, "limits": ["bench"]}]})
    load.expect(ours.url("/limited"), 200)
    for server in (peer, ours):
        load.expect(server.url("/limited"), 429)

    def refused(server):
        return lambda: load.wrk(ctx, server.url("/limited"), refused=True)

    ctx.compare(
        Contender("rushgate", refused(ours), [ours]),
        [Contender("nginx return", refused(peer), [peer], target=1.1)],
    )
