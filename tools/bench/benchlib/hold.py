# SPDX-License-Identifier: BSD-2-Clause
"""Holds idle connections: hold.py SOURCE PORT N. Each has had one answer; "ready", and when its standard
input ends, how many the server had closed by then."""

import select
import socket
import sys

BIND_ADDRESS_NO_PORT = 24  # IP_BIND_ADDRESS_NO_PORT: the port is chosen at connect


def connection(source, port):
    s = socket.socket()
    s.setsockopt(socket.IPPROTO_IP, BIND_ADDRESS_NO_PORT, 1)
    s.bind((source, 0))
    s.connect(("127.0.0.1", port))
    s.sendall(b"GET /idle HTTP/1.1\r\nHost: bench\r\n\r\n")
    if not s.recv(4096).startswith(b"HTTP/1.1 404"):
        raise RuntimeError("not answered with 404")
    return s


def main():
    source, port, n = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    held = [connection(source, port) for _ in range(n)]
    print("ready", flush=True)
    sys.stdin.read()
    poll = select.poll()
    for s in held:
        poll.register(s, select.POLLIN)  # an answer was read whole: what is readable now is an end
    print(len(poll.poll(0)), flush=True)


if __name__ == "__main__":
    main()
