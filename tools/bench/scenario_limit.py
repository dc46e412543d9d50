# SPDX-License-Identifier: BSD-2-Clause
"""Refusal by limit: 429 by a rate limit per client, beside nginx `return 429`.

With every phase on, the request has a buyer and passes an allow list, bans of others, a split and a limit that
admits it, before the limit that refuses."""

import subprocess

from benchlib import gateway, load, peers
from benchlib.measure import Contender, batch, floor_of

ORDER = 20
NEEDS = ["nginx", "wrk"]
CHECKS = ["tools/bench/floor"]
ONE = {"limits": {"bench": {"key": "client_ip", "rate": "1/h"}}, "routes": [{**gateway.LIMITED, "limits": ["bench"]}]}
ALL = {
    "limits": {
        "all": {"key": "constant", "rate": "1000000/s", "burst": 1_000_000},
        "bench": {"key": ["client_ip", "identity"], "rate": "1/h"},
    },
    "splits": {"try": {"by": "identity", "arms": {"a": {"weight": 1}, "b": {"weight": 1}}}},
    "routes": [
        {
            **gateway.LIMITED,
            "identity": "required",
            "allow": ["127.0.0.0/8"],
            "split": "try",
            "limits": ["all", "bench"],
        }
    ],
}
BUYER = {"X-User-Id": "u-4711"}


def ban_others(server):
    words = [f"{gateway.BUILD}/rushctl", "-p", server.dir, "ban", "add", "192.0.2.1", "10.2.0.0/16", "identity:u-1"]
    subprocess.run(words, check=True, capture_output=True)


def run(ctx):
    peer = ctx.start(peers.returning, 429)
    batched = ctx.start(peers.returning, 429, name="return-batch", under=peers.BATCH)
    one = ctx.start(gateway.Rushgate, ONE, name="rushgate-limit")
    every = ctx.start(gateway.Rushgate, ALL, name="rushgate-phases")
    ban_others(every)
    for server in (one, every):
        load.expect(server.url("/limited"), 200, headers=BUYER)
        load.expect(server.url("/limited"), 429, headers=BUYER)

    def refused(server):
        words = [f"{k}: {v}" for k, v in BUYER.items()]
        return load.wrk(ctx, server.url("/limited"), refused=True, headers=words)

    for case, server in (("one limit", one), ("every phase on", every)):
        floor = floor_of(ctx, server, load.request("/limited", headers=BUYER), refused, f"floor-{server.name}")
        nginx = Contender("nginx return", lambda: refused(peer), [peer], target=1.1)
        mine = Contender("rushgate", lambda server=server: refused(server), [server])
        ctx.compare(mine, [nginx, batch("nginx return", lambda: refused(batched), [batched]), floor], case=case, least_pairs=9)
