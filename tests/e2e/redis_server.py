# SPDX-License-Identifier: BSD-2-Clause
"""Real Redis servers on ports and directories of their own, and a client for them of a few lines."""

import os
import shutil
import signal
import socket
import subprocess

from gateway import free_port, make_dir, wait_for


class RedisServer:
    def __init__(self, *options, port=None):
        self.dir = make_dir("rushgate-redis.")
        self.port = port or free_port()
        self.options = options
        self.process = None
        self.password = None

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def start(self, wait=True):
        with open(os.path.join(self.dir, "log"), "ab") as log:
            self.process = subprocess.Popen(
                ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
                 "--appendonly", "no", "--dir", self.dir, *self.options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        if wait:
            wait_for(self.answers, "Redis to start")
        return self

    def answers(self):
        try:
            return self.command("PING") in ("PONG",) or True
        except RuntimeError:
            return True  # an error is an answer
        except OSError:
            return False

    def command(self, *words):
        """The reply: text, number, None or list; RuntimeError for an error."""
        with socket.create_connection(("127.0.0.1", self.port), 10) as s:
            file = s.makefile("rb")
            if self.password:
                s.sendall(_command("AUTH", self.password))
                _reply(file)
            s.sendall(_command(*words))
            return _reply(file)

    def keys(self):
        return sorted(self.command("KEYS", "*"))

    def signal(self, sig):
        self.process.send_signal(sig)

    def kill(self):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()

    def close(self):
        self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)


def _command(*words):
    parts = [f"*{len(words)}\r\n".encode()]
    for word in words:
        data = str(word).encode()
        parts.append(f"${len(data)}\r\n".encode() + data + b"\r\n")
    return b"".join(parts)


def _reply(file):
    line = file.readline()
    if not line:
        raise OSError("closed")
    kind, rest = line[:1], line[1:-2].decode()
    if kind == b"+":
        return rest
    if kind == b"-":
        raise RuntimeError(rest)
    if kind == b":":
        return int(rest)
    if kind == b"$":
        return None if rest == "-1" else file.read(int(rest) + 2)[:-2].decode()
    return [_reply(file) for _ in range(int(rest))]
