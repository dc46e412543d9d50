# SPDX-License-Identifier: BSD-2-Clause
"""Generators. Each run returns a Load, and fails when answers are not the ones expected."""

import dataclasses
import json
import os
import re
import socket
import subprocess
import time
import urllib.error
import urllib.request

from . import gateway

SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


@dataclasses.dataclass
class Load:
    answers: int
    seconds: float
    generator: float = 0.0  # processors it used itself
    p50_ms: float | None = None
    p99_ms: float | None = None
    # Open loop: parts of a request's time. Those of the generator, which shares the cores: from when it
    # was due until it was sent, and from when its answer arrived until it was read; the rest between.
    late_p99_ms: float | None = None
    unread_p99_ms: float | None = None
    away_p99_ms: float | None = None

    @property
    def per_s(self):
        return self.answers / self.seconds


def command(words, **more):
    """(output, processors used, seconds) of a generator."""
    start, before = time.monotonic(), os.times()
    done = subprocess.run(words, capture_output=True, text=True, **more)
    seconds, after = time.monotonic() - start, os.times()
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(words)}: exit {done.returncode}\n{done.stdout[-1500:]}{done.stderr[-1500:]}")
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return done.stdout, used / seconds, seconds


# ---- one request, to know what is measured --------------------------------------------------------


def ask(url, method="GET", headers=None, body=None):
    """(status, body)"""
    req = urllib.request.Request(url, body, headers or {}, method=method)
    try:
        with urllib.request.urlopen(req) as r:
            return r.status, r.read()
    except urllib.error.HTTPError as e:
        return e.code, e.read()


def expect(url, status, **more):
    """The body of an answer that has the status."""
    got, body = ask(url, **more)
    if got != status:
        raise RuntimeError(f"{url}: {got} instead of {status}: {body[:300]!r}")
    return body


def raw_answer(port, request):
    """The bytes of the answer to a request's bytes; it comes with a Content-Length."""
    with socket.create_connection(("127.0.0.1", port), 10) as sock:
        sock.sendall(request)
        got = b""
        while b"\r\n\r\n" not in got:
            got = more(sock, got)
        head, _, body = got.partition(b"\r\n\r\n")
        n = int(re.search(rb"(?i)\r\ncontent-length: *(\d+)", head).group(1))
        while len(body) < n:
            body = more(sock, body)
    return head + b"\r\n\r\n" + body


# ---- wrk: closed loop, one thread -----------------------------------------------------------------


def parse_wrk(text):
    """answers, seconds, bad (statuses other than 2xx and 3xx), socket errors, p50_ms, p99_ms"""
    total = re.search(r"(\d+) requests in ([0-9.]+)(us|ms|s|m)\b", text)
    if total is None:
        raise RuntimeError(f"wrk said:\n{text}")
    out = {"answers": int(total.group(1)), "seconds": float(total.group(2)) * SECONDS[total.group(3)]}
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    out["bad"] = int(bad.group(1)) if bad else 0
    errors = re.search(r"Socket errors: (.*)", text)
    out["errors"] = errors.group(1) if errors else ""
    for quantile in (50, 99):
        m = re.search(rf"^\s+{quantile}%\s+([0-9.]+)(us|ms|s|m)\b", text, re.MULTILINE)
        out[f"p{quantile}_ms"] = float(m.group(1)) * SECONDS[m.group(2)] * 1e3 if m else None
    return out


def wrk(ctx, url, refused=False, script=None, headers=(), connections=None, seconds=None):
    """All answers are 2xx, or with `refused` none is. `script`: Lua, as text."""
    words = ["wrk", "-t1", f"-c{connections or ctx.connections}", f"-d{seconds or ctx.seconds}s", "--latency"]
    words += ["--timeout", "10s"]
    for h in headers:
        words += ["-H", h]
    if script:
        words += ["-s", ctx.text("wrk.lua", script)]
    out, generator, _ = command([*words, url])
    got = parse_wrk(out)
    if got["errors"]:
        raise RuntimeError(f"{url}: socket errors: {got['errors']}")
    if got["answers"] == 0 or got["bad"] != (got["answers"] if refused else 0):
        raise RuntimeError(f"{url}: {got['bad']} of {got['answers']} answers are not 2xx or 3xx:\n{out}")
    return Load(got["answers"], got["seconds"], generator, got["p50_ms"], got["p99_ms"])


# ---- h2load: closed loop, counts statuses by class -------------------------------------------------


