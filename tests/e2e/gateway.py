# SPDX-License-Identifier: BSD-2-Clause
"""A rushgate under a temporary prefix: started, asked, killed, stopped, and looked at afterwards."""

import copy
import json
import os
import pwd
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid

from client import Client

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get("RUSHGATE_BUILD", os.path.join(ROOT, "build")))
# Set for slow builds (sanitizers): fewer rounds, no measurements.
SHORT = os.environ.get("RUSHGATE_E2E_SHORT", "") != ""
PATIENCE_S = 60 if SHORT else 20

# What no log and no stderr may ever hold: what the sanitizers and the C library say. Paths are in the log,
# so nothing here may be what somebody calls a directory.
CRASHED = re.compile(
    r"(Address|Leak|Thread|UndefinedBehavior)Sanitizer: |runtime error: |check failed: |"
    r"Assertion .* failed|Segmentation fault|stack smashing detected|double free|corrupted [a-z]+ vs|"
    r"(free|malloc|realloc)\(\): |munmap_chunk\(\)",
)


def user_name():
    """Who runs this, whatever the environment says; a number has no name in some containers."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())  # only root looks for it


def make_dir(prefix):
    """Where files are made for a while, but near enough for a socket in it: its path has 107 bytes."""
    parent = tempfile.gettempdir()
    return tempfile.mkdtemp(prefix=prefix, dir=parent if len(parent) <= 50 else "/tmp")


def base_config():
    """The box office behind two workers; ports are filled in at the start."""
    return {
        "workers": 2,
        "user": user_name(),
        "listen": [{"name": "public", "address": "127.0.0.1:0"}],
        "admin": {"address": "127.0.0.1:0"},
        "trusted_proxies": ["127.0.0.0/8", "::1"],
        "transcode": {
            "boxoffice": {
                "descriptor_set": os.path.join(BUILD, "proto", "boxoffice.pb"),
                "names": "proto",
                "print_defaults": True,
            }
        },
        "upstreams": {
            "boxoffice": {"protocol": "grpc", "endpoints": ["unix:run/boxoffice.sock"]}
        },
        "routes": [
            {
                "name": "boxoffice",
                "service": "rushgate.boxoffice.v1.BoxOffice",
                "transcode": "boxoffice",
                "upstream": "boxoffice",
                "methods": {
                    "CreateOrder": {"identity": "required", "idempotency_key": "required"},
                    "CreateEvent": {"allow": ["127.0.0.0/8", "::1"]},
                },
            },
            {
                "name": "hello",
                "match": {"method": "GET", "path": "/hello"},
                "respond": {"status": 200, "type": "text/plain", "body": "hello\n"},
            },
        ],
        "boxoffice": {"mode": "embedded", "upstream": "boxoffice"},
    }


def plain_config():
    """Without a box office: what the gateway does by itself."""
    config = base_config()
    for key in ("transcode", "upstreams", "boxoffice"):
        del config[key]
    config["routes"] = config["routes"][1:]
    return config


def merge(into, more):
    """Mappings merge, everything else replaces."""
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = copy.deepcopy(value)
    return into


def free_port():
    """Below the range from which the kernel gives ports to whoever connects; drawn, so that runs side by
    side rarely meet."""
    while True:
        port = random.randrange(10240, 32768)
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                continue
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def wait_for(condition, what, seconds=PATIENCE_S):
    """Until condition() is true; its value. What is waited for is in the message."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s for {what}")
        time.sleep(0.01)


