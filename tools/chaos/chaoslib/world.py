# SPDX-License-Identifier: BSD-2-Clause
"""The gateway and its box office under test: started, killed, started again as a service manager would."""

import os
import re
import signal
import subprocess
import sys
import threading
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
sys.path.insert(0, os.path.join(TOP, "tests", "e2e"))

from gateway import BUILD, Gateway, Successor, process_alive  # noqa: E402

from . import shim  # noqa: E402

CRASHED = re.compile(r"\S*Sanitizer:|runtime error:|check failed|[Aa]ssertion|stack smashing|double free|"
                     r"ended by signal (4|6|7|8|11) |audit: .* does not add up|refused operation")
STORE_BYTES = 192 << 20
STORE_BYTES_A_MINUTE = 3 << 20

# With closed_by the gateway refuses by itself for so long what the box office refused, which may have been
# decided as long before as a call takes at most (docs/api.md).
CLOSED_FOR_NS = (1 + 5) * 10**9
REMEMBER = "15s"

CONFIG = {
    "workers": 3,
    "limits": {"per_buyer": {"key": "identity", "rate": "1000/s"}},
    "drain_timeout": "5s",
}


class World:
    def __init__(self, seconds, say, closed=False):
        self.say = say
        self.gateway = Gateway(CONFIG)
        self.gateway.errors_expected = True
        methods = self.gateway.config["routes"][0]["methods"]
        methods["CreateOrder"]["limits"] = ["per_buyer"]
        self.stale_ns = CLOSED_FOR_NS if closed else 0  # of a refusal as sold out
        if closed:
            methods["CreateOrder"]["closed_by"] = ["event", "item", "quantity"]
            self.gateway.config["idempotency"] = {"remember": REMEMBER}
        self.gateway.write_config()
        self.text = open(self.gateway.file).read()  # the configuration that is meant to run
        self.shim = shim.Shim(self.gateway.prefix)
        self.store_bytes = STORE_BYTES + int(STORE_BYTES_A_MINUTE * seconds / 60)
        self.mounted = self._mount()
        self.events = []  # of the sales that run now
        self.wanted = threading.Event()  # a master is meant to run
        self.keeper = threading.Thread(target=self._keep_master, daemon=True)
        self.restarts = 0
        self.problems = []  # what faults saw that must not be
        self.pause_s = 0.1

    # ---- the store's disk ----

    def _mount(self):
        data = self.gateway.path("data")
        os.makedirs(data, exist_ok=True)
        if os.geteuid() != 0:
            return False
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={self.store_bytes},mode=755", "chaos", data],
                              capture_output=True)
        return done.returncode == 0

    def resize_disk(self, bytes_):
        return subprocess.run(["mount", "-o", f"remount,size={bytes_}", self.gateway.path("data")],
                              capture_output=True).returncode == 0

    def disk_used(self):
        at = os.statvfs(self.gateway.path("data"))
        return (at.f_blocks - at.f_bfree) * at.f_frsize

    def unmount(self):
        if self.mounted:
            subprocess.run(["umount", "-l", self.gateway.path("data")], capture_output=True)
            self.mounted = False

    # ---- the master ----

    def spawn(self):
        env = self.shim.environment()
        log = self.gateway.path("sanitizer")
        env["ASAN_OPTIONS"] = f"log_path={log}:abort_on_error=0:verify_asan_link_order=0"
        self.spawned_ns = time.monotonic_ns()
        # In a session of its own: a group of processes with a stopped one in it gets a hangup when whoever
        # started it ends.
        self.gateway.process = self.gateway.spawn(env=env, start_new_session=True)

    def start(self):
        self.spawn()
        self.gateway.wait_ready()
        self.baseline = self.measure()
        self.wanted.set()
        self.keeper.start()

    def _keep_master(self):
        """As systemd with PIDFile= and Restart=always: follows an upgrade, starts again who has ended."""
        while self.wanted.is_set():
            process = self.gateway.process
            if process.poll() is not None:
                pause, self.pause_s = self.pause_s, 0.1
                time.sleep(pause)
                if not self.follow() and self.wanted.is_set():
                    self.restarts += 1
                    self.spawn()
            time.sleep(0.02)

    def follow(self):
        """The pid file names a master that lives: it is the one from now on."""
        try:
            with open(self.gateway.path("run", "rushgate.pid")) as f:
                pid = int(f.read())
        except (OSError, ValueError):
            return False
        if pid == self.gateway.process.pid or ("master", pid) not in self.processes():
            return False
        self.gateway.process = Successor(pid)
        return True

    def measure(self):
        """(descriptors, resident KiB) of the master."""
        pid = self.gateway.process.pid
        with open(f"/proc/{pid}/status") as f:
            resident = int(re.search(r"VmRSS:\s+(\d+)", f.read())[1])
        return len(os.listdir(f"/proc/{pid}/fd")), resident

    # ---- processes ----

    def processes(self):
        """[("worker 0", pid), ...] by their titles; those of a master that was killed or replaced, too."""
        found = []
        for pid in self.gateway.all_processes():
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    title = f.read().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            match = re.search(r"rushgate: (worker \d+|keeper|master)", title)
            if match:
                found.append((match[1], pid))
            elif re.match(r"\S*boxoffice\b", title) and "--check" not in title:
                found.append(("boxoffice", pid))
        return found

    def pid_of(self, role, pick):
        """A process of this role now: (its name, pid), or None."""
        found = sorted(p for p in self.processes() if p[0].split()[0] == role)
        return found[int(pick * len(found)) % len(found)] if found else None

    def signal(self, pid, sig):
        try:
            os.kill(pid, sig)
            return True
        except ProcessLookupError:
            return False

    def ctl(self, *words, timeout=15):
        """(exit status, what it printed); None: it did not answer in time."""
        try:
            done = self.gateway.ctl(*words, check=None, timeout=timeout)
        except subprocess.TimeoutExpired:
            return None, "no answer"
        return done.returncode, (done.stdout + done.stderr).strip()

    # ---- the end ----

    def stop(self):
        """Ends it; what was wrong with that."""
        problems = []
        self.wanted.clear()
        self.keeper.join(5)
        if self.gateway.process.poll() is not None:
            self.follow()
        process = self.gateway.process
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                problems.append("the master did not end")
                process.kill()
                process.wait()
        if not problems and process.returncode != 0:
            problems.append(f"the master's exit status is {process.returncode}")
        end = time.monotonic() + 10
        while self.gateway.all_processes() and time.monotonic() < end:
            time.sleep(0.05)
        for pid in self.gateway.all_processes():
            problems.append(f"process {pid} is left")
            self.signal(pid, signal.SIGKILL)
        return problems

    def crashes(self):
        found = [line for line in self.gateway.logs().splitlines() if CRASHED.search(line)]
        found += [f"core file {f}" for f in os.listdir(self.gateway.prefix) if f.startswith("core")]
        return found

    def growth(self):
        """What the master has more than when it began, where that is too much."""
        fds, resident = self.measure()
        problems = []
        if fds > self.baseline[0] + 16:
            problems.append(f"the master has {fds} descriptors open, {self.baseline[0]} at the start")
        if resident > 2 * self.baseline[1] + (64 << 10):
            problems.append(f"the master uses {resident} KiB, {self.baseline[1]} at the start")
        return problems


__all__ = ["BUILD", "TOP", "World", "process_alive"]