def parse_h2load(text):
    """answers, seconds, statuses {"2xx": n, ...}, failed (errors and timeouts; to h2load a 4xx fails, too)"""
    rate = re.search(r"finished in ([0-9.]+)(us|ms|s|m), ([0-9.]+) req/s", text)
    counts = re.search(r"requests: .*?(\d+) errored, (\d+) timeout", text)
    codes = re.search(r"status codes: (.*)", text)
    if rate is None or counts is None or codes is None:
        raise RuntimeError(f"h2load said:\n{text}")
    statuses = {name: int(n) for n, name in re.findall(r"(\d+) (\dxx)", codes.group(1))}
    errored, late = map(int, counts.groups())
    return {
        "answers": sum(statuses.values()),
        "seconds": float(rate.group(1)) * SECONDS[rate.group(2)],
        "statuses": statuses,
        "failed": errored + late,
    }


def h2load(ctx, url, status="2xx", headers=(), body=None, connections=None):
    """HTTP/1.1; all answers have a status of the class."""
    n = connections or ctx.connections
    words = ["h2load", "--h1", "-t1", f"-c{n}", f"-D{ctx.seconds}", "--warm-up-time=0"]
    for h in headers:
        words += ["-H", h]
    if body is not None:
        words += ["-d", ctx.text("body", body)]
    out, generator, _ = command([*words, url])
    got = parse_h2load(out)
    if got["failed"] or got["answers"] == 0 or got["statuses"].get(status, 0) != got["answers"]:
        raise RuntimeError(f"{url}: not all answers are {status}:\n{out}")
    return Load(got["answers"], got["seconds"], generator)


# ---- stampede: purchases, closed or open loop -----------------------------------------------------


def stampede(ctx, ours, event="bench", rate=None, connections=None, seconds=None):
    """Unique purchases; all of them are 201."""
    words = [f"{gateway.BUILD}/stampede", "bench", "--url", f"http://127.0.0.1:{ours.port}", "--json"]
    words += ["--event", event, "--item", "standard", "--connections", str(connections or ctx.connections)]
    words += ["--seconds", str(seconds or ctx.seconds), *(["--rate", str(rate)] if rate else [])]
    out, generator, _ = command(words)
    got = json.loads(out.strip().splitlines()[-1])
    if got["failed"] or got["reconnects"] or not got["created"]:
        raise RuntimeError(f"purchases failed: {out}")
    return Load(
        got["created"], got["created"] / got["purchases_per_s"], generator, got["p50_ms"], got["p99_ms"],
        *(got.get(f"{part}_p99_ms") for part in ("late", "unread", "away")),
    )  # fmt: skip


# ---- a fixed number of requests -------------------------------------------------------------------


def read_answer(sock, rest):
    """(status, what came after the answer). Bodies have a Content-Length."""
    while b"\r\n\r\n" not in rest:
        rest = more(sock, rest)
    head, _, rest = rest.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    chunked = re.search(rb"(?i)\r\ntransfer-encoding: *chunked", head)
    n = int(length.group(1)) if length else 0
    while chunked and b"0\r\n\r\n" not in rest:
        rest = more(sock, rest)
    if chunked:
        return int(head[9:12]), rest.partition(b"0\r\n\r\n")[2]
    while len(rest) < n:
        rest = more(sock, rest)
    return int(head[9:12]), rest[n:]


def more(sock, rest):
    part = sock.recv(65536)
    if not part:
        raise RuntimeError("the server closed the connection")
    return rest + part


def fixed(port, request, status, rounds, connections=16):
    """`connections` requests at a time, `rounds` times; request(i) gives the bytes of number i."""
    socks = [socket.create_connection(("127.0.0.1", port), 60) for _ in range(connections)]
    rest = [b""] * connections
    number = 0
    for _ in range(rounds):
        for s in socks:
            s.sendall(request(number))
            number += 1
        for i, s in enumerate(socks):
            got, rest[i] = read_answer(s, rest[i])
            if got != status:
                raise RuntimeError(f"port {port}: {got} instead of {status}")
    for s in socks:
        s.close()
    return number


def request(path, method="GET", headers=None, body=""):
    """The bytes of a request."""
    headers = {"Host": "bench", **(headers or {}), **({"Content-Length": len(body)} if body else {})}
    lines = [f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items())]
    return "\r\n".join([*lines, "", body]).encode()


def get(path):
    text = request(path)
    return lambda i: text


def purchases(event, tag="a"):
    """Requests of unique purchases, for fixed()."""
    body = '{"item":"standard","quantity":1}'

    def request(i):
        return (
            f"POST /api/v1/events/{event}/orders HTTP/1.1\r\nHost: bench\r\nX-User-Id: {tag}{i:012}\r\n"
            f"Idempotency-Key: {tag}{i:012}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        ).encode()

    return request
