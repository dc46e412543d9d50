# SPDX-License-Identifier: BSD-2-Clause
"""HTTP/1.1 by hand: tests must be able to send what no library would, and see every byte of the answer."""

import json
import socket

TIMEOUT_S = 30


class Closed(ConnectionError):
    """The server closed the connection before a whole response."""


class Response:
    def __init__(self, status, phrase, headers, body, version):
        self.status, self.phrase, self.version = status, phrase, version
        self.fields = headers  # [(name, value)] as sent
        self.body = body

    def header(self, name, default=None):
        for n, value in self.fields:
            if n.lower() == name.lower():
                return value
        return default

    def json(self):
        return json.loads(self.body)

    @property
    def reason(self):
        return self.header("X-Rushgate-Reason")

    def __repr__(self):
        return f"<{self.status} {self.fields} {self.body[:300]!r}>"


class Connection:
    """One connection; send() and response() may be called as often as wanted."""

    def __init__(self, host, port, timeout=TIMEOUT_S):
        self.socket = socket.create_connection((host, port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.host = f"{host}:{port}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def _more(self):
        data = self.socket.recv(65536)
        self.buffer += data
        return bool(data)

    def _until(self, mark):
        while mark not in self.buffer:
            if not self._more():
                raise Closed(f"closed after {self.buffer!r}")
        part, self.buffer = self.buffer.split(mark, 1)
        return part

    def _exactly(self, n):
        while len(self.buffer) < n:
            if not self._more():
                raise Closed(f"closed after {len(self.buffer)} of {n} bytes of a body")
        part, self.buffer = self.buffer[:n], self.buffer[n:]
        return part

    def _chunks(self):
        body = b""
        while True:
            size = int(self._until(b"\r\n").split(b";")[0], 16)
            body += self._exactly(size)
            assert self._exactly(2) == b"\r\n" if size else True
            if size == 0:
                while self._until(b"\r\n"):
                    pass
                return body

    def response(self, method="GET"):
        head = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        version, status, *phrase = head[0].split(" ", 2)
        fields = [tuple(part.strip() for part in line.split(":", 1)) for line in head[1:]]
        answer = Response(int(status), "".join(phrase), fields, b"", version)
        if method == "HEAD" or answer.status in (204, 304) or answer.status < 200:
            return answer
        if answer.header("Transfer-Encoding"):
            answer.body = self._chunks()
        elif answer.header("Content-Length") is not None:
            answer.body = self._exactly(int(answer.header("Content-Length")))
        else:
            while self._more():
                pass
            answer.body, self.buffer = self.buffer, b""
        return answer

    def request(self, method, path, body=None, headers=None):
        self.send(compose(method, path, body, headers, self.host))
        return self.response(method)

    def closed(self):
        """Waits for the server's end of the connection; False when it sends something instead."""
        try:
            return not self.buffer and not self._more()
        except ConnectionResetError:
            return True


def compose(method, path, body, headers, host):
    fields = {"Host": host}
    if isinstance(body, (dict, list)):
        body = json.dumps(body)
        fields["Content-Type"] = "application/json"
    if isinstance(body, str):
        body = body.encode()
    if body is not None:
        fields["Content-Length"] = str(len(body))
    fields.update(headers or {})
    lines = [f"{method} {path} HTTP/1.1"] + [f"{k}: {v}" for k, v in fields.items()]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b"")


class Client:
    """A connection per request."""

    def __init__(self, host, port):
        self.host, self.port = host, port

    def connect(self, timeout=TIMEOUT_S):
        return Connection(self.host, self.port, timeout)

    def request(self, method, path, body=None, headers=None):
        with self.connect() as c:
            return c.request(method, path, body, headers)

    def get(self, path, headers=None):
        return self.request("GET", path, None, headers)

    def post(self, path, body=None, headers=None):
        return self.request("POST", path, body if body is not None else {}, headers)

    def raw(self, data):
        """Sends bytes on a fresh connection; the first response."""
        with self.connect() as c:
            c.send(data)
            return c.response()


def assert_problem(answer, status, reason=None):
    """An RFC 9457 document that agrees with the status line and the reason header."""
    assert answer.status == status, answer
    assert answer.header("Content-Type") == "application/problem+json", answer
    document = answer.json()
    assert document["status"] == status, answer
    assert document["title"], answer
    word = document["type"].replace("/", ":").rsplit(":", 1)[1]
    assert answer.reason == word, answer
    if reason is not None:
        assert word == reason, answer
    return document
