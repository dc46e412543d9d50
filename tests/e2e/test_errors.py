# SPDX-License-Identifier: BSD-2-Clause
"""Every refusal of the HTTP layer and of the gate, provoked; problem+json each time."""

import os
import re
import socket

import pytest

from client import Client, assert_problem
from gateway import ROOT, base_config, free_port, plain_config

LIMITS = {
    "http": {
        "max_line": "512", "max_headers": 16, "max_header_bytes": "2k", "max_body": "1k",
        "header_timeout": "400ms", "body_timeout": "400ms", "idle_timeout": "600ms",
    }
}


@pytest.fixture(scope="module")
def small():
    """Small limits; a route that reads bodies (its upstream is not there), one that answers."""
    from gateway import Gateway
    config = plain_config()
    config["http"] = LIMITS["http"]
    config["upstreams"] = {"nobody": {"protocol": "http", "endpoints": [f"127.0.0.1:{free_port()}"],
                                      "health": {"interval": "0s"}}}
    config["routes"].append({"name": "gone", "match": {"path": "/gone/**"}, "upstream": "nobody"})
    config["routes"].append({"name": "inside", "match": {"path": "/inside"}, "allow": ["192.0.2.0/24"],
                             "respond": {"status": 200, "body": "secret"}})
    gateway = Gateway(base=config)
    try:
        yield gateway.start()
    finally:
        gateway.close()


def post(extra=b"", body=b"", path=b"/gone/x"):
    return b"POST " + path + b" HTTP/1.1\r\nHost: a\r\n" + extra + b"\r\n" + body


BAD_FRAMING = {
    "both lengths": post(b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
    "two lengths": post(b"Content-Length: 3\r\nContent-Length: 4\r\n", b"abcd"),
    "length list": post(b"Content-Length: 3, 3\r\n", b"abc"),
    "length sign": post(b"Content-Length: +3\r\n", b"abc"),
    "length hex": post(b"Content-Length: 0x3\r\n", b"abc"),
    "length overflow": post(b"Content-Length: 99999999999999999999\r\n"),
    "length empty": post(b"Content-Length: \r\n"),
    "coding unknown": post(b"Transfer-Encoding: gzip\r\n"),
    "coding repeated": post(b"Transfer-Encoding: chunked, chunked\r\n", b"0\r\n\r\n"),
    "coding twice": post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                         b"0\r\n\r\n"),
    "coding with a tail": post(b"Transfer-Encoding: chunked, identity\r\n", b"0\r\n\r\n"),
    "coding in HTTP/1.0": b"POST /gone/x HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                          b"0\r\n\r\n",
    "folded header": post(b"X-A: b\r\n c\r\n"),
    "space before colon": post(b"X-A : b\r\n"),
    "no colon": post(b"X-A\r\n"),
    "empty name": post(b": b\r\n"),
    "bare CR": post(b"X-A: b\rc\r\n"),
    "bare LF in the header": b"GET /hello HTTP/1.1\nHost: a\n\n",
    "bare LF line": post(b"X-A: b\nX-B: c\r\n"),
    "NUL in a value": post(b"X-A: b\0c\r\n"),
    "no host": b"GET /hello HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /hello HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "bad host": b"GET /hello HTTP/1.1\r\nHost: a b\r\n\r\n",
    "two spaces": b"GET  /hello HTTP/1.1\r\nHost: a\r\n\r\n",
    "tab in the line": b"GET\t/hello HTTP/1.1\r\nHost: a\r\n\r\n",
    "no version": b"GET /hello\r\nHost: a\r\n\r\n",
    "space in the target": b"GET /he llo HTTP/1.1\r\nHost: a\r\n\r\n",
    "chunk size": post(b"Transfer-Encoding: chunked\r\n", b"zz\r\nabc\r\n0\r\n\r\n"),
    "chunk sign": post(b"Transfer-Encoding: chunked\r\n", b"+3\r\nabc\r\n0\r\n\r\n"),
    "chunk overflow": post(b"Transfer-Encoding: chunked\r\n", b"fffffffffffffffff\r\n"),
    "chunk without end": post(b"Transfer-Encoding: chunked\r\n", b"3\r\nabcd\r\n0\r\n\r\n"),
    "trailer framing": post(b"Transfer-Encoding: chunked\r\n",
                            b"0\r\nContent-Length: 5\r\n\r\n"),
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64 + b"\r\n\r\n",
}


