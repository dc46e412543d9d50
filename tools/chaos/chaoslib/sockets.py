# SPDX-License-Identifier: BSD-2-Clause
"""Cutting connections of another process where they are, by way of a duplicate of its descriptor."""

import ctypes
import os
import socket
import struct

PIDFD_GETFD = 438
libc = ctypes.CDLL(None, use_errno=True)


def _duplicates(pid):
    """A socket object for every socket of the process."""
    handle = os.pidfd_open(pid)
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):
            try:
                if not os.readlink(f"/proc/{pid}/fd/{name}").startswith("socket:"):
                    continue
            except OSError:
                continue
            fd = libc.syscall(PIDFD_GETFD, handle, int(name), 0)
            if fd >= 0:
                yield socket.socket(fileno=fd)
    finally:
        os.close(handle)


def possible():
    """None, or why not: it needs the right to trace one's children."""
    child = os.fork()
    if child == 0:
        import signal
        signal.pause()
    try:
        handle = os.pidfd_open(child)
        fd = libc.syscall(PIDFD_GETFD, handle, 0, 0)
        os.close(handle)
        if fd >= 0:
            os.close(fd)
            return None
        return "descriptors of other processes cannot be had: " + os.strerror(ctypes.get_errno())
    except OSError as e:
        return str(e)
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


def _is_client(s, port):
    return s.family in (socket.AF_INET, socket.AF_INET6) and s.getsockname()[1] == port and \
        not s.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)


def _is_upstream(s):
    if s.family != socket.AF_UNIX or s.type & socket.SOCK_STREAM == 0:
        return False
    name = s.getpeername()
    return isinstance(name, str) and name.endswith("boxoffice.sock")


def cut(pid, share, rng, port=None, reset=False):
    """Shuts some of a process's connections: those of clients at `port`, or without one those to the box office.
    How many. reset: what was not sent yet is thrown away, and TCP says so."""
    n = 0
    for s in _duplicates(pid):
        with s:
            try:
                if not (_is_client(s, port) if port else _is_upstream(s)) or rng.random() >= share:
                    continue
                if reset and port:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                s.shutdown(socket.SHUT_RDWR)
                n += 1
            except OSError:
                continue
    return n
