# SPDX-License-Identifier: BSD-2-Clause
"""What rate limits admit: 99.9 to 100 % of any rate, with two processes on the table and over HTTP.

More than 100 % is worse than less: a limit that admits too much is none. 100 % is burst + rate x time, whole
tokens. Each run lasts half a token longer than a whole number of them, so that none is due at the very end.
Over HTTP the time is from before the first request until after the last answer, by the clock that the servers
read, too (benchlib/flood.py); no server can be asked for all of it, so the figures are at most short by the
millisecond of the ends. A refusal says that the bucket is empty, so nothing runs over while one follows another within the
time that fills it. A run in which the machine lets too few ask for that is repeated, up to five times, and then
left out: no limit can admit what is not asked for. 1,000,000/s are 50,000 requests a second that cost 20 tokens each."""

import json
import math
import os
import subprocess
import time

from benchlib import flood, gateway, judge, load, peers

ORDER = 30
NEEDS = ["nginx"]
CHECKS = ["tests/unit/table/bench_limit"]
TRIES = 5
# Tokens a second, of a request, seconds at least.
OVER_HTTP = ((1, 1, 20), (100, 1, 4), (3000, 1, 4), (50000, 1, 4), (1000000, 20, 4))


def table(*words):
    """The lines of bench_limit."""
    tool = os.path.join(gateway.BUILD, CHECKS[0])
    out = subprocess.run([tool, *words], capture_output=True, text=True, check=False)
    if out.returncode not in (0, 1):  # 1: a figure that is judged here
        raise RuntimeError(f"{tool}: exit {out.returncode}: {out.stderr}")
    return [json.loads(line) for line in out.stdout.splitlines()]


def admitted(ctx, server, rate, burst, cost, seconds):
    """Per cent of what the limit allows that got in, None where too little was asked, and answers a second."""
    seconds = max(seconds, ctx.seconds) + 0.5 * cost / rate
    for _ in range(TRIES):
        time.sleep(1.1 * burst / rate)  # the bucket fills up
        got = flood.flood(server.port, load.get("/limited")(0), seconds)
        offered = sum(got.answers.values()) / got.seconds
        if got.pause < burst / rate:
            allowed = math.floor((burst + rate * got.seconds) / cost)
            return 100 * got.answers["200"] / allowed, offered
        ctx.say(f"too little was asked for {got.pause * 1e3:.0f} ms")
    return None, offered


def exact(ctx, percent, least, most, **fields):
    """A row that misses its target below and above."""
    over = {"verdict": judge.SHORT, "short_by": (percent - most) / most} if percent > most else {}
    ctx.row("admitted", unit="%", ours=percent, target=least, of="at least", **over, **fields)


def limit_req(rate, burst):
    """nginx's burst is what may come beside the one that the rate lets in."""
    more = f" burst={burst - 1} nodelay" if burst > 1 else ""
    return (
        f"limit_req_zone $server_addr zone=z:1m rate={rate}r/s; limit_req_status 429;\n"
        f"server {{ listen 127.0.0.1:PORT reuseport; location / {{ limit_req zone=z{more};"
        " try_files /none @in; } location @in { return 200 in; } }"
    )


def over_http(ctx, rate, cost, seconds):
    burst = max(1, rate // 5)  # 200 ms: so long the scheduler may stop the generator or a worker
    limits = {"bench": {"key": "constant", "rate": f"{rate}/s", "burst": burst, "cost": cost}}
    # The generator never sleeps while it asks. A worker under SCHED_BATCH would wait for it, and for the last answer
    # of all so long that more tokens come due than the thousandth that a figure may be short by.
    config = {"limits": limits, "routes": [{**gateway.LIMITED, "limits": ["bench"]}], "cpu_scheduling": "inherit"}
    ours = ctx.start(gateway.Rushgate, config, name=f"rushgate-{rate}", boxoffice=False)
    mine, offered = admitted(ctx, ours, rate, burst, cost, seconds)
    ours.stop()
    beside = {}
    if cost == 1:  # limit_req has no cost
        peer = ctx.start(peers.Nginx, f"limit_req-{rate}", limit_req(rate, burst))
        theirs, _ = admitted(ctx, peer, rate, burst, cost, seconds)
        beside = {"peer": "nginx limit_req", "theirs": theirs}
        peer.stop()
    if mine is None:
        ctx.left_out("admitted", f"too little was asked: {offered:,.0f} requests a second", case=f"HTTP, {rate:,}/s")
        return
    exact(ctx, mine, 99.9, 100.0, case=f"HTTP, {rate:,}/s", ours_per_s=offered, **beside)


def run(ctx):
    for row in table("rates", str(ctx.seconds)):
        kind = "leased" if row["leases"] else "strict"
        case = f"table, {kind}, {row['rate']:,}/s"
        note = f"{row['unasked']:,.0f} tokens flowed by while neither process ran" if row["unasked"] else ""
        exact(ctx, row["percent"], 99.9, 100.0, case=case, ours_per_s=row["offered_per_s"], note=note)
    for rate, cost, seconds in OVER_HTTP:
        over_http(ctx, rate, cost, ctx.pick(seconds, min(seconds, 4)))