@pytest.mark.parametrize("name", BAD_FRAMING)
def test_framing_is_refused_and_the_connection_closed(small, name):
    with small.client.connect() as c:
        c.send(BAD_FRAMING[name])
        answer = c.response()
        assert_problem(answer, 400)
        assert answer.header("Connection") == "close"
        assert c.closed()


def test_smuggled_request_is_never_answered(small):
    """What stands behind a refused request is nobody's request."""
    with small.client.connect() as c:
        c.send(post(b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
                    b"0\r\n\r\nGET /hello HTTP/1.1\r\nHost: a\r\n\r\n"))
        assert c.response().status == 400
        assert c.closed()


@pytest.mark.parametrize("path", ["/hello/%", "/hello/%zz", "/hello/%00", "/../hello"])
def test_bad_path(small, path):
    answer = small.client.raw(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    assert answer.status in (400, 404), answer
    assert_problem(answer, answer.status)


def test_not_found(small):
    assert_problem(small.client.get("/nowhere"), 404, "no-route")


def test_method_not_allowed(small):
    answer = small.client.post("/hello")
    assert_problem(answer, 405, "method-not-allowed")
    assert {"GET", "HEAD", "OPTIONS"} == set(re.split(r", *", answer.header("Allow")))


def test_options(small):
    answer = small.client.request("OPTIONS", "/hello")
    assert answer.status == 204 and "GET" in answer.header("Allow")
    assert small.client.request("OPTIONS", "*").status in (200, 204)


def test_forbidden(small):
    assert_problem(small.client.get("/inside"), 403, "forbidden")


def test_header_timeout(small):
    with small.client.connect() as c:
        c.send(b"GET /hello HTTP/1.1\r\nHost: a\r\n")
        answer = c.response()
        assert_problem(answer, 408, "header-timeout")
        assert c.closed()


def test_header_timeout_counts_from_the_first_byte(small):
    """Trickling does not help."""
    with small.client.connect() as c:
        c.socket.settimeout(0.05)
        sent = b"GET /hello HTTP/1.1\r\nHost: a\r\nX-Slow: "
        c.send(sent)
        for _ in range(200):
            try:
                c.send(b"x")
                if c._more():
                    break
            except socket.timeout:
                pass
        else:
            pytest.fail("10 s of trickling were tolerated")
        assert c.response().status == 408


def test_body_timeout(small):
    with small.client.connect() as c:
        c.send(post(b"Content-Length: 10\r\n", b"abc"))
        answer = c.response()
        assert_problem(answer, 408, "body-timeout")
        assert c.closed()


def test_idle_connection_is_closed_silently(small):
    with small.client.connect() as c:
        assert c.request("GET", "/hello").status == 200
        assert c.closed()


def test_body_too_large(small):
    with small.client.connect() as c:
        c.send(post(b"Content-Length: 1025\r\n"))
        assert_problem(c.response(), 413, "body-too-large")


def test_chunked_body_too_large(small):
    chunk = b"200\r\n" + b"x" * 512 + b"\r\n"
    answer = small.client.raw(post(b"Transfer-Encoding: chunked\r\n", chunk * 3 + b"0\r\n\r\n"))
    assert_problem(answer, 413, "body-too-large")


def test_uri_too_long(small):
    assert_problem(small.client.get("/hello?" + "x" * 600), 414, "uri-too-long")


def test_headers_too_large(small):
    answer = small.client.get("/hello", {"X-Big": "x" * 3000})
    assert_problem(answer, 431, "headers-too-large")


def test_too_many_headers(small):
    answer = small.client.get("/hello", {f"X-{i}": "1" for i in range(20)})
    assert_problem(answer, 431)


def test_expectation_failed(small):
    answer = small.client.request("POST", "/gone/x", "abc", {"Expect": "200-tea"})
    assert_problem(answer, 417, "expectation-failed")


def test_method_not_implemented(small):
    answer = small.client.request("BREW", "/hello")
    assert_problem(answer, 501)


@pytest.mark.parametrize("version", ["HTTP/2.0", "HTTP/3.0", "HTTP/0.9"])
def test_version_not_supported(small, version):
    answer = small.client.raw(f"GET /hello {version}\r\nHost: a\r\n\r\n".encode())
    assert_problem(answer, 505)


def test_upstream_unavailable(small):
    answer = small.client.get("/gone/x")
    assert_problem(answer, 503, "upstream-unavailable")
    assert int(answer.header("Retry-After")) >= 1


def test_upstream_timeout_and_bad_gateway(make_gateway):
    """An upstream that accepts and stays silent, and one that talks nonsense."""
    with socket.create_server(("127.0.0.1", 0)) as silent, \
            socket.create_server(("127.0.0.1", 0)) as mad:
        config = plain_config()
        config["upstreams"] = {
            "silent": {"protocol": "http", "health": {"interval": "0s"},
                       "endpoints": [f"127.0.0.1:{silent.getsockname()[1]}"]},
            "mad": {"protocol": "http", "health": {"interval": "0s"},
                    "endpoints": [f"127.0.0.1:{mad.getsockname()[1]}"]},
        }
        config["routes"] += [
            {"name": "silent", "match": {"path": "/silent"}, "upstream": "silent",
             "deadline": "300ms"},
            {"name": "mad", "match": {"path": "/mad"}, "upstream": "mad", "deadline": "5s"},
        ]
        gateway = make_gateway(base=config).start()
        assert_problem(gateway.client.get("/silent"), 504, "upstream-timeout")
        with gateway.client.connect() as c:
            c.send(b"POST /mad HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
            upstream, _ = mad.accept()
            with upstream:
                upstream.recv(65536)
                upstream.sendall(b"220 mail.example ESMTP\r\n\r\n")
                assert_problem(c.response(), 502, "bad-gateway")


def test_identity_is_believed_from_trusted_proxies_only(make_gateway):
    config = base_config()
    config["trusted_proxies"] = ["192.0.2.1"]
    gateway = make_gateway(base=config).start()
    gateway.create_event("demo")
    assert_problem(gateway.buy("ann"), 401, "identity-required")


def test_create_event_is_for_operators(make_gateway):
    config = base_config()
    config["routes"][0]["methods"]["CreateEvent"] = {"allow": ["192.0.2.0/24"]}
    gateway = make_gateway(base=config).start()
    assert_problem(gateway.client.post("/api/v1/events", {"slug": "demo"}), 403, "forbidden")


def test_service_that_is_not_exposed(shared):
    """Admin has no HTTP annotations: nothing leads there."""
    for path in ("/rushgate.boxoffice.v1.Admin/Stats", "/rushgate.boxoffice.v1.BoxOffice/GetEvent"):
        assert_problem(shared.client.post(path), 404, "no-route")


def documented_reasons():
    """The words of the table in docs/api.md, "Errors"."""
    with open(os.path.join(ROOT, "docs", "api.md")) as f:
        section = f.read().split("## Errors", 1)[1].split("\n## ", 1)[0]
    return set(re.findall(r"`([a-z-]+)`", section))


def words_of(path, pattern):
    with open(os.path.join(ROOT, *path.split("/"))) as f:
        found = set(re.findall(pattern, f.read(), re.DOTALL))
    assert len(found) > 10, (path, found)
    return found


@pytest.mark.parametrize("path, pattern", [
    ("src/http/fault.def", r'FAULT\([A-Z_]+, \d+, "([a-z-]+)"'),
    ("src/boxoffice/core/reasons.def", r'REASON\([A-Z_]+, "([a-z-]+)", (?!OK\b)'),
    ("src/gate/call_rpc.c", r'\[RPC_[A-Z_]+\] = "([a-z-]+)"'),
])
def test_every_word_of_the_sources_is_documented(path, pattern):
    assert words_of(path, pattern) - documented_reasons() == set()


def test_every_reason_is_documented(small, shared):
    """docs/api.md is the contract: it names every word that was seen above."""
    documented = documented_reasons()
    seen = {small.client.raw(BAD_FRAMING[name]).reason for name in BAD_FRAMING}
    for request in (
        b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n", b"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
        b"GET /" + b"x" * 600 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 20 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 3000 + b"\r\n\r\n",
        b"GET /../x HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n",
        post(b"Expect: tea\r\nContent-Length: 1\r\n", b"x"), post(b"Content-Length: 9999\r\n"),
    ):
        seen.add(small.client.raw(request).reason)
    assert seen - documented == set()


def test_refusals_are_counted(small):
    before = small.metrics()
    small.client.raw(BAD_FRAMING["two lengths"])
    small.client.get("/nowhere")
    after = small.metrics()
    for name in ("rushgate_http_refused_total", "rushgate_http_unrouted_total"):
        assert sum(v for k, v in after.items() if k.startswith(name)) == \
            sum(v for k, v in before.items() if k.startswith(name)) + 1, name


def test_reset_while_sending(small):
    """A client that breaks off in the middle of anything harms nobody."""
    for data in (b"", b"GET /he", post(b"Content-Length: 100\r\n", b"abc"),
                 post(b"Transfer-Encoding: chunked\r\n", b"5\r\nab")):
        with small.client.connect() as c:
            c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            c.send(data)
    assert small.client.get("/hello").status == 200
    assert isinstance(small.client, Client)


def test_forwarded_for_over_several_lines_is_one_list(make_gateway):
    config = plain_config()
    config["trusted_proxies"] = ["127.0.0.0/8"]
    config["routes"].append({"name": "inside", "match": {"path": "/inside"}, "allow": ["10.0.0.0/8", "127.0.0.0/8"],
                             "respond": {"status": 200, "body": "secret"}})
    gateway = make_gateway(base=config).start()

    def ask(*lines):
        fields = b"".join(b"X-Forwarded-For: " + line + b"\r\n" for line in lines)
        with gateway.client.connect() as c:
            c.send(b"GET /inside HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n")
            return c.response()

    assert ask(b"10.1.1.1").status == 200
    assert ask(b"8.8.8.8", b"10.1.1.1").status == 200
    # The client wrote the first line, the proxy behind it the second.
    assert_problem(ask(b"10.1.1.1", b"8.8.8.8"), 403, "forbidden")
    assert_problem(ask(b"10.1.1.1, 8.8.8.8"), 403, "forbidden")
    assert ask(b"10.1.1.1:4711").status == 200
    assert_problem(ask(b"8.8.8.8:4711"), 403, "forbidden")
    # Whoever cannot be told is nobody's friend.
    assert_problem(ask(b"unknown"), 403, "forbidden")


@pytest.mark.parametrize("header, reason", [(b"X-User-Id", "identity-invalid"),
                                            (b"Idempotency-Key", "idempotency-key-invalid")])
def test_header_that_must_come_once(shared, header, reason):
    fields = {b"X-User-Id": b"ann", b"Idempotency-Key": b"k"}
    head = b"".join(k + b": " + v + b"\r\n" for k, v in fields.items()) + header + b": other\r\n"
    with shared.client.connect() as c:
        c.send(b"POST /api/v1/events/demo/orders HTTP/1.1\r\nHost: a\r\n" + head +
               b"Content-Length: 2\r\n\r\n{}")
        assert_problem(c.response(), 400, reason)
