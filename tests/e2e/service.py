# SPDX-License-Identifier: BSD-2-Clause
"""An HTTP service behind the gateway: what it answers is the test's."""

import http.server
import socket
import threading


class Handler(http.server.BaseHTTPRequestHandler):
    """Whatever the method, answer() answers; self.server is the Service."""

    protocol_version = "HTTP/1.1"

    def setup(self):
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def take_body(self):
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def reply(self, status, body, **headers):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def dispatch(self):
        self.answer()

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = do_OPTIONS = dispatch

    def log_message(self, *_):
        pass


class Service(http.server.ThreadingHTTPServer):
    """Serves until stop(). What a handler finds in it is set before this begins."""

    daemon_threads = True
    request_queue_size = 512

    def __init__(self, handler, port=0):
        super().__init__(("127.0.0.1", port), handler)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self):
        self.shutdown()
        self.server_close()
