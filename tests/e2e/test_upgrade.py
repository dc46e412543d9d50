# SPDX-License-Identifier: BSD-2-Clause
"""Replacing the binary: nothing is refused, nothing fails, and what goes wrong leaves the old one."""

import grp
import os
import random
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
import uuid

import pytest

from client import Client
from gateway import BUILD, SHORT, Successor, free_port, plain_config, process_alive, wait_for


class Load:
    """Clients that never let go. Whatever is not the answer they want is a failure."""

    def __init__(self, gateway, buyers=2, keepers=4, comers=2):
        self.gateway, self.stop = gateway, threading.Event()
        self.failures, self.answers, self.sold = [], 0, []
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(step,)) for step, n in
                        ((self.buy, buyers), (self.keep, keepers), (self.come, comers))
                        for _ in range(n)]

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for t in self.threads:
            t.join()

    def run(self, step):
        connection = None
        while not self.stop.is_set():
            try:
                connection = step(connection)
            except (OSError, AssertionError, ValueError) as e:
                with self.lock:
                    self.failures.append(f"{time.monotonic():.3f} {step.__name__}: {e!r}")
                connection = None
                time.sleep(0.05)
        if connection is not None:
            connection.close()

    def ask(self, connection, *request):
        """On the connection as long as the server keeps it."""
        if connection is None:
            connection = self.gateway.client.connect()
        answer = connection.request(*request)
        with self.lock:
            self.answers += 1
        if answer.header("Connection") == "close":
            connection.close()
            connection = None
        return connection, answer

    def buy(self, connection):
        key = uuid.uuid4().hex
        connection, answer = self.ask(connection, "POST", "/api/v1/events/demo/orders",
                                      {"item": "standard", "quantity": 1},
                                      {"X-User-Id": key, "Idempotency-Key": key})
        assert answer.status == 201, answer
        with self.lock:
            self.sold.append(answer.json()["code"])
        return connection

    def keep(self, connection):
        """Kept alive, with pauses in which the connection is idle."""
        connection, answer = self.ask(connection, "GET", "/hello")
        assert answer.status == 200, answer
        time.sleep(random.choice((0, 0, 0.001, 0.01, 0.05)))
        return connection

    def come(self, connection):
        """A connection a request."""
        with self.gateway.client.connect() as c:
            assert c.request("GET", "/hello").status == 200
        with self.lock:
            self.answers += 1
        return None

    def wait(self, answers):
        seen = self.answers
        wait_for(lambda: self.answers >= seen + answers or self.failures, f"{answers} answers")


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def run_files(gateway):
    return sorted(os.listdir(gateway.path("run")))


def master_of(gateway):
    with open(gateway.path("run", "rushgate.pid")) as f:
        return int(f.read() or 0)


def rows(gateway):
    return {r["process"]: r for r in gateway.ctl_json("show", "workers")["data"]}


def outcome(done, kind):
    return [n["outcome"] for n in done["data"]["handed_over"] if n["kind"] == kind]


def copy_of(gateway, name="next", version=None):
    """The programs once more, in a directory of their own, perhaps with another version."""
    folder = gateway.path(name)
    os.mkdir(folder)
    for program in ("rushgate", "boxoffice"):
        with open(os.path.join(BUILD, program), "rb") as f:
            data = f.read()
        if version is not None:
            data = data.replace(b"0.1.0\0", version.encode() + b"\0")
        with open(os.path.join(folder, program), "wb") as f:
            f.write(data)
        os.chmod(os.path.join(folder, program), 0o755)
    return os.path.join(folder, "rushgate")


def script(gateway, text, interpreter="/bin/sh"):
    path = gateway.path(f"script{random.randrange(1 << 30)}")
    with open(path, "w") as f:
        f.write(f"#!{interpreter}\n{text}\n")
    os.chmod(path, 0o755)
    return path


def test_five_in_a_row_under_load(gateway):
    """No connection is refused, no request fails, every sale is in the store once."""
    gateway.create_event("demo", quota=1000000)
    boxoffice = gateway.processes("boxoffice")
    files = run_files(gateway)
    counts = []
    with Load(gateway) as load:
        load.wait(100)
        for _ in range(5):
            done = gateway.upgrade()
            assert done["data"]["state"] == "upgraded"
            assert outcome(done, "zone") == ["kept"] * 2 and outcome(done, "boxoffice") == ["kept"]
            load.wait(100)
            wait_for(lambda: run_files(gateway) == files, "the files of one master")
            assert master_of(gateway) == gateway.process.pid
            counts.append(descriptors(gateway.process.pid))
    assert load.failures == []
    assert gateway.processes("boxoffice") == boxoffice
    assert len(gateway.processes("worker")) == 2 and len(gateway.processes("keeper")) == 1
    assert len(set(counts[1:])) == 1, counts
    assert len(set(load.sold)) == len(load.sold)
    assert gateway.availability()["available_number"] == 1000000 - len(load.sold)


