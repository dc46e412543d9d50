# SPDX-License-Identifier: BSD-2-Clause
"""System calls per request, by strace -c, beside nginx.

All processes of the server's side. Tracing makes a call cost many times as much, so a turn of the loop finds
more requests waiting than it would: what is shared by a turn's requests is counted too low on both sides."""

from benchlib import counting, gateway, load, peers

ORDER = 150
NEEDS = ["nginx", "wrk", "strace"]
LISTED = 0.05  # calls a request below which a system call is not named


def words(calls):
    named = sorted(((n, name) for name, n in calls.items() if n >= LISTED), reverse=True)
    return ", ".join(f"{name} {n:.2f}" for n, name in named)


def cases(ctx):
    refusing, returning = ctx.start(gateway.Rushgate), ctx.start(peers.returning, 404)
    back = ctx.start(peers.constant, workers=1)
    proxied = ctx.start(peers.Proxied, back.port)
    refusing.create_event("bench", 16_000_000)
    refused = lambda s: lambda: load.wrk(ctx, s.url("/no"), refused=True)  # noqa: E731
    yield "refuse", refused(refusing), [refusing], "nginx return", refused(returning), [returning]
    buy, pass_on = lambda: load.stampede(ctx, refusing), lambda: load.wrk(ctx, proxied.url())
    yield "purchase", buy, [refusing], "nginx proxy_pass, both hops", pass_on, [proxied, back]


def run(ctx):
    for case, mine, servers, label, theirs, others in cases(ctx):
        ours, _ = counting.system_calls(ctx, [p for s in servers for p in s.pids()], mine)
        peer, _ = counting.system_calls(ctx, [p for s in others for p in s.pids()], theirs)
        note = f"ours: {words(ours)}; {label}: {words(peer)}."
        a, b = sum(ours.values()), sum(peer.values())
        ctx.say(f"{case}: {note}")
        ctx.row("system calls per request", case=case, peer=label, ours=a, theirs=b, ratio=b / a, pairs=1, note=note)
