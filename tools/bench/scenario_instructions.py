# SPDX-License-Identifier: BSD-2-Clause
"""Instructions and allocations per request, by callgrind: figures that do not depend on the day.

One worker; all processes that the program starts. A run of few requests is subtracted from one of many, so
the start costs nothing. Instructions of the kernel are not counted. 16 requests are sent at a time, so a
purchase shares its commit with at most 15 others."""

import os

import scenario_purchase
from benchlib import counting, gateway, load, peers

ORDER = 140
NEEDS = ["nginx", "valgrind"]
CONNECTIONS = 16


def start(ctx, kind, name, words, *args, **more):
    """A server under callgrind, whose files are in its own directory."""
    full = f"{kind.__name__.lower()}-{name}-{len(os.listdir(ctx.dir))}"
    under = words(os.path.join(ctx.dir, full))
    return ctx.start(kind, *args, name=full, workers=1, under=under, **more)


def fixed(path, status):
    return lambda server, rounds: load.fixed(server.port, load.get(path), status, rounds, CONNECTIONS)


def limited_load(server, rounds):
    load.expect(server.url("/limited"), 200)
    return load.fixed(server.port, load.get("/limited"), 429, rounds, CONNECTIONS)


def purchase_load(server, rounds):
    server.create_event("bench", 1_000_000)
    return load.fixed(server.port, load.purchases("bench"), 201, rounds, CONNECTIONS)


def cases(ctx):
    """(case, program of ours, ours (start, load), peer (label, start, load) or None)"""
    back, created = ctx.start(peers.constant, workers=1), scenario_purchase.created(ctx)
    limits = {"limits": {"bench": {"key": "client_ip", "rate": "1/h"}}}
    limited = {**limits, "routes": [{**gateway.LIMITED, "limits": ["bench"]}]}
    web = {
        "upstreams": {"web": {"protocol": "http", "endpoints": [f"127.0.0.1:{back.port}"], "health": {"path": "/"}}},
        "routes": [{"name": "all", "match": {"path": "/**"}, "upstream": "web"}],
    }

    def ours(config=None, boxoffice=False):
        return lambda name, words: start(ctx, gateway.Rushgate, name, words, config, boxoffice=boxoffice)

    def returns(status):
        return lambda name, words: start(ctx, peers.returning, name, words, status)

    def passes(to):
        return lambda name, words: start(ctx, peers.Proxied, name, words, to.port)

    yield "refuse", "rushgate", (ours(), fixed("/no", 404)), ("nginx return", returns(404), fixed("/no", 404))
    yield "limit", "rushgate", (ours(limited), limited_load), ("nginx return", returns(429), fixed("/limited", 429))
    yield "proxy, first hop", "rushgate", (ours(web), fixed("/", 200)), ("nginx proxy_pass", passes(back), fixed("/", 200))
    buy = lambda server, rounds: load.fixed(server.port, load.purchases("bench"), 201, rounds, CONNECTIONS)  # noqa: E731
    purchase = (ours(boxoffice=True), purchase_load)
    yield "purchase, gateway", "rushgate", purchase, ("nginx proxy_pass, first hop", passes(created), buy)
    yield "purchase, box office", "boxoffice", purchase, None


def run(ctx):
    few, many = ctx.pick((50, 450), (20, 120))
    seen = {}  # a run of ours that two cases look at
    for case, program, mine, peer in cases(ctx):
        if mine not in seen:
            seen[mine] = counting.per_request(*mine, few, many)
        ours = seen[mine][program]
        theirs = counting.per_request(*peer[1:], few, many)["nginx"] if peer else (None, None)
        label = peer[0] if peer else ""
        ctx.say(f"{case}: ours {ours}, {label or 'nobody'} {theirs}")
        for i, what in enumerate(("instructions", "allocations")):
            ratio = theirs[i] / ours[i] if peer and ours[i] > 0 else None
            ctx.row(what, case=case, peer=label, ours=ours[i], theirs=theirs[i], ratio=ratio, pairs=1)