def test_limits_keep_their_buckets(make_gateway):
    config = plain_config()
    config["limits"] = {"few": {"key": "client_ip", "rate": "3/h"}}
    config["routes"][0]["limits"] = ["few"]
    gateway = make_gateway(base=config).start()
    assert [gateway.client.get("/hello").status for _ in range(4)] == [200, 200, 200, 429]
    for _ in range(3):
        gateway.upgrade()
        assert gateway.client.get("/hello").status == 429


@pytest.mark.parametrize("state", [None, "run/bans.state"])
def test_bans_stay(make_gateway, state):
    """With a state file and without one."""
    base = plain_config()
    base["bans"] = {"state_file": state or "off"}
    gateway = make_gateway(base=base).start()
    gateway.ctl("ban", "add", "127.0.0.1", "--reason", "test")
    assert gateway.client.get("/hello").status == 403
    for _ in range(2):
        gateway.upgrade()
        assert gateway.client.get("/hello").status == 403
        assert "127.0.0.1" in gateway.ctl("show", "bans").stdout
    gateway.ctl("ban", "rm", "127.0.0.1")
    gateway.upgrade()
    assert gateway.client.get("/hello").status == 200


def test_zone_of_another_layout_is_built_anew(make_gateway):
    """And says so, in the answer and in the log."""
    config = plain_config()
    config["limits"] = {"few": {"key": "client_ip", "rate": "1/h"}}
    config["routes"][0]["limits"] = ["few"]
    gateway = make_gateway(base=config).start()
    assert [gateway.client.get("/hello").status for _ in range(2)] == [200, 429]
    for fd in os.listdir(f"/proc/{gateway.process.pid}/fd"):
        path = f"/proc/{gateway.process.pid}/fd/{fd}"
        if "rushgate-limit" in os.readlink(path):
            with open(path, "r+b", buffering=0) as f:
                f.seek(4)
                f.write((99).to_bytes(4, "little"))
    done = gateway.upgrade()
    note = [n for n in done["data"]["handed_over"] if n["kind"] == "zone"][0]
    assert note["outcome"] == "new" and "layout 99" in note["why"]
    assert "zone limit is built anew" in gateway.error_log()
    assert gateway.client.get("/hello").status == 200


def test_limit_table_of_another_size_is_built_anew(make_gateway):
    config = plain_config()
    config["limits"] = {"few": {"key": "client_ip", "rate": "1/h"}}
    config["routes"][0]["limits"] = ["few"]
    gateway = make_gateway(base=config).start()
    assert [gateway.client.get("/hello").status for _ in range(2)] == [200, 429]
    gateway.config["limit_table"] = "1m"
    gateway.write_config()
    done = gateway.upgrade()
    note = [n for n in done["data"]["handed_over"] if n["kind"] == "zone"][0]
    assert note["outcome"] == "new" and "bytes" in note["why"]
    assert [gateway.client.get("/hello").status for _ in range(2)] == [200, 429]


def test_usr2_and_another_version(gateway):
    """A link that leads to another binary tomorrow is followed."""
    gateway.create_event("demo")
    gateway.stop()
    link = gateway.path("current")
    os.symlink(BUILD, link)
    with open(gateway.path("stderr"), "ab") as err:
        gateway.process = subprocess.Popen(
            [os.path.join(link, "rushgate"), "-c", gateway.file, "-p", gateway.prefix], stderr=err)
    gateway.wait_ready()
    old = gateway.process
    copy_of(gateway, version="0.1.9")
    os.unlink(link)
    os.symlink(gateway.path("next"), link)
    old.send_signal(signal.SIGUSR2)
    assert old.wait(20) == 0
    gateway.process = Successor(master_of(gateway))
    status = gateway.ctl_json("status")
    assert status["data"]["version"] == "0.1.9" and status["data"]["pid"] != old.pid
    assert any("restart boxoffice" in w for w in status["warnings"])
    before = rows(gateway)["boxoffice"]["pid"]
    gateway.ctl("restart", "boxoffice")
    wait_for(lambda: rows(gateway)["boxoffice"]["pid"] not in (0, before) and
             rows(gateway)["boxoffice"]["state"] == "ready", "the box office of the new binary")
    assert gateway.ctl_json("status")["warnings"] == []
    wait_for(lambda: gateway.buy("ann").status == 201, "a sale")


