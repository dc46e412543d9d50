# SPDX-License-Identifier: BSD-2-Clause
"""What stampede does when its event is not created at once: against a server that answers by a script."""

import json
import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from gateway import BUILD

EXISTS = (409, {"type": "https://rushgate.example/problems/already-exists", "status": 409})
SOLD_OUT = (409, {"type": "https://rushgate.example/problems/sold-out", "status": 409})
SILENT, CUT = "silent", "cut"


def event(quota=7):
    """What a box office shows of the event that run() asks for; a limit of 0 is left out."""
    return {"slug": "night", "name": "night", "hold": "600s",
            "items": [{"item": "standard", "name": "standard", "price": "88.00", "currency": "EUR", "quota": quota}]}


class Scripted(BaseHTTPRequestHandler):
    """Takes the next answer of server.posts or server.gets; the last one stays. Orders are sold out."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(*self.next("posts") if self.path == "/api/v1/events" else SOLD_OUT)

    def do_GET(self):
        assert self.path == "/api/v1/events/night", self.path
        self.answer(*self.next("gets"))

    def next(self, kind):
        script = getattr(self.server, kind)
        self.server.asked.append(kind)
        return script.pop(0) if len(script) > 1 else script[0]

    def answer(self, status, body=None):
        if status == SILENT:
            self.server.over.wait(30)
        if status in (SILENT, CUT):
            self.close_connection = True
            return
        data = json.dumps(body or {}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):  # pylint: disable=arguments-differ
        pass


@pytest.fixture
def serve():
    """serve(posts, gets): a server with these answers."""
    servers = []

    def start(posts, gets):
        server = ThreadingHTTPServer(("127.0.0.1", 0), Scripted)
        server.daemon_threads = True
        server.posts, server.gets, server.asked, server.over = posts, gets, [], threading.Event()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.over.set()
        server.shutdown()
        server.server_close()


def run(server):
    return subprocess.run(
        [os.path.join(BUILD, "stampede"), "--url", f"http://127.0.0.1:{server.server_port}", "--event", "night",
         "--create", "--tickets", "7", "--max-per-buyer", "0", "--buyers", "1", "--seconds", "0.1", "--mix", "plain=1",
         "--timeout", "1", "--quiet"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("lost", [[(SILENT,)], [(CUT,)], [(503,)], [(SILENT,), (CUT,), (504,), (429,)]], ids=str)
def test_an_event_whose_answer_was_lost_is_created(serve, lost):
    server = serve([*lost, EXISTS], [(200, event())])
    done = run(server)
    assert done.returncode == 0, done.stdout + done.stderr
    assert server.asked == ["posts"] * (len(lost) + 1) + ["gets"]
    assert done.stderr.count("is not created yet") == 1 and "is there already" not in done.stderr


def test_an_event_is_created_after_a_refusal(serve):
    server = serve([(503,), (201, event())], [(404,)])
    done = run(server)
    assert done.returncode == 0, done.stdout + done.stderr
    assert server.asked == ["posts", "posts"]


def test_an_event_that_is_there_is_bought_for(serve):
    server = serve([EXISTS], [(CUT,), (503,), (200, event())])
    done = run(server)
    assert done.returncode == 0, done.stdout + done.stderr
    assert server.asked == ["posts", "gets", "gets", "gets"]
    assert "event night is there already" in done.stderr


@pytest.mark.parametrize("posts", [[EXISTS], [(SILENT,), EXISTS]], ids=["theirs", "after-a-timeout"])
def test_another_event_of_that_name_is_not_bought_for(serve, posts):
    server = serve(posts, [(200, event(quota=8))])
    done = run(server)
    assert done.returncode == 1
    assert "is another one" in done.stderr and '"quota": 8' in done.stderr
    assert server.asked[-1] == "gets"


def test_an_event_that_is_refused_is_not_asked_for_again(serve):
    server = serve([(400, {"detail": "the request is not valid"})], [(404,)])
    done = run(server)
    assert done.returncode == 1
    assert "cannot create event night" in done.stderr and "the request is not valid" in done.stderr
    assert server.asked == ["posts"]
