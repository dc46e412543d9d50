# SPDX-License-Identifier: BSD-2-Clause
"""Children that serve, and what /proc says about them."""

import os
import resource
import signal
import socket
import subprocess
import time

TICK = os.sysconf("SC_CLK_TCK")
PATIENCE_S = 20


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(condition, what, seconds=PATIENCE_S):
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise RuntimeError(f"waited {seconds} s for {what}")
        time.sleep(0.02)


def listening(address):
    """address: a port of loopback, or the path of a unix socket."""
    if isinstance(address, int):
        family, to = socket.AF_INET, ("127.0.0.1", address)
    else:
        family, to = socket.AF_UNIX, address
    with socket.socket(family) as s:
        return s.connect_ex(to) == 0


def tree(pid):
    """pid and its descendants."""
    out, todo = [], [pid]
    while todo:
        p = todo.pop()
        out.append(p)
        try:
            for t in os.listdir(f"/proc/{p}/task"):
                with open(f"/proc/{p}/task/{t}/children") as f:
                    todo += [int(c) for c in f.read().split()]
        except FileNotFoundError:
            pass
    return out


def command_line(pid):
    """As ps shows it; a daemon's title where it sets one."""
    with open(f"/proc/{pid}/cmdline", "rb") as f:
        return f.read().replace(b"\0", b" ").decode(errors="replace").strip()


def cpu_parts(pids):
    """(user, system) seconds of processes, all threads, also those that ended."""
    user = system = 0
    for p in pids:
        with open(f"/proc/{p}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        user += int(fields[11])
        system += int(fields[12])
    return user / TICK, system / TICK


def cpu_seconds(pids):
    return sum(cpu_parts(pids))


def memory_bytes(pids):
    """(private, proportional) memory: pages of their own, and with a share of those they share."""
    private = proportional = 0
    for p in pids:
        with open(f"/proc/{p}/smaps_rollup") as f:
            for line in f:
                name, _, rest = line.partition(":")
                if name in ("Private_Clean", "Private_Dirty"):
                    private += int(rest.split()[0]) * 1024
                elif name == "Pss":
                    proportional += int(rest.split()[0]) * 1024
    return private, proportional


def files_limit():
    """The most descriptors a process can have here; the soft limit is raised to it."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1 << 20, 1 << 20))
    except (ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


class Server:
    """A program that serves on self.port, with everything it writes below self.dir."""

    def __init__(self, base, name):
        self.name = name
        self.dir = os.path.join(base, name)
        os.makedirs(self.dir)
        self.port = free_port()
        self.process = None

    def file(self, name, text, mode=None):
        path = os.path.join(self.dir, name)
        with open(path, "w") as f:
            f.write(text)
        if mode is not None:
            os.chmod(path, mode)
        return path

    def spawn(self, command, address=None, under=(), **more):
        """Starts it and waits until `address` (default: the port) accepts. `under`: a tracer's words."""
        with open(os.path.join(self.dir, "output"), "ab") as out:
            self.process = subprocess.Popen(
                [*under, *command], stdin=subprocess.DEVNULL, stdout=out, stderr=out, **more
            )
        address = address or self.port

        def ready():
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended with {self.process.returncode}:\n{self.output()}")
            return listening(address)

        wait_for(ready, f"{self.name} to listen", PATIENCE_S * (10 if under else 1))
        return self

    def output(self):
        with open(os.path.join(self.dir, "output"), errors="replace") as f:
            return f.read()[-2000:]

    def pids(self):
        return sorted(tree(self.process.pid))

    def url(self, path="/"):
        return f"http://127.0.0.1:{self.port}{path}"

    def stop(self, sig=signal.SIGTERM):
        if self.process is None or self.process.poll() is not None:
            return
        left = self.pids()
        self.process.send_signal(sig)
        try:
            self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            for p in left:
                try:
                    os.kill(p, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self.process.wait()