def test_box_office_is_watched_over_afterwards(gateway):
    gateway.create_event("demo")
    gateway.upgrade()
    gateway.upgrade()
    gateway.kill_and_wait("boxoffice")
    wait_for(lambda: gateway.buy("ann").status == 201, "a sale")
    gateway.upgrade()
    assert gateway.buy("bob").status == 201
    gateway.stop(signal.SIGQUIT)
    wait_for(lambda: not gateway.all_processes(), "the last process to end")
    assert run_files(gateway) == []


def test_other_settings_of_the_box_office(gateway):
    """A store that changed is opened, and the old one closed."""
    gateway.create_event("demo")
    gateway.write_config({"boxoffice": {"store": gateway.path("data", "other.db")}})
    gateway.upgrade()
    wait_for(lambda: os.path.exists(gateway.path("data", "other.db")), "the other store")
    gateway.create_event("other")
    # The other worker may still wait before it tries the new box office's socket again.
    wait_for(lambda: gateway.buy("ann", event="other").status == 201, "a sale of the other store")


@pytest.mark.parametrize("workers", [(4, 1, 3)])
def test_other_number_of_workers(gateway, workers):
    gateway.create_event("demo", quota=1000000)
    with Load(gateway) as load:
        for n in workers:
            gateway.write_config({"workers": n})
            gateway.upgrade()
            assert len(gateway.processes("worker")) == n
            load.wait(200)
            served = {r["slot"] for r in rows(gateway).values() if (r["connections"] or 0) > 0}
            assert served <= set(range(n))
    assert load.failures == []


def test_listeners_come_and_go(make_gateway):
    config = plain_config()
    ports = [free_port(), free_port()]
    config["listen"].append({"name": "second", "address": f"127.0.0.1:{ports[0]}"})
    gateway = make_gateway(base=config).start()
    config["listen"][1]["address"] = f"127.0.0.1:{ports[1]}"
    gateway.write_config({"listen": [gateway.config["listen"][0], config["listen"][1]]})
    done = gateway.upgrade()
    assert outcome(done, "listener") == ["kept", "new", "kept"]  # the admin address last
    assert gateway.client.get("/hello").status == 200
    assert Client("127.0.0.1", ports[1]).get("/hello").status == 200
    with pytest.raises(OSError):
        Client("127.0.0.1", ports[0]).get("/hello")


def test_idle_connection_has_time_to_ask(make_gateway):
    """It stays until its next request, whose answer ends it; the command does not wait for ever."""
    gateway = make_gateway({"drain_timeout": "20s"}, base=plain_config()).start()
    old = gateway.process
    with gateway.client.connect() as idle:
        assert idle.request("GET", "/hello").status == 200
        done = gateway.ctl_json("upgrade", "--wait", "1s")
        assert done["data"]["state"] == "draining" and done["data"]["old_connections"] == 1
        assert len(done["warnings"]) == 1
        gateway.process = Successor(done["data"]["pid"])
        assert gateway.client.get("/hello").status == 200
        again = gateway.ctl("upgrade", check=1)
        assert "still draining" in again.stderr
        answer = idle.request("GET", "/hello")
        assert answer.status == 200 and answer.header("Connection") == "close"
        assert idle.closed()
    assert old.wait(20) == 0
    assert not os.path.exists(gateway.path("run", "rushgate.pid.oldbin"))
    gateway.errors_expected = True
    wait_for(lambda: gateway.ctl("upgrade", check=None).returncode == 0, "another upgrade")
    gateway.process = Successor(master_of(gateway))


def test_idle_connection_is_closed_without_a_reset(make_gateway):
    gateway = make_gateway({"drain_timeout": "1s"}, base=plain_config()).start()
    with gateway.client.connect() as idle:
        assert idle.request("GET", "/hello").status == 200
        gateway.upgrade()
        assert idle.socket.recv(1) == b""


