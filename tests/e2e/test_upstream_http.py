# SPDX-License-Identifier: BSD-2-Clause
"""Plain HTTP/1.1 upstreams: pooled connections, headers passed on as they should be."""

import socket
import threading
import time

import pytest

from client import assert_problem
from gateway import Gateway, plain_config, wait_for
from service import Handler, Service


class Echo(Handler):
    def setup(self):
        super().setup()
        with self.server.lock:
            self.server.connections += 1

    def answer(self):
        body = self.take_body()
        if self.headers.get("Transfer-Encoding"):
            body = b"?"
        self.server.seen.append((self.command, self.path, dict(self.headers.items()), body))
        if self.path.startswith("/up/slow"):
            time.sleep(0.5)
        if self.path.startswith("/up/cut"):
            self.close_connection = True
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
            return
        status = int(self.path.rsplit("/", 1)[1]) if self.path.rsplit("/", 1)[1].isdigit() else 200
        reply = f"{self.server.name} {self.command} {self.path} {len(body)}".encode()
        if status in (204, 304):
            reply = b""
        self.send_response(status)
        self.send_header("X-Upstream", self.server.name)
        self.send_header("Set-Cookie", "a=1")
        self.send_header("Set-Cookie", "b=2")
        self.send_header("Connection", "X-Hop")
        self.send_header("X-Hop", "not for you")
        if self.path.startswith("/up/chunked"):
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for i in range(0, len(reply), 5):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(reply[i:i + 5]), reply[i:i + 5]))
            self.wfile.write(b"0\r\n\r\n")
            return
        if status not in (204, 304):
            self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply)


class Upstream(Service):
    def __init__(self, name="up", port=0):
        self.name, self.connections, self.seen, self.lock = name, 0, [], threading.Lock()
        super().__init__(Echo, port)


def config_for(*upstreams, **settings):
    config = plain_config()
    config["upstreams"] = {"web": {"protocol": "http", "health": {"interval": "0s"},
                                   "endpoints": [f"127.0.0.1:{u.server_port}" for u in upstreams]}}
    config["upstreams"]["web"].update(settings)
    config["routes"].append({"name": "guarded", "match": {"path": "/up/admin/**"}, "upstream": "web",
                             "allow": ["192.0.2.0/24"]})
    config["routes"].append({"name": "web", "match": {"path": "/up/**"}, "upstream": "web",
                             "deadline": "5s", "retry": True})
    return config


@pytest.fixture(scope="module")
def web():
    upstream = Upstream()
    gateway = Gateway(base=config_for(upstream))
    try:
        yield gateway.start(), upstream
    finally:
        gateway.close()
        upstream.stop()


def test_request_and_answer(web):
    gateway, upstream = web
    answer = gateway.client.get("/up/a%20b?q=1&r=%C3%A9", {"X-Mine": "1", "X-Request-Id": "r1"})
    assert answer.status == 200 and answer.body == b"up GET /up/a%20b?q=1&r=%C3%A9 0"
    assert answer.header("X-Upstream") == "up"
    assert [v for n, v in answer.fields if n.lower() == "set-cookie"] == ["a=1", "b=2"]
    _, _, headers, _ = upstream.seen[-1]
    headers = {k.lower(): v for k, v in headers.items()}
    assert headers["x-mine"] == "1" and headers["x-request-id"] == "r1"
    assert headers["traceparent"].startswith("00-")
    assert "127.0.0.1" in headers.get("x-forwarded-for", headers.get("forwarded", ""))


@pytest.mark.parametrize("path", ["/up/admin/x", "/up/%61dmin/x", "/%75p/admi%6E/x", "/up/%61dmin/%78?q"])
def test_no_spelling_gets_around_an_allow_list(web, path):
    gateway, upstream = web
    before = len(upstream.seen)
    assert_problem(gateway.client.get(path), 403, "forbidden")
    assert len(upstream.seen) == before


@pytest.mark.parametrize("path", ["/up//admin/x", "//up/admin/x", "/up/./admin/x", "/up/x/%2e%2E/admin/x"])
def test_paths_that_others_read_differently(web, path):
    assert_problem(web[0].client.get(path), 400, "bad-path")


def test_path_and_query_arrive_in_one_spelling(web):
    answer = web[0].client.get("/up/%7Ea%2fb%c3%a9?%61=%7e")
    assert answer.body == b"up GET /up/~a%2Fb%C3%A9?%61=%7e 0"
    answer = web[0].client.raw(b"GET http://h?q=1 HTTP/1.1\r\nHost: h\r\n\r\n")
    assert answer.status == 404


def test_hop_by_hop_headers_stay_here(web):
    gateway, upstream = web
    with gateway.client.connect() as c:
        answer = c.request("GET", "/up/hop", None, {
            "Connection": "keep-alive, X-Local", "X-Local": "1", "Keep-Alive": "x", "TE": "trailers",
            "Upgrade": "websocket", "Proxy-Authorization": "secret"})
        assert answer.header("X-Hop") is None
        assert c.request("GET", "/up/hop").status == 200  # still open
    headers = {k.lower() for k in upstream.seen[-2][2]}
    assert not headers & {"x-local", "keep-alive", "te", "upgrade", "proxy-authorization"}


