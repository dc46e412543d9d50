# SPDX-License-Identifier: BSD-2-Clause
"""Refusal of an order for what is sold out: 409, beside nginx `return 409`."""

import json

from benchlib import gateway, load, peers
from benchlib.measure import Contender

ORDER = 25
NEEDS = ["nginx", "h2load"]
PATH = "/api/v1/events/gone/orders"
BODY = json.dumps({"item": "standard", "quantity": 1})


def headers(buyer):
    return {"X-User-Id": buyer, "Idempotency-Key": buyer, "Content-Type": "application/json"}


def run(ctx):
    peer = ctx.start(peers.returning, 409)
    ours = ctx.start(gateway.Rushgate)
    ours.create_event("gone", 1)
    load.expect(ours.url(PATH), 201, method="POST", headers=headers("first"), body=BODY.encode())
    answer = load.expect(ours.url(PATH), 409, method="POST", headers=headers("late"), body=BODY.encode())
    if not json.loads(answer)["type"].endswith(":sold-out"):
        raise RuntimeError(f"refused for another reason: {answer!r}")
    words = [f"{k}: {v}" for k, v in headers("late").items()]

    def refused(server):
        return lambda: load.h2load(ctx, server.url(PATH), "4xx", words, BODY)

    ctx.compare(
        Contender("rushgate", refused(ours), [ours]),
        [Contender("nginx return", refused(peer), [peer], target=1.1)],
    )