def test_readyz_and_admin_never_say_no(plain):
    """A scraper and a balancer's check with kept-alive connections see one gateway that is ready."""
    stop, seen = threading.Event(), []

    def look():
        connection = None
        while not stop.is_set():
            try:
                connection = connection or plain.admin.connect()
                answer = connection.request("GET", "/readyz")
                seen.append(answer.status)
                if answer.header("Connection") == "close":
                    connection = None
            except OSError as e:
                seen.append(repr(e))
                connection = None
    threads = [threading.Thread(target=look) for _ in range(2)]
    for t in threads:
        t.start()
    for _ in range(3):
        plain.upgrade()
    stop.set()
    for t in threads:
        t.join()
    assert set(seen) == {200}


def test_a_kept_alive_admin_connection_may_ask_once_more(plain):
    """Of the old keeper, when all else of the old binary has gone; a scraper that was about to ask is answered."""
    old = plain.process
    with plain.admin.connect() as c:
        assert c.request("GET", "/readyz").header("Connection") != "close"
        plain.process = Successor(plain.ctl_json("upgrade")["data"]["pid"])
        answer = c.request("GET", "/readyz")
        assert answer.status == 200 and answer.header("Connection") == "close", answer
        assert c.closed()
    assert old.wait(30) == 0


# ---- what goes wrong ----

def unchanged(gateway, pid, files, fds):
    """The old master goes on as if nothing had happened."""
    assert gateway.process.poll() is None and master_of(gateway) == pid
    assert gateway.client.get("/hello").status == 200
    wait_for(lambda: run_files(gateway) == files, "the files of one master")
    wait_for(lambda: len(gateway.processes("worker")) == 2 and
             len(gateway.processes("keeper")) == 1, "the processes of one master")
    wait_for(lambda: descriptors(pid) == fds, f"{fds} descriptors, not {descriptors(pid)}")
    assert gateway.is_ready() and gateway.ctl_json("status")["data"]["pid"] == pid


@pytest.fixture
def careful(gateway):
    """A gateway that must be the same afterwards and then still be upgradable."""
    gateway.errors_expected = True
    gateway.create_event("demo")
    wait_for(lambda: gateway.buy("before").status == 201, "a sale")
    state = gateway.process.pid, run_files(gateway), descriptors(gateway.process.pid)
    yield gateway
    unchanged(gateway, *state)
    wait_for(lambda: gateway.buy("after").status == 201, "a sale")
    gateway.upgrade()
    assert gateway.client.get("/hello").status == 200


def broken_elf(gateway):
    path = gateway.path("elf")
    with open(os.path.join(BUILD, "rushgate"), "rb") as f:
        data = bytearray(f.read())
    data[18:20] = b"\x07\xab"  # e_machine
    with open(path, "wb") as f:
        f.write(data)
    os.chmod(path, 0o755)
    return path


FAILURES = {
    "missing": (lambda g: g.path("nothing"), 1, "No such file"),
    "directory": (lambda g: g.prefix, 1, "Permission denied"),
    "not executable": (lambda g: g.file, 1, "Permission denied"),
    "relative": (lambda g: "rushgate", 1, "absolute"),
    "other architecture": (broken_elf, 1, "Exec format error"),
    "says why": (lambda g: script(g, "echo no such library >&2; exit 3"), 1,
                 "status 3: no such library"),
    "crashes": (lambda g: script(g, "kill -BUS $$"), 1, "signal 7"),
    "hangs": (lambda g: script(g, "exec sleep 60"), 6, "not ready"),
    "ends happily": (lambda g: script(g, "exit 0"), 1, "status 0"),
}


@pytest.mark.parametrize("how", FAILURES)
def test_binary_that_does_not_come_up(careful, how):
    make, status, text = FAILURES[how]
    done = careful.ctl("upgrade", "--wait", "1s", "--binary", make(careful), check=status)
    assert text in done.stderr, done.stderr
    assert text in careful.error_log()


def test_invalid_configuration(careful):
    careful.write_config(text="workers: many\n")
    done = careful.ctl("upgrade", check=1)
    assert "rushgate.yaml:1:10: error: workers" in done.stderr
    careful.write_config()


def test_address_that_is_taken(careful):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        good = careful.config["listen"]
        careful.write_config({"listen": good + [{"name": "taken", "address": address}]})
        done = careful.ctl("upgrade", check=1)
        assert address in done.stderr
        careful.write_config({"listen": good})