def process_alive(pid):
    """Zombies are not alive."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def link_of(path):
    """Where a link leads; "" when it is gone, as a descriptor of a busy process may be."""
    try:
        return os.readlink(path)
    except OSError:
        return ""


class Successor:
    """A master that is not our child: what a subprocess.Popen is asked for, as far as that goes."""

    def __init__(self, pid):
        self.pid, self.returncode = pid, None

    def poll(self):
        if self.returncode is None and not process_alive(self.pid):
            self.returncode = 0  # how it ended only its parent knows
        return self.returncode

    def wait(self, seconds=PATIENCE_S):
        try:
            wait_for(lambda: self.poll() is not None, f"process {self.pid} to end", seconds)
        except AssertionError:
            raise subprocess.TimeoutExpired("rushgate", seconds) from None
        return self.returncode

    def send_signal(self, sig):
        os.kill(self.pid, sig)

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)


class Gateway:
    def __init__(self, config=None, base=None, text=None):
        self.prefix = make_dir("rushgate-e2e.")
        os.chmod(self.prefix, 0o755)
        self.file = os.path.join(self.prefix, "rushgate.yaml")
        self.config = merge(base if base is not None else base_config(), config or {})
        self.process = None
        self.errors_expected = False  # True: the error log may hold errors (something was killed)
        self.exit_expected = 0
        for listener in self.config["listen"]:
            host, port = listener["address"].rsplit(":", 1)
            if port == "0":
                listener["address"] = f"{host}:{free_port()}"
        host, port = self.config["admin"]["address"].rsplit(":", 1)
        if port == "0":
            self.config["admin"]["address"] = f"{host}:{free_port()}"
        self.port = int(self.config["listen"][0]["address"].rsplit(":", 1)[1])
        self.admin_port = int(self.config["admin"]["address"].rsplit(":", 1)[1])
        self.write_config(text=text)

    # ---- configuration ----

    def write_config(self, config=None, text=None):
        """JSON is YAML. `config` is merged into the present one."""
        if config is not None:
            merge(self.config, config)
        with open(self.file, "w") as f:
            f.write(text if text is not None else json.dumps(self.config, indent=2) + "\n")

    def path(self, *parts):
        return os.path.join(self.prefix, *parts)

    # ---- start and stop ----

    def spawn(self, *options, **kwargs):
        env = dict(os.environ)
        env["ASAN_OPTIONS"] = f"log_path={self.path('sanitizer')}:abort_on_error=0"
        env["UBSAN_OPTIONS"] = f"log_path={self.path('sanitizer')}:print_stacktrace=1"
        env.update(kwargs.pop("env", {}))
        with open(self.path("stderr"), "ab") as err:
            return subprocess.Popen(
                [os.path.join(BUILD, "rushgate"), "-c", self.file, "-p", self.prefix, *options],
                stdin=subprocess.DEVNULL, stdout=err, stderr=err, env=env, **kwargs)

    def start(self, *options):
        self.process = self.spawn(*options)
        self.wait_ready()
        return self

    def is_ready(self):
        try:
            return self.admin.get("/readyz").status == 200
        except OSError:
            return False

    def wait_ready(self):
        def ready():
            assert self.process is None or self.process.poll() is None, \
                f"rushgate ended with {self.process.poll()}:\n{self.logs()}"
            return self.is_ready()
        try:
            wait_for(ready, "readiness")
        except AssertionError as e:
            raise AssertionError(f"{e}\n{self.logs()}") from None

    def stop(self, sig=signal.SIGTERM):
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(sig)
        try:
            self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"rushgate did not stop\n{self.logs()}") from None

    def all_processes(self):
        """Every process that has a file below the prefix open, whoever its parent is now: each of ours
        has its error log or the store."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            if int(pid) == os.getpid():
                continue
            try:
                links = [link_of(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
            except OSError:
                continue
            if any(link.startswith(self.prefix + "/") for link in links) and process_alive(pid):
                found.append(int(pid))
        return found

    def close(self):
        """Stops everything and says what was wrong with it."""
        problems = []
        try:
            self.stop()
        except AssertionError as e:
            problems.append(str(e))
        if self.process is not None and self.process.returncode != self.exit_expected:
            problems.append(f"exit status {self.process.returncode}, not {self.exit_expected}")
        try:
            wait_for(lambda: not self.all_processes(), "the last process to end", 5)
        except AssertionError:
            leaked = self.all_processes()
            problems.append(f"processes are left: {leaked}")
            for pid in leaked:
                os.kill(pid, signal.SIGKILL)
        logs = self.logs()
        if CRASHED.search(logs):
            problems.append("something crashed or was reported by a sanitizer")
        if not self.errors_expected and re.search(r"^\S+Z error ", logs, re.MULTILINE):
            problems.append("there are errors in the log")
        shutil.rmtree(self.prefix, ignore_errors=True)
        assert not problems, "; ".join(problems) + "\n" + logs[-20000:]

    def logs(self):
        text = []
        for folder in (self.prefix, self.path("log")):
            if not os.path.isdir(folder):
                continue
            for name in sorted(os.listdir(folder)):
                if name == "stderr" or name.startswith("sanitizer") or \
                        (name.endswith(".log") and "access" not in name):
                    with open(os.path.join(folder, name), errors="replace") as f:
                        text.append(f"---- {name}\n{f.read()}")
        return "\n".join(text)

    def error_log(self):
        with open(self.path("log", "error.log"), errors="replace") as f:
            return f.read()

    # ---- upgrades ----

    def upgrade(self, *options):
        """Replaces the binary and follows the new master; the command's document."""
        old = self.process
        done = self.ctl_json("upgrade", *options)
        self.process = Successor(done["data"]["pid"])
        if old is not None:
            assert old.wait(PATIENCE_S) == 0
        return done

    # ---- processes ----

    def processes(self, role):
        """Pids by role: "worker", "keeper", "boxoffice", "master"."""
        pids = []
        for pid in self.all_processes():
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    title = f.read().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if re.search(rf"rushgate: {role}\b", title) or \
                    (role == "boxoffice" and re.match(r"\S*boxoffice\b", title)):
                pids.append(pid)
        return sorted(pids)

    def kill(self, role, sig=signal.SIGKILL, index=0):
        pid = self.processes(role)[index]
        os.kill(pid, sig)
        return pid

    def kill_and_wait(self, role, index=0):
        """kill -9, then until a successor is there and the gateway says it is ready."""
        count = len(self.processes(role))
        pid = self.kill(role, index=index)
        wait_for(lambda: pid not in self.processes(role) and
                 len(self.processes(role)) == count and self.is_ready(),
                 f"a successor of {role} {pid}")
        return pid

    # ---- asking ----

    @property
    def client(self):
        return Client("127.0.0.1", self.port)

    @property
    def admin(self):
        return Client("127.0.0.1", self.admin_port)

    def metrics(self):
        """{'name{labels}': value}"""
        values = {}
        for line in self.admin.get("/metrics").body.decode().splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                values[name] = float(value)
        return values

    def ctl(self, *words, check=0, timeout=60):
        """rushctl; its CompletedProcess. check=None: any exit status."""
        done = subprocess.run(
            [os.path.join(BUILD, "rushctl"), "-s", self.path("run", "rushgate.sock"), *words],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout,
            env=dict(os.environ, ASAN_OPTIONS="exitcode=99"))
        if check is not None:
            assert done.returncode == check, \
                f"rushctl {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def ctl_json(self, *words, check=0):
        return json.loads(self.ctl("--json", *words, check=check).stdout)

    def check_config(self, text=None, name="rushgate.yaml"):
        """rushgate -t on the file, or on a text: (exit status, what it printed)."""
        file = self.path(name)
        if text is not None:
            with open(file, "w") as f:
                f.write(text)
        done = subprocess.run([os.path.join(BUILD, "rushgate"), "-t", "-c", file, "-p", self.prefix],
                              capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout + done.stderr

    # ---- the box office ----

    def create_event(self, slug="demo", quota=10, limit=0, **more):
        event = {
            "slug": slug, "name": "Demo night", "max_per_buyer": limit,
            "items": [{"item": "standard", "name": "Standard", "price": "88.00",
                       "currency": "EUR", "quota": quota}],
        }
        event.update(more)
        def created():
            # That a gateway that is ready can sell at once has a test of its own (test_signals.py).
            answer = self.client.post("/api/v1/events", event)
            assert answer.status in (201, 503), (answer.status, answer.body)
            return answer.status == 201 and answer.json()
        return wait_for(created, "the event to be created")

    def buy(self, buyer="ann", key=None, quantity=1, event="demo", item="standard", **headers):
        """POST orders; its Response."""
        names = {"X-User-Id": buyer, "Idempotency-Key": key or uuid.uuid4().hex}
        names.update({k.replace("_", "-"): v for k, v in headers.items()})
        return self.client.post(f"/api/v1/events/{event}/orders",
                                {"item": item, "quantity": quantity}, names)

    def availability(self, event="demo", item="standard"):
        return self.client.get(f"/api/v1/events/{event}/items/{item}/availability").json()

    # ---- stampede ----

    def stampede(self, *options, event="sale"):
        """Starts stampede with a record and an audit at the end."""
        return subprocess.Popen(
            [os.path.join(BUILD, "stampede"), "--url", f"http://127.0.0.1:{self.port}",
             "--event", event, "--acks", self.path("acks.jsonl"),
             "--store", self.path("data", "boxoffice.db"), "--json", "--quiet", *options],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def audit(self, event="sale"):
        done = subprocess.run(
            [os.path.join(BUILD, "stampede"), "audit", "--event", event, "--json",
             "--acks", self.path("acks.jsonl"), "--store", self.path("data", "boxoffice.db")],
            capture_output=True, text=True, timeout=300)
        return done.returncode, json.loads(done.stdout.splitlines()[-1]), done.stderr


def stampede_result(process, timeout=300):
    """(exit status, summary, text)"""
    out, err = process.communicate(timeout=timeout)
    lines = out.splitlines()
    assert lines and lines[-1].startswith("{"), f"stampede: {process.returncode}\n{out}{err}"
    return process.returncode, json.loads(lines[-1]), out + err