def test_identity_header_only_from_trusted_proxies(web):
    """It is passed on as vouched for: once."""
    gateway, upstream = web
    gateway.client.get("/up/id", {"X-User-Id": "ann"})
    values = [v for k, v in upstream.seen[-1][2].items() if k.lower() == "x-user-id"]
    assert values == ["ann"]
    # A CGI or WSGI upstream folds these names into one.
    gateway.client.get("/up/id", {"X-User-Id": "ann", "X_User_Id": "eve", "x_forwarded-for": "1.1.1.1"})
    assert not [k for k in upstream.seen[-1][2] if "_" in k]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_bodies(web, method):
    gateway, upstream = web
    body = "x" * 50000
    answer = gateway.client.request(method, "/up/body", body)
    assert answer.body == f"up {method} /up/body 50000".encode()
    assert upstream.seen[-1][3] == body.encode()


def test_chunked_both_ways(web):
    gateway, upstream = web
    answer = gateway.client.raw(b"POST /up/chunked HTTP/1.1\r\nHost: a\r\n"
                                b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
    assert answer.status == 200 and answer.body.startswith(b"up POST")
    assert upstream.seen[-1][3] == b"abcde"


@pytest.mark.parametrize("status", [200, 204, 301, 304, 404, 418, 500, 503])
def test_statuses_pass(web, status):
    gateway, _ = web
    with gateway.client.connect() as c:
        assert c.request("GET", f"/up/{status}").status == status
        assert c.request("GET", "/up/200").status == 200


def test_head(web):
    gateway, _ = web
    with gateway.client.connect() as c:
        answer = c.request("HEAD", "/up/head")
        assert answer.status == 200 and int(answer.header("Content-Length")) > 0
        assert c.request("GET", "/up/200").status == 200


def test_connections_are_pooled(web):
    gateway, upstream = web
    gateway.client.get("/up/warm")
    before = upstream.connections
    with gateway.client.connect() as c:
        for _ in range(100):
            assert c.request("GET", "/up/pooled").status == 200
    assert upstream.connections - before <= 2


def test_truncated_answer(web):
    gateway, _ = web
    assert_problem(gateway.client.get("/up/cut"), 502, "bad-gateway")
    assert gateway.client.get("/up/200").status == 200


def test_concurrent(web):
    gateway, _ = web
    results = []

    def ask(i):
        results.append(gateway.client.get(f"/up/c{i}x").body == f"up GET /up/c{i}x 0".encode())
    threads = [threading.Thread(target=ask, args=(i,)) for i in range(100)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(results) == 100 and all(results)


def test_stale_pooled_connection(make_gateway):
    """The upstream closes its idle connections: the next request does not notice."""
    upstream = Upstream()
    gateway = make_gateway(base=config_for(upstream)).start()
    assert gateway.client.get("/up/1x").status == 200
    upstream.stop()
    second = Upstream("two", upstream.server_port)
    wait_for(lambda: gateway.client.get("/up/1x").status == 200, "the second upstream")
    second.stop()


def test_in_flight_limit(make_gateway):
    upstream = Upstream()
    gateway = make_gateway({"workers": 1}, base=config_for(upstream, max_in_flight=2)).start()
    statuses = []

    def ask():
        answer = gateway.client.get("/up/slow")
        statuses.append(answer.status)
        if answer.status == 503:
            assert_problem(answer, 503, "upstream-unavailable")
    threads = [threading.Thread(target=ask) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert statuses.count(200) >= 2 and statuses.count(503) >= 1, statuses
    upstream.stop()


def test_second_endpoint_takes_over(make_gateway):
    one, two = Upstream("one"), Upstream("two")
    gateway = make_gateway(base=config_for(one, two, retry_budget="100%")).start()
    names = {gateway.client.get("/up/x").header("X-Upstream") for _ in range(60)}
    assert names == {"one", "two"}
    one.stop()
    answers = [gateway.client.get("/up/x") for _ in range(40)]
    assert all(a.status == 200 for a in answers[5:]), [a.status for a in answers]
    two.stop()


class Hangup:
    """Counts connections and closes each after the request's head."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.server_port, self.requests = self.socket.getsockname()[1], 0
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                c, _ = self.socket.accept()
            except OSError:
                return
            with c:
                if c.recv(65536):
                    self.requests += 1

    def stop(self):
        self.socket.close()


@pytest.mark.parametrize("retry, asked", [(False, 10), (True, 20)])
def test_retry_is_the_routes_choice(make_gateway, retry, asked):
    one, two = Hangup(), Hangup()
    config = config_for(one, two, retry_budget="100%", eject={"failures": 0})
    config["routes"][-1]["retry"] = retry
    gateway = make_gateway(base=config).start()
    for _ in range(10):
        assert gateway.client.request("PUT", "/up/x", {}).status == 502
    assert one.requests + two.requests == asked
    one.stop()
    two.stop()


def test_health_by_http(make_gateway):
    one, two = Upstream("one"), Upstream("two")
    gateway = make_gateway(base=config_for(
        one, two, health={"interval": "100ms", "fall": 2, "rise": 1, "path": "/up/200"})).start()
    wait_for(lambda: {r["state"] for r in gateway.ctl_json("show", "upstreams")["data"]} == {"up"},
             "both to be up")
    one.stop()
    wait_for(lambda: {r["state"] for r in gateway.ctl_json("show", "upstreams")["data"]} ==
             {"up", "down"}, "one to be down")
    assert all(gateway.client.get("/up/x").header("X-Upstream") == "two" for _ in range(20))
    two.stop()