FAKE = """
import os, signal, socket, sys, time
lines = [l.split(" ", 2) for l in
         open("/proc/self/fd/" + os.environ["RUSHGATE_HANDOVER"]).read().splitlines()[1:]]
channel = socket.socket(fileno=int([l[1] for l in lines if l[0] == "channel"][0]))
pid_file = [l[2] for l in lines if l[0] == "pid_file"][0]
channel.setblocking(True)
def child(kind):
    pid = os.fork()
    if pid == 0:
        os.setsid()
        signal.signal(signal.SIGQUIT, signal.SIG_DFL)
        time.sleep(100)
        os._exit(0)
    start = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[19]
    boot = open("/proc/sys/kernel/random/boot_id").read()
    with open(pid_file + ".upgrade.children", "w") as f:
        os.chmod(f.name, 0o600)
        f.write(f"{boot}{kind} {pid} {start}\\n")
    open(os.path.dirname(pid_file) + "/../child", "w").write(str(pid))
def put_pid_file():
    os.link(pid_file, pid_file + ".oldbin")
    with open(pid_file + ".upgrade", "w") as f:
        f.write(str(os.getpid()))
    os.rename(pid_file + ".upgrade", pid_file)
    os.rename(pid_file + ".children", pid_file + ".oldbin.children")
"""

FAKES = {
    "dies without a word": ("os._exit(1)", "status 1"),
    "says that it failed": ("channel.send(b'failed of old age'); time.sleep(60)", "of old age"),
    "leaves a worker": ("child('w'); os._exit(1)", "status 1"),
    "leaves a keeper": ("child('k'); os.kill(os.getpid(), 9)", "signal 9"),
    "dies when it is ready": ("channel.send(b'ready 9 2'); os._exit(1)", "status 1"),
    "dies when it is told": ("channel.send(b'ready 9 2'); channel.recv(9); os._exit(1)",
                             "status 1"),
    "dies with the pid file": ("channel.send(b'ready 9 2'); channel.recv(9); put_pid_file(); "
                               "os._exit(1)", "status 1"),
    "talks nonsense": ("channel.send(b'x' * 900); channel.send(b''); channel.send(b'done'); "
                       "channel.send(b'note'); channel.send(b'note a'); os._exit(1)", "status 1"),
}


@pytest.mark.parametrize("how", FAKES)
def test_new_master_that_dies(careful, how):
    code, text = FAKES[how]
    binary = script(careful, FAKE + code, sys.executable)
    done = careful.ctl("upgrade", "--binary", binary, check=1)
    assert text in done.stderr, done.stderr
    if os.path.exists(careful.path("child")):
        with open(careful.path("child")) as f:
            pid = int(f.read())
        wait_for(lambda: not process_alive(pid), "what it has started to end")


def test_nothing_else_while_one_runs(careful):
    binary = script(careful, "exec sleep 60")
    first = subprocess.Popen(
        [os.path.join(BUILD, "rushctl"), "-s", careful.path("run", "rushgate.sock"), "upgrade",
         "--wait", "4s", "--binary", binary], stderr=subprocess.PIPE, text=True)
    wait_for(lambda: "is starting as process" in careful.error_log(), "the upgrade to begin")
    assert "already running" in careful.ctl("upgrade", check=1).stderr
    for command in (("reload",), ("drain",), ("ban", "add", "10.0.0.1", "--reason", "x")):
        assert "upgrade is running" in careful.ctl(*command, check=1).stderr
    careful.process.send_signal(signal.SIGUSR2)
    careful.process.send_signal(signal.SIGHUP)
    careful.process.send_signal(signal.SIGWINCH)
    assert careful.client.get("/hello").status == 200
    assert first.wait(30) == 6


def test_stop_gives_an_upgrade_up(plain):
    plain.errors_expected = True
    binary = script(plain, "exec sleep 60")
    upgrade = subprocess.Popen(
        [os.path.join(BUILD, "rushctl"), "-s", plain.path("run", "rushgate.sock"), "upgrade",
         "--binary", binary], stderr=subprocess.PIPE, text=True)
    wait_for(lambda: "is starting as process" in plain.error_log(), "the upgrade to begin")
    plain.stop()
    assert upgrade.wait(20) == 1 and "told to stop" in upgrade.stderr.read()
    wait_for(lambda: not plain.all_processes(), "the last process to end")
    assert run_files(plain) == []


def masters(gateway):
    """Also the one that leaves."""
    return gateway.processes("master") + gateway.processes("old master")


