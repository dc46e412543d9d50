# SPDX-License-Identifier: BSD-2-Clause
"""What rate limits admit: 99.9 to 100 % of any rate, with two processes on the table and over HTTP.

More than 100 % is worse than less: a limit that admits too much is none. Over HTTP wrk's own clock is
good to some milliseconds, so 99.5 to 100.2 % is exact there."""

import json
import os
import subprocess

from benchlib import gateway, judge, load, peers

ORDER = 30
NEEDS = ["nginx", "wrk"]
CHECKS = ["tests/unit/table/bench_limit"]


def table(*words):
    """The lines of bench_limit."""
    tool = os.path.join(gateway.BUILD, CHECKS[0])
    out = subprocess.run([tool, *words], capture_output=True, text=True, check=True)
    return [json.loads(line) for line in out.stdout.splitlines()]


def admitted(ctx, server, rate, burst):
    """Per cent of what the limit allows that got in, and answers per second."""
    seconds = max(4, ctx.seconds)  # the ends are good to some milliseconds
    out, _, took = load.command(
        ["wrk", "-t1", f"-c{ctx.connections}", f"-d{seconds}s", "--latency", server.url("/limited")]
    )
    got = load.parse_wrk(out)
    if got["errors"]:
        raise RuntimeError(f"socket errors: {got['errors']}")
    # wrk asks for a little less long than it runs; its own figure is what was offered.
    allowed = burst + rate * min(got["seconds"], took)
    return 100 * (got["answers"] - got["bad"]) / allowed, got["answers"] / got["seconds"]


def exact(ctx, percent, least, most, **fields):
    """A row that misses its target below and above."""
    over = {"verdict": judge.SHORT, "short_by": (percent - most) / most} if percent > most else {}
    ctx.row("admitted", unit="%", ours=percent, target=least, of="at least", **over, **fields)


def over_http(ctx, rate):
    burst = max(1, rate // 20)
    limits = {"bench": {"key": "constant", "rate": f"{rate}/s", "burst": burst}}
    routes = [{**gateway.LIMITED, "limits": ["bench"]}]
    ours = ctx.start(gateway.Rushgate, {"limits": limits, "routes": routes}, name=f"rushgate-{rate}", boxoffice=False)
    peer = ctx.start(
        peers.Nginx, f"limit_req-{rate}",
        f"limit_req_zone $server_addr zone=z:1m rate={rate}r/s; limit_req_status 429;\n"
        f"server {{ listen 127.0.0.1:PORT reuseport; location / {{ limit_req zone=z burst={burst} nodelay;"
        " try_files /none @in; } location @in { return 200 in; } }",
    )  # fmt: skip
    mine, offered = admitted(ctx, ours, rate, burst)
    theirs, _ = admitted(ctx, peer, rate, burst)
    exact(
        ctx, mine, 99.5, 100.2, case=f"HTTP, {rate:,}/s", peer="nginx limit_req", theirs=theirs,
        ours_per_s=offered,
    )  # fmt: skip
    ours.stop()
    peer.stop()


def run(ctx):
    for row in table("rates", str(ctx.seconds)):
        kind = "leased" if row["leases"] else "strict"
        case = f"table, {kind}, {row['rate']:,}/s"
        exact(ctx, row["percent"], 99.9, 100.0, case=case, ours_per_s=row["offered_per_s"])
    for rate in (100, 3000, 50000):
        over_http(ctx, rate)
