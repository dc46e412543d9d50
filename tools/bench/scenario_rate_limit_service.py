# SPDX-License-Identifier: BSD-2-Clause
"""Decisions of the rate limit service: ShouldRateLimit over gRPC, one worker, by our own client.

One call at a time is what a quiet Envoy does; 64 at once share system calls, as under load."""

import os
import subprocess

from benchlib import gateway, judge, processes

ORDER = 32
CHECKS = ["tests/unit/rpc/rpc_tool"]
METHOD = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit"
KEY = ("generic_key", "sale")
CASES = {
    "1 descriptor": [[KEY]],
    "2 descriptors": [[KEY], [("user", "ann")]],
    "16 descriptors": [[("user", f"user-{i}")] for i in range(16)],
    "refused": [[("generic_key", "closed")]],
}
TARGET_US = 5


def field(number, data):
    """Of protobuf, as all here are: bytes, shorter than 128."""
    return bytes([number << 3 | 2, len(data)]) + data


def message(descriptors):
    entry = lambda key, value: field(1, field(1, key.encode()) + field(2, value.encode()))  # noqa: E731
    return field(1, b"edge") + b"".join(field(2, b"".join(entry(*e) for e in d)) for d in descriptors)


def config(port):
    rule = lambda limit, **entry: {"domain": "edge", "limit": limit, "descriptors": [entry]}  # noqa: E731
    return {
        "limits": {
            "sale": {"key": "constant", "rate": "1000000/s"},
            "user": {"key": "identity", "rate": "1000000/s"},
            "closed": {"key": "constant", "rate": "1/h"},
        },
        "rate_limit_service": {
            "listen": [f"127.0.0.1:{port}"],
            "rules": [
                rule("sale", key="generic_key", value="sale"),
                rule("closed", key="generic_key", value="closed"),
                rule("user", key="user"),
            ],
        },
    }


def asked(ctx, server, port, file, window):
    """(CPU of the worker in microseconds, calls a second)"""
    calls = ctx.pick(200_000, 20_000) if window > 1 else ctx.pick(50_000, 5_000)
    tool = os.path.join(gateway.BUILD, CHECKS[0])
    before = processes.cpu_seconds(server.one("worker"))
    out = subprocess.run([tool, "ask", f"127.0.0.1:{port}", str(calls), str(window), METHOD, file],
                         check=True, capture_output=True, text=True).stdout.split()  # fmt: skip
    used = processes.cpu_seconds(server.one("worker")) - before
    return used / calls * 1e6, 1e6 / float(out[out.index("wall_us") + 1])


def run(ctx):
    port = processes.free_port()
    server = ctx.start(gateway.Rushgate, config(port), boxoffice=False, workers=1)
    for case, descriptors in CASES.items():
        file = os.path.join(ctx.dir, "message")
        with open(file, "wb") as f:
            f.write(message(descriptors))
        for window in (1, 64):
            got = [asked(ctx, server, port, file, window) for _ in range(ctx.pairs)]
            middle, low, high = judge.spread([cpu for cpu, _ in got])
            ctx.row(
                "CPU of the gateway per call", case=f"{case}, {window} at once", unit="us", pairs=len(got),
                ours=middle, ours_low=low, ours_high=high, ours_per_s=judge.spread([s for _, s in got])[0],
                target=TARGET_US if window > 1 else None, of="at most",
            )  # fmt: skip