@pytest.mark.parametrize("who", ["old", "new"])
def test_killed_in_the_middle(make_gateway, who):
    """kill -9 at some moment of it: requests go on, and in the end one master is in charge."""
    gateway = make_gateway({"drain_timeout": "5s"}, base=plain_config()).start()
    gateway.errors_expected = True
    with Load(gateway, buyers=0) as load:
        for i in range(4 if SHORT else 12):
            old = gateway.process
            load.wait(20)
            old.send_signal(signal.SIGUSR2)
            time.sleep(random.random() * (0.2 if SHORT else 0.012))
            victim = old.pid if who == "old" else next(
                (p for p in masters(gateway) if p != old.pid), old.pid)
            os.kill(victim, signal.SIGKILL)
            if victim == old.pid:
                old.wait(20)
            wait_for(lambda: not process_alive(victim), "the victim's end")
            time.sleep(0.1)
            wait_for(lambda: not gateway.processes("old master") and
                     len(gateway.processes("master")) <= 1, "at most one master")
            left = gateway.processes("master")
            before = len(load.failures)
            if left:
                gateway.process = Successor(left[0]) if left[0] != old.pid else old
            else:
                gateway.process = gateway.spawn()
            wait_for(lambda: master_of(gateway) == gateway.process.pid and gateway.is_ready() and
                     len(gateway.processes("worker")) == 2 and
                     len(gateway.processes("keeper")) == 1, "one gateway", 30)
            if not left:
                # A new start makes sockets of its own; with those of the dead master's workers
                # the kernel drops the handshakes that are on their way (as after any kill).
                load.failures[before:] = [f for f in load.failures[before:] if "Reset" not in f]
            wait_for(lambda: set(run_files(gateway)) ==
                     {"rushgate.pid", "rushgate.pid.children", "rushgate.sock"}, "its files")
    assert load.failures == []


def test_detached_master(make_gateway):
    gateway = make_gateway(base=plain_config())
    assert gateway.spawn("-d").wait(30) == 0
    gateway.process = Successor(master_of(gateway))
    gateway.upgrade()
    gateway.upgrade()
    assert gateway.client.get("/hello").status == 200
    error = gateway.path("log", "error.log")
    assert os.path.samefile(f"/proc/{gateway.process.pid}/fd/2", error)


def test_service_manager_is_told_the_pid(make_gateway):
    gateway = make_gateway(base=plain_config())
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(gateway.path("notify"))
        notify.settimeout(20)
        gateway.process = gateway.spawn(env={"NOTIFY_SOCKET": gateway.path("notify")})
        gateway.wait_ready()
        old = gateway.process.pid
        gateway.upgrade()
        seen = ""
        while f"MAINPID={gateway.process.pid}\nSTATUS=version" not in seen:
            seen += notify.recv(4096).decode() + "\n"
        assert "STOPPING" not in seen and f"MAINPID={old}" in seen


def test_mode_of_the_control_socket(make_gateway):
    """The new master keeps the socket; its file becomes what the new configuration says."""
    gateway = make_gateway({"admin": {"socket_mode": "0666"}}, base=plain_config()).start()
    path = gateway.path("run", "rushgate.sock")
    socket_file = os.stat(path)
    for mode in ("0660", "0666", "0600"):
        gateway.write_config({"admin": {"socket_mode": mode}})
        gateway.upgrade()
        now = os.stat(path)
        assert (now.st_ino, now.st_gid) == (socket_file.st_ino, socket_file.st_gid)
        assert stat.S_IMODE(now.st_mode) == int(mode, 8)
        with open(gateway.path("list"), "w") as f:
            f.write("192.0.2.7\n")
        gateway.ctl("ban", "load", gateway.path("list"))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_group_of_the_control_socket(make_gateway):
    gateway = make_gateway(base=plain_config()).start()
    gateway.write_config({"admin": {"socket_group": "daemon"}})
    gateway.upgrade()
    assert os.stat(gateway.path("run", "rushgate.sock")).st_gid == grp.getgrnam("daemon").gr_gid


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_as_root_with_a_user(make_gateway):
    gateway = make_gateway({"user": "nobody"}).start()
    gateway.create_event("demo")
    link = os.readlink(gateway.path("run", "boxoffice.sock"))
    gateway.upgrade()
    assert os.readlink(gateway.path("run", "boxoffice.sock")) == link
    assert gateway.buy("late").status == 201
    assert os.stat(f"/proc/{gateway.processes('worker')[0]}").st_uid != 0
    mode = os.stat(gateway.path("run", "rushgate.pid"))
    assert mode.st_uid == 0 and stat.S_IMODE(mode.st_mode) == 0o644
    gateway.kill_and_wait("boxoffice")
