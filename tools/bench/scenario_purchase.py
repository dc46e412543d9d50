# SPDX-License-Identifier: BSD-2-Clause
"""Durable purchase on SQLite, end to end, beside reverse proxies in front of a constant answer.

A purchase is answered when it is on disk; the peers write nothing. Counted are all processes: the
gateway's with the box office, the peer's with its backend. The target is beside the cheapest request a
proxy can get, a GET from wrk; beside it the very request of a purchase, from the same generator. The server that
does nothing receives a purchase, passes 64 bytes to one more process over a socket that stays open, all of a turn in
one message, which has a block on disk for all that came meanwhile, and sends the same answer: no parsing, no HTTP/2,
no transcoding, no order, no index, no SQL."""

from benchlib import gateway, load, measure, peers
from benchlib.measure import Contender, batch, floor_of

ORDER = 40
NEEDS = ["nginx", "wrk"]
CHECKS = ["tools/bench/floor"]


def created(ctx, back_status=201):
    """A backend that answers everything with 201, as a purchase is answered."""
    return ctx.start(
        peers.Nginx, f"constant-{back_status}",
        f'server {{ listen 127.0.0.1:PORT reuseport; location / {{ return {back_status} "{peers.CONSTANT}"; }} }}',
        workers=1,
    )  # fmt: skip


def contenders(ctx, log=False):
    """(ours, peers) with the log of every request on or off."""
    back, back_created = ctx.start(peers.constant, workers=1), created(ctx)
    ours = ctx.start(gateway.Rushgate, log=log)
    ours.create_event("bench", 16_000_000)
    nginx = ctx.start(peers.Proxied, back.port, log=log)
    same = ctx.start(peers.Proxied, back_created.port, log=log, name="proxy_pass-created")
    load.expect(nginx.url(), 200)
    theirs = [
        Contender("nginx proxy_pass, GET", lambda: load.wrk(ctx, nginx.url()), [nginx], [back], target=1.25),
        Contender("nginx proxy_pass, same POST", lambda: load.stampede(ctx, same), [same], [back_created]),
    ]
    if peers.find("haproxy"):
        haproxy = ctx.start(peers.Haproxy, back.port, log=log)
        load.expect(haproxy.url(), 200)
        theirs.append(Contender("HAProxy, GET", lambda: load.wrk(ctx, haproxy.url()), [haproxy], [back]))
    else:
        ctx.left_out("beside HAProxy", "HAProxy is not installed")
    return Contender("rushgate", lambda: load.stampede(ctx, ours), [ours]), theirs


def run(ctx):
    ours, theirs = contenders(ctx)
    back = ctx.start(peers.constant, workers=1, name="constant-batch", under=peers.BATCH)
    batched = ctx.start(peers.Proxied, back.port, name="proxy_pass-batch", under=peers.BATCH)
    theirs.append(batch("nginx proxy_pass, GET", lambda: load.wrk(ctx, batched.url()), [batched], [back]))
    gateway_itself = ours.servers[0]
    one = load.purchases("bench", "floor")(0)
    floor = floor_of(ctx, gateway_itself, one, lambda server: load.stampede(ctx, server), store=True)
    ctx.compare(ours, [*theirs, floor], figures=[measure.CPU_PURCHASE])
