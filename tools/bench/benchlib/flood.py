# SPDX-License-Identifier: BSD-2-Clause
"""Asks without a pause, and knows when it asked: for what is counted against a clock.

A generator that says it ran 4.00 s, and began to ask some milliseconds later, is no clock for a rate.
This one notes CLOCK_MONOTONIC, which the servers read, before the first request is sent and after the
last answer has come. Few requests are under way at a time, so that both moments are good to
less than a millisecond: all decisions fell between them."""

import dataclasses
import select
import socket
import time

STATUS = b"HTTP/1.1 "
STATUS_SIZE = len(STATUS) + 3


@dataclasses.dataclass
class Flood:
    answers: dict  # status: how many
    seconds: float  # from before the first request until after the last answer
    pause: float  # the most that may have been between two refusals


class Connection:
    """Sends `depth` requests at once, and the next when all of them are answered."""

    def __init__(self, port, request, depth):
        self.sock = socket.create_connection(("127.0.0.1", port), 60)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.requests, self.depth = request * depth, depth
        self.waits, self.rest, self.asked = 0, b"", 0.0

    def ask(self):
        self.asked = time.monotonic()
        self.sock.sendall(self.requests)
        self.waits = self.depth

    def read(self, answers):
        """Counts the status lines of what has come. Bodies must not look like one."""
        part = self.sock.recv(262144)
        if not part:
            raise RuntimeError("the server closed the connection")
        text = self.rest + part
        n = 0
        for status in answers:
            found = text.count(STATUS + status)
            answers[status] += found
            n += found
        # A status line may be cut anywhere; one that is whole is not looked at again.
        last = text.rfind(STATUS)
        whole = last >= 0 and len(text) - last >= STATUS_SIZE
        self.rest = text[max(len(text) - STATUS_SIZE + 1, last + STATUS_SIZE if whole else 0) :]
        self.waits -= n


def flood(port, request, seconds, admitted="200", refused="429", connections=8, depth=8):
    """A Flood of `request`, whose answers all have one of the two statuses."""
    answers = {admitted.encode(): 0, refused.encode(): 0}
    crowd = {}
    poll = select.epoll()
    for _ in range(connections):
        c = Connection(port, request, depth)
        crowd[c.sock.fileno()] = c
        poll.register(c.sock, select.EPOLLIN)
    start = time.monotonic()
    end, last, dry, pause = start + seconds, start, start, 0
    for c in crowd.values():
        c.ask()
    while any(c.waits > 0 for c in crowd.values()):
        ready = poll.poll(10)
        if not ready:
            raise RuntimeError(f"port {port}: no answer for 10 s, or neither {admitted} nor {refused}")
        for fd, _ in ready:
            before = answers[refused.encode()]
            crowd[fd].read(answers)
            last = time.monotonic()
            if answers[refused.encode()] > before:
                pause = max(pause, last - dry)
                dry = max(dry, crowd[fd].asked)  # decided since
            if crowd[fd].waits == 0 and last < end:
                crowd[fd].ask()
    poll.close()
    for c in crowd.values():
        c.sock.close()
    return Flood({s.decode(): n for s, n in answers.items()}, last - start, max(pause, last - dry))
