# SPDX-License-Identifier: BSD-2-Clause
"""HTTP/1.1 as it should be: keep-alive, pipelining, HEAD, Expect, chunked bodies, ids."""

import email.utils
import re
import socket
import threading
import time
import uuid

import pytest

from client import compose

TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}$")


def test_answer_has_what_it_needs(shared_plain):
    answer = shared_plain.client.get("/hello")
    assert (answer.status, answer.body, answer.version) == (200, b"hello\n", "HTTP/1.1")
    assert answer.header("Content-Type") == "text/plain"
    assert answer.header("Content-Length") == "6"
    assert answer.header("Server") == "rushgate"
    date = email.utils.parsedate_to_datetime(answer.header("Date")).timestamp()
    assert abs(date - time.time()) < 3
    assert len({name.lower() for name, _ in answer.fields}) == len(answer.fields)


def test_keep_alive(shared_plain):
    with shared_plain.client.connect() as c:
        for _ in range(50):
            assert c.request("GET", "/hello").status == 200
        c.send(b"GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert c.response().header("Connection") == "close"
        assert c.closed()


@pytest.mark.parametrize("head, status", [(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n", 200),
                                          (b"GET /hello HTTP/1.1\r\nHos", None)])
def test_last_bytes_and_end_in_one_segment(shared_plain, head, status):
    """The kernel reports both by one event; the end must be seen at once, not by a timeout."""
    with shared_plain.client.connect() as c:
        c.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        c.send(head)
        c.socket.shutdown(socket.SHUT_WR)
        begin = time.monotonic()
        if status is not None:
            assert c.response().status == status
        assert c.closed()
        assert time.monotonic() - begin < 5


def test_http_1_0(shared_plain):
    with shared_plain.client.connect() as c:
        c.send(b"GET /hello HTTP/1.0\r\n\r\n")
        assert c.response().body == b"hello\n"
        assert c.closed()
    with shared_plain.client.connect() as c:
        for _ in range(2):
            c.send(b"GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            answer = c.response()
            assert answer.status == 200 and answer.header("Connection").lower() == "keep-alive"


def test_pipelining_keeps_the_order(shared_plain):
    paths = ["/hello" if i % 3 else f"/nowhere-{i}" for i in range(60)]
    with shared_plain.client.connect() as c:
        c.send(b"".join(compose("GET", p, None, {"X-Request-Id": f"r{i}"}, "a")
                        for i, p in enumerate(paths)))
        for i, p in enumerate(paths):
            answer = c.response()
            assert answer.header("X-Request-Id") == f"r{i}"
            assert answer.status == (200 if p == "/hello" else 404)


def test_pipelining_behind_a_purchase(shared):
    """Answers come in order even where the first one waits for a disk."""
    shared.create_event("pipe", 100)
    wire = b"".join(
        compose("POST", "/api/v1/events/pipe/orders", {"item": "standard"},
                {"X-User-Id": f"u{i}", "Idempotency-Key": "k", "X-Request-Id": f"r{i}"}, "a")
        + compose("GET", "/hello", None, {"X-Request-Id": f"h{i}"}, "a") for i in range(20))
    with shared.client.connect() as c:
        c.send(wire)
        for i in range(20):
            order, hello = c.response(), c.response()
            assert (order.status, order.header("X-Request-Id")) == (201, f"r{i}")
            assert (hello.body, hello.header("X-Request-Id")) == (b"hello\n", f"h{i}")


def test_byte_by_byte(shared_plain):
    with shared_plain.client.connect() as c:
        for byte in compose("GET", "/hello", None, None, "a"):
            c.send(bytes([byte]))
        assert c.response().status == 200


def test_head(shared_plain):
    with shared_plain.client.connect() as c:
        head = c.request("HEAD", "/hello")
        assert (head.status, head.header("Content-Length")) == (200, "6")
        assert c.request("GET", "/hello").body == b"hello\n"  # nothing was left in between
        assert c.request("HEAD", "/nowhere").status == 404
        assert c.request("GET", "/hello").status == 200


def test_empty_lines_before_a_request(shared_plain):
    answer = shared_plain.client.raw(b"\r\n\r\nGET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
    assert answer.status == 200


def test_absolute_form(shared_plain):
    answer = shared_plain.client.raw(
        b"GET http://example.org/hello HTTP/1.1\r\nHost: example.org\r\n\r\n")
    assert answer.status == 200


def order(shared, slug, **head):
    fields = {"X-User-Id": "ann", "Idempotency-Key": uuid.uuid4().hex,
              "Content-Type": "application/json"}
    fields.update(head)
    lines = "".join(f"{k}: {v}\r\n" for k, v in fields.items())
    return f"POST /api/v1/events/{slug}/orders HTTP/1.1\r\nHost: a\r\n{lines}".encode()


def test_chunked_request(shared):
    shared.create_event("chunked")
    body = b'{"item":"standard","quantity":2}'
    for cut in (1, 7, len(body)):
        chunks = b"".join(b"%x;ext=1\r\n%s\r\n" % (len(body[i:i + cut]), body[i:i + cut])
                          for i in range(0, len(body), cut))
        answer = shared.client.raw(order(shared, "chunked", Transfer_Encoding="x").replace(
            b"Transfer_Encoding: x", b"Transfer-Encoding: chunked") + b"\r\n" + chunks +
            b"0\r\nX-Trailer: 1\r\n\r\n")
        assert answer.status == 201 and answer.json()["quantity"] == 2


def test_expect_continue(shared):
    shared.create_event("expect")
    body = b'{"item":"standard"}'
    with shared.client.connect() as c:
        c.send(order(shared, "expect") +
               b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body))
        assert c.response().status == 100
        c.send(body)
        assert c.response().status == 201


def test_expect_continue_is_not_given_to_what_is_refused(shared):
    with shared.client.connect() as c:
        c.send(b"POST /nowhere HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
               b"Content-Length: 10\r\n\r\n")
        assert c.response().status == 404


def test_request_id(shared):
    assert shared.client.get("/hello", {"X-Request-Id": "mine-1"}).header("X-Request-Id") == "mine-1"
    made = {shared.client.get("/hello").header("X-Request-Id") for _ in range(20)}
    assert len(made) == 20 and all(made)


def test_request_id_of_refusals(shared):
    shared.create_event("ids", 1)
    answer = shared.client.get("/nowhere", {"X-Request-Id": "mine-2"})
    assert answer.status == 404 and answer.header("X-Request-Id") == "mine-2"


def test_max_requests_per_connection(make_gateway):
    from gateway import plain_config
    gateway = make_gateway({"http": {"max_requests": 3}}, base=plain_config()).start()
    with gateway.client.connect() as c:
        assert c.request("GET", "/hello").header("Connection") != "close"
        assert c.request("GET", "/hello").header("Connection") != "close"
        assert c.request("GET", "/hello").header("Connection") == "close"
        assert c.closed()


def test_many_connections_at_once(shared_plain):
    connections = [shared_plain.client.connect() for _ in range(500)]
    try:
        for c in connections:
            c.send(compose("GET", "/hello", None, None, "a"))
        assert all(c.response().status == 200 for c in connections)
    finally:
        for c in connections:
            c.close()


def test_connection_limit(make_gateway):
    """Beyond max_connections a connection is closed, or waits; those within go on."""
    from gateway import plain_config
    gateway = make_gateway({"workers": 1, "http": {"max_connections": 10}},
                           base=plain_config()).start()
    held = [gateway.client.connect() for _ in range(10)]
    try:
        for c in held:
            assert c.request("GET", "/hello").status == 200
        with gateway.client.connect(timeout=2) as extra:
            try:
                extra.send(compose("GET", "/hello", None, None, "a"))
                status = extra.response().status
            except (OSError, ConnectionError):
                status = None
            assert status in (None, 503)
        assert held[0].request("GET", "/hello").status == 200
    finally:
        for c in held:
            c.close()


def test_both_workers_serve(shared):
    """The kernel spreads connections over the listeners of the workers."""
    threads = [threading.Thread(target=lambda: shared.client.get("/hello")) for _ in range(64)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    rows = shared.ctl_json("show", "workers")["data"]
    assert sum(1 for r in rows if r["process"].startswith("worker")) == 2


@pytest.mark.parametrize("host, status", [
    ("www.example.org", 200), ("WWW.Example.ORG:80", 200), ("a.b.example.org", 200),
    ("example.org", 404), ("other.test", 404),
])
def test_host_routing(make_gateway, host, status):
    from gateway import plain_config
    config = plain_config()
    config["routes"] = [{"name": "sub", "match": {"host": "*.example.org", "path": "/"},
                         "respond": {"status": 200, "body": "x"}}]
    gateway = make_gateway(base=config).start()
    assert gateway.client.get("/", {"Host": host}).status == status


def test_most_specific_route_wins(make_gateway):
    from gateway import plain_config
    config = plain_config()
    config["routes"] = [
        {"name": n, "match": {"path": p}, "respond": {"status": 200, "body": n}}
        for n, p in (("rest", "/a/**"), ("one", "/a/*"), ("var", "/a/{x}/c"), ("lit", "/a/b"),
                     ("verb", "/a/b:go"))]
    gateway = make_gateway(base=config).start()
    for path, name in (("/a/b", b"lit"), ("/a/z", b"one"), ("/a/z/c", b"var"), ("/a/z/d", b"rest"),
                       ("/a/b/c/d", b"rest"), ("/a/b:go", b"verb")):
        assert gateway.client.get(path).body == name, path
