# SPDX-License-Identifier: BSD-2-Clause
"""Growth: 1 to 1,000 routes. A request of the last one, beside itself with one route."""

from benchlib import gateway, load
from benchlib.measure import Contender

ORDER = 120
NEEDS = ["wrk"]


def routes(n):
    return [
        {"name": f"r{i}", "match": {"path": f"/area{i % 31}/shop{i}/{{item}}/buy"}, "respond": {"body": "ok"}}
        for i in range(n)
    ]


def contender(ctx, n, label):
    server = ctx.start(gateway.Rushgate, {"routes": routes(n)}, name=f"routes-{n}", boxoffice=False)
    last = n - 1
    url = server.url(f"/area{last % 31}/shop{last}/x/buy")
    load.expect(url, 200)
    return Contender(label, lambda: load.wrk(ctx, url), [server])


def run(ctx):
    one = contender(ctx, 1, "itself with 1 route")
    for n in (10, 100, 1000):
        ctx.compare(contender(ctx, n, "rushgate"), [one], case=f"{n:,} routes", pairs=min(ctx.pairs, 3))
