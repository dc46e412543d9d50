# SPDX-License-Identifier: BSD-2-Clause
"""Plain HTTP/1.1 proxy with keep-alive on both sides, beside nginx, HAProxy, h2o and Envoy.

All of them stand in front of the same nginx that answers 50 bytes. The first hop is the proxy alone."""

from benchlib import gateway, load, measure, peers
from benchlib.measure import Contender

ORDER = 60
NEEDS = ["nginx", "wrk"]
KINDS = [("nginx", "nginx", peers.Proxied), ("HAProxy", "haproxy", peers.Haproxy), ("h2o", "h2o", peers.H2o),
         ("Envoy", "envoy", peers.Envoy)]  # fmt: skip


def run(ctx):
    back = ctx.start(peers.constant, workers=1)
    config = {
        "upstreams": {
            "web": {"protocol": "http", "endpoints": [f"127.0.0.1:{back.port}"], "max_idle": 1024,
                    "health": {"path": "/"}}
        },
        "routes": [{"name": "all", "match": {"path": "/**"}, "upstream": "web"}],
    }  # fmt: skip
    ours = ctx.start(gateway.Rushgate, config, boxoffice=False)

    def contender(label, server):
        if load.expect(server.url("/page"), 200) != peers.CONSTANT.encode():
            raise RuntimeError(f"{label} does not pass the answer on")
        return Contender(label, lambda: load.wrk(ctx, server.url("/page")), [server], [back])

    theirs = []
    for label, program, kind in KINDS:
        if peers.find(program):
            theirs.append(contender(label, ctx.start(kind, back.port)))
        else:
            ctx.left_out(f"beside {label}", f"not installed: {peers.PROGRAMS[program][0]}")
    ctx.compare(contender("rushgate", ours), theirs, figures=[measure.CPU_FRONT, measure.CPU_BOTH, measure.P99])
