# SPDX-License-Identifier: BSD-2-Clause
"""Refusal of an order for what is sold out: 409, beside nginx `return 409`.

Every request is another buyer's with a key of its own, as in a sale; one that was sent before would go to the
box office."""

import json
import time

from benchlib import gateway, load, peers
from benchlib.measure import Contender, batch, floor_of

ORDER = 25
NEEDS = ["nginx", "wrk"]
CHECKS = ["tools/bench/floor"]
PATH = "/api/v1/events/gone/orders"
BODY = json.dumps({"item": "standard", "quantity": 1})
REMEMBER_S = 2
SCRIPT = """
local n = math.random(1, 2^40)
wrk.method = "POST"
wrk.body = '%s'
wrk.headers["Content-Type"] = "application/json"
wrk.headers["X-User-Id"] = "late"
request = function()
    n = n + 1
    wrk.headers["Idempotency-Key"] = "key-" .. n
    return wrk.format()
end
""" % BODY


def headers(buyer):
    return {"X-User-Id": buyer, "Idempotency-Key": buyer, "Content-Type": "application/json"}


def run(ctx):
    peer = ctx.start(peers.returning, 409)
    batched = ctx.start(peers.returning, 409, name="return-batch", under=peers.BATCH)
    ours = ctx.start(gateway.Rushgate, {"idempotency": {"remember": f"{REMEMBER_S}s"}})
    ours.create_event("gone", 1)
    load.expect(ours.url(PATH), 201, method="POST", headers=headers("first"), body=BODY.encode())
    answer = load.expect(ours.url(PATH), 409, method="POST", headers=headers("late"), body=BODY.encode())
    if not json.loads(answer)["type"].endswith(":sold-out"):
        raise RuntimeError(f"refused for another reason: {answer!r}")
    time.sleep(REMEMBER_S)  # from now on what is not remembered was not sent

    def refused(server):
        return load.wrk(ctx, server.url(PATH), refused=True, script=SCRIPT)

    order = load.request(PATH, "POST", headers("too-late"), BODY)
    ctx.compare(
        Contender("rushgate", lambda: refused(ours), [ours]),
        [
            Contender("nginx return", lambda: refused(peer), [peer], target=1.1),
            batch("nginx return", lambda: refused(batched), [batched]),
            floor_of(ctx, ours, order, refused),
        ],
        least_pairs=9,
    )
