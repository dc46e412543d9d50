# SPDX-License-Identifier: BSD-2-Clause
"""Starting, stopping, signals, the pid file and its lock."""

import os
import re
import signal
import stat
import subprocess
import threading
import time

import pytest

from client import compose
from gateway import BUILD, ROOT, SHORT, plain_config, process_alive, wait_for


def test_term_stops_now(plain):
    children = plain.all_processes()
    with plain.client.connect() as c:
        assert c.request("GET", "/hello").status == 200
        start = time.monotonic()
        plain.stop(signal.SIGTERM)
        assert c.closed()
    assert plain.process.returncode == 0
    assert SHORT or time.monotonic() - start < 3
    assert not any(process_alive(p) for p in children)
    assert not os.path.exists(plain.path("run", "rushgate.pid"))
    assert not os.path.exists(plain.path("run", "rushgate.sock"))


def test_quit_drains(gateway):
    """Requests in progress are answered; idle connections close; no new ones are taken."""
    gateway.create_event("demo")
    body = b'{"item":"standard"}'
    idle, busy = gateway.client.connect(), gateway.client.connect()
    assert idle.request("GET", "/hello").status == 200
    busy.send(b"POST /api/v1/events/demo/orders HTTP/1.1\r\nHost: a\r\nX-User-Id: ann\r\n"
              b"Idempotency-Key: k\r\nContent-Length: %d\r\n\r\n" % len(body) + body[:5])
    wait_for(lambda: sum(r["requests"] or 0 for r in gateway.ctl_json("show", "workers")["data"]),
             "the request to be seen")
    gateway.process.send_signal(signal.SIGQUIT)
    assert idle.closed()
    wait_for(lambda: not gateway.is_ready(), "readyz to say no")
    busy.send(body[5:])
    answer = busy.response()
    assert answer.status == 201 and answer.header("Connection") == "close"
    assert busy.closed()
    assert gateway.process.wait(20) == 0
    with pytest.raises(OSError):
        gateway.client.get("/hello")


def test_int_is_term(plain):
    plain.process.send_signal(signal.SIGINT)
    assert plain.process.wait(20) == 0


def test_winch_drains_the_workers(plain):
    plain.process.send_signal(signal.SIGWINCH)
    wait_for(lambda: not plain.processes("worker"), "the workers to go")
    assert plain.process.poll() is None and plain.ctl_json("status")["data"]["state"] == "draining"
    assert plain.admin.get("/healthz").status == 200
    assert plain.admin.get("/readyz").status == 503
    plain.process.send_signal(signal.SIGHUP)  # brings them back
    wait_for(lambda: len(plain.processes("worker")) == 2 and plain.is_ready(), "the workers")
    assert plain.client.get("/hello").status == 200


def test_usr1_reopens_the_logs(plain):
    access, error = plain.path("log", "access.log"), plain.path("log", "error.log")
    plain.client.get("/hello?one")
    wait_for(lambda: os.path.getsize(access), "a record")
    os.rename(access, access + ".1")
    os.rename(error, error + ".1")
    plain.process.send_signal(signal.SIGUSR1)
    wait_for(lambda: os.path.exists(access) and os.path.exists(error), "new log files")
    plain.client.get("/hello?two")
    wait_for(lambda: "two" in open(access).read(), "a record in the new file")
    assert "two" not in open(access + ".1").read()


def test_worker_ignores_what_is_the_masters(plain):
    for pid in plain.processes("worker"):
        os.kill(pid, signal.SIGHUP)
        os.kill(pid, signal.SIGINT)
    assert plain.client.get("/hello").status == 200


def test_hangup_of_the_group_ends_nothing(gateway):
    roles = ("worker", "keeper", "boxoffice")
    before = {role: gateway.processes(role) for role in roles}
    for pid in sum(before.values(), []) + [gateway.process.pid]:
        os.kill(pid, signal.SIGHUP)
    wait_for(lambda: "reload" in gateway.error_log(), "the reload")
    gateway.ctl("reopen")
    assert gateway.availability()
    assert {role: gateway.processes(role) for role in roles} == before


def test_pid_file_and_lock(plain):
    with open(plain.path("run", "rushgate.pid")) as f:
        assert int(f.read()) == plain.process.pid
    second = plain.spawn()
    assert second.wait(20) != 0
    assert plain.client.get("/hello").status == 200
    with open(plain.path("run", "rushgate.pid")) as f:
        assert int(f.read()) == plain.process.pid
    plain.errors_expected = True


def test_stale_pid_file(make_gateway):
    gateway = make_gateway(base=plain_config())
    os.makedirs(gateway.path("run"))
    with open(gateway.path("run", "rushgate.pid"), "w") as f:
        f.write("1\n")
    gateway.start()
    assert gateway.client.get("/hello").status == 200


def test_daemon(make_gateway):
    """-d returns when the gateway is ready, and leaves a pid file to stop it by."""
    gateway = make_gateway(base=plain_config())
    assert gateway.spawn("-d").wait(30) == 0
    assert gateway.client.get("/hello").status == 200
    with open(gateway.path("run", "rushgate.pid")) as f:
        pid = int(f.read())
    assert pid in gateway.processes("master")
    gateway.ctl("stop")
    wait_for(lambda: not process_alive(pid), "the daemon to end")


def test_port_taken(make_gateway):
    first = make_gateway(base=plain_config()).start()
    config = plain_config()
    config["listen"][0]["address"] = f"127.0.0.1:{first.port}"
    second = make_gateway(base=config)
    assert second.spawn().wait(30) == 1
    assert str(first.port) in second.logs()
    second.errors_expected = True


def test_port_zero(make_gateway):
    """The port that was taken is in rushctl status."""
    gateway = make_gateway(base=plain_config())
    gateway.config["listen"][0]["address"] = "127.0.0.1:0"
    gateway.write_config()
    gateway.start()
    listeners = {row["name"]: row["address"]
                 for row in gateway.ctl_json("status")["data"]["listeners"]}
    gateway.port = int(listeners["public"].rsplit(":", 1)[1])
    assert gateway.port != 0 and gateway.client.get("/hello").status == 200


def test_several_listeners(make_gateway):
    from gateway import free_port
    config = plain_config()
    config["listen"].append({"name": "second", "address": f"[::1]:{free_port()}"})
    gateway = make_gateway(base=config).start()
    port = int(gateway.config["listen"][1]["address"].rsplit(":", 1)[1])
    from client import Client
    assert Client("::1", port).request("GET", "/hello", None, {"Host": "a"}).status == 200


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_privileges_are_dropped(make_gateway):
    gateway = make_gateway({"user": "nobody"}).start()
    for role in ("worker", "keeper", "boxoffice"):
        for pid in gateway.processes(role):
            with open(f"/proc/{pid}/status") as f:
                status = dict(line.split(":", 1) for line in f)
            uids = status["Uid"].split()
            assert "0" not in uids and "0" not in status["Gid"].split(), (role, uids)
            assert int(status["CapEff"], 16) == 0 and status["NoNewPrivs"].strip() == "1"
    gateway.create_event("demo")
    assert gateway.buy("ann").status == 201
    gateway.ctl("reload")
    with open(f"/proc/{gateway.process.pid}/status") as f:
        assert "Uid:\t0" in f.read()
    for pid in gateway.all_processes():
        assert pid == gateway.process.pid or \
            stat.S_IMODE(os.stat(gateway.path("data")).st_mode) & 0o007 == 0


def test_workers_are_pinned(plain):
    masks = [os.sched_getaffinity(pid) for pid in plain.processes("worker")]
    assert all(len(m) == 1 for m in masks)
    assert len(set(map(tuple, masks))) == min(2, len(os.sched_getaffinity(0)))


def policies(gateway, kind):
    """Of every thread, for the box office has one for the disk."""
    return {
        os.sched_getscheduler(int(thread))
        for pid in gateway.processes(kind)
        for thread in os.listdir(f"/proc/{pid}/task")
    }


@pytest.mark.parametrize("configured, of_workers", [("batch", os.SCHED_BATCH), ("inherit", os.SCHED_OTHER)])
def test_scheduling_policy(make_gateway, configured, of_workers):
    """Who answers operators and probes stays what it was; new workers are as the first ones."""
    gateway = make_gateway({"cpu_scheduling": configured}).start()
    assert policies(gateway, "worker") == policies(gateway, "boxoffice") == {of_workers}
    assert policies(gateway, "keeper") == policies(gateway, "master") == {os.SCHED_OTHER}
    killed = gateway.processes("worker")[0]
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: killed not in gateway.processes("worker") and len(gateway.processes("worker")) == 2, "a new worker")
    assert policies(gateway, "worker") == {of_workers}


def test_readiness_comes_after_the_box_office(make_gateway):
    """readyz never says yes before a purchase could work."""
    gateway = make_gateway()
    gateway.process = gateway.spawn()
    wait_for(gateway.is_ready, "readiness")
    for _ in range(20):
        assert gateway.client.get("/api/v1/events").status == 200


def test_systemd_notification(make_gateway):
    import socket as s
    gateway = make_gateway(base=plain_config())
    with s.socket(s.AF_UNIX, s.SOCK_DGRAM) as notify:
        notify.bind(gateway.path("notify"))
        notify.settimeout(20)
        gateway.process = gateway.spawn(env={"NOTIFY_SOCKET": gateway.path("notify")})
        seen = ""
        while "READY=1" not in seen:
            seen += notify.recv(4096).decode() + "\n"
        assert gateway.is_ready()
        gateway.process.send_signal(signal.SIGHUP)
        while "RELOADING=1" not in seen:
            seen += notify.recv(4096).decode() + "\n"
        gateway.process.send_signal(signal.SIGTERM)
        while "STOPPING=1" not in seen:
            seen += notify.recv(4096).decode() + "\n"
    gateway.process.wait(20)


def test_stop_under_load(plain):
    """Stopping while hundreds of connections ask: it ends, cleanly and soon."""
    stop = threading.Event()

    def ask():
        while not stop.is_set():
            try:
                with plain.client.connect() as c:
                    for _ in range(100):
                        c.send(compose("GET", "/hello", None, None, "a"))
                        c.response()
            except OSError:
                return

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for t in threads:
        t.start()
    time.sleep(0.3)
    plain.process.send_signal(signal.SIGQUIT)
    try:
        assert plain.process.wait(20) == 0
    finally:
        stop.set()
        for t in threads:
            t.join()


def test_version_and_help():
    for program, option in (("rushgate", "-v"), ("rushgate", "-h"), ("boxoffice", "--help"),
                            ("stampede", "--help"), ("rushctl", "version"), ("rushctl", "help")):
        done = subprocess.run([os.path.join(BUILD, program), option], capture_output=True, text=True,
                              timeout=60)
        assert done.returncode == 0 and done.stdout, (program, option, done)
    done = subprocess.run([os.path.join(BUILD, "rushgate"), "--nonsense"], capture_output=True,
                          timeout=60)
    assert done.returncode == 2


def connect_until(gateway, refused, seconds=5):
    """Until a connection is refused, or accepted and served."""
    def outcome():
        try:
            return gateway.client.get("/hello").status == 200 and not refused
        except ConnectionRefusedError:
            return refused
        except OSError:
            return False
    wait_for(outcome, "a refusal" if refused else "an answer", seconds)


def slow_request(gateway):
    """A connection with a request in progress, and what completes it."""
    body = b'{"item":"standard"}'
    busy = gateway.client.connect()
    busy.send(b"POST /api/v1/events/demo/orders HTTP/1.1\r\nHost: a\r\nX-User-Id: ann\r\n"
              b"Idempotency-Key: k\r\nContent-Length: %d\r\n\r\n" % len(body) + body[:5])
    wait_for(lambda: sum(r["requests"] or 0 for r in gateway.ctl_json("show", "workers")["data"]),
             "the request to be seen")
    return busy, body[5:]


def test_quit_refuses_new_clients_at_once(gateway):
    """They must go elsewhere instead of waiting in a queue that nobody serves."""
    gateway.create_event("demo")
    busy, rest = slow_request(gateway)
    gateway.process.send_signal(signal.SIGQUIT)
    connect_until(gateway, refused=True)
    assert gateway.process.poll() is None
    with pytest.raises(ConnectionRefusedError):
        gateway.client.get("/hello")
    busy.send(rest)
    assert busy.response().status == 201
    assert gateway.process.wait(20) == 0


def test_quit_after_winch_refuses_too(gateway):
    gateway.create_event("demo")
    busy, rest = slow_request(gateway)
    gateway.process.send_signal(signal.SIGWINCH)
    wait_for(lambda: gateway.ctl_json("status")["data"]["state"] == "draining", "the drain")
    gateway.process.send_signal(signal.SIGQUIT)
    connect_until(gateway, refused=True)
    busy.send(rest)
    assert busy.response().status == 201
    assert gateway.process.wait(20) == 0


def test_reload_ends_a_drain_that_is_not_over(gateway):
    """Old requests hold their workers for up to drain_timeout; service must not wait for them."""
    gateway.create_event("demo")
    slow = [slow_request(gateway) for _ in range(4)]
    workers = gateway.processes("worker")
    gateway.process.send_signal(signal.SIGWINCH)
    wait_for(lambda: not gateway.is_ready(), "readyz to say no")
    waiting = gateway.client.connect()
    waiting.send(compose("GET", "/hello", None, None, "a"))  # queued: it is served afterwards
    start = time.monotonic()
    gateway.ctl("reload")
    connect_until(gateway, refused=False)
    assert waiting.response().status == 200
    wait_for(gateway.is_ready, "readyz to say yes")
    assert SHORT or time.monotonic() - start < 5
    # Whoever had a request kept its process.
    assert set(gateway.processes("worker")) & set(workers)
    for busy, rest in slow:
        busy.send(rest)
        assert busy.response().status in (200, 201)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_run_directory_stays_roots(make_gateway):
    """The service's user cannot put another number into the pid file's place."""
    gateway = make_gateway({"user": "nobody"}).start()
    run = os.stat(gateway.path("run"))
    assert run.st_uid == 0 and stat.S_IMODE(run.st_mode) == 0o755
    for name in ("rushgate.pid", "rushgate.pid.children", "rushgate.sock"):
        assert os.stat(gateway.path("run", name)).st_uid == 0
    assert os.stat(gateway.path("log")).st_uid != 0
    # The documented address of the box office works all the same, also after it was killed.
    assert os.path.islink(gateway.path("run", "boxoffice.sock"))
    gateway.create_event("demo")
    assert gateway.buy("ann").status == 201
    gateway.kill_and_wait("boxoffice")
    wait_for(lambda: gateway.buy("bob").status == 201, "the successor to sell")
    gateway.stop()
    assert not os.path.lexists(gateway.path("run", "boxoffice.sock"))
    gateway.errors_expected = True


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_log_that_became_a_pipe_does_not_stop_the_master(make_gateway):
    gateway = make_gateway({"user": "nobody"}, base=plain_config()).start()
    error = gateway.path("log", "error.log")
    os.unlink(error)
    os.mkfifo(error, 0o600)
    os.chown(error, os.stat(gateway.path("log")).st_uid, -1)
    gateway.ctl("reopen", check=1)
    assert gateway.ctl_json("status")["data"]["state"] == "running"
    os.unlink(error)
    gateway.ctl("reopen")
    assert os.stat(error).st_uid == os.stat(gateway.path("log")).st_uid
    gateway.errors_expected = True


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_unknown_user_is_fatal(make_gateway):
    """A name that was written down and does not exist must not mean root."""
    for config in ({"user": "rushgat"}, {"user": "nobody", "group": "no-such-group"}):
        gateway = make_gateway(config, base=plain_config())
        status, text = gateway.check_config()
        assert status == 1 and (config.get("group") or config["user"]) in text
        assert gateway.spawn().wait(20) == 1
        assert not gateway.all_processes()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_default_user_may_be_missing(make_gateway):
    gateway = make_gateway(base=plain_config())
    del gateway.config["user"]
    gateway.write_config()
    status, text = gateway.check_config()
    assert status == 0
    import pwd
    if "rushgate" not in (p.pw_name for p in pwd.getpwall()):
        assert 'no user "rushgate"' in text


def test_logrotate_calls_a_command_that_exists(plain):
    with open(os.path.join(ROOT, "etc", "logrotate.d", "rushgate.in")) as f:
        command = re.search(r"@bindir@/rushctl ([a-z ]+?) >", f.read()).group(1)
    os.rename(plain.path("log", "error.log"), plain.path("log", "error.log.1"))
    plain.ctl(*command.split())
    assert os.path.exists(plain.path("log", "error.log"))


def test_reopen_does_not_end_a_box_office_that_starts(make_gateway):
    """USR1 before its handler is there would have ended it. Here it waits for the store's owner."""
    gateway = make_gateway()
    os.makedirs(gateway.path("data"))
    owner = subprocess.Popen(
        [os.path.join(BUILD, "boxoffice"), "--listen", f"unix:{gateway.path('owner.sock')}",
         "--store", gateway.path("data", "boxoffice.db")], stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: os.path.exists(gateway.path("owner.sock")), "the owner")
        gateway.process = gateway.spawn()
        wait_for(lambda: [p for p in gateway.processes("boxoffice") if p != owner.pid],
                 "the box office")
        gateway.process.send_signal(signal.SIGUSR1)
        wait_for(lambda: gateway.ctl_json("status", check=None)["data"], "the master's next turn")
    finally:
        owner.terminate()
        owner.wait()
    gateway.wait_ready()
    rows = {r["process"]: r for r in gateway.ctl_json("show", "workers")["data"]}
    assert rows["boxoffice"]["starts"] == 1


def test_failed_start_keeps_the_orphans_on_the_list(make_gateway):
    """A master was killed, the next one cannot start: the one after that still ends the old workers."""
    gateway = make_gateway().start()
    old = gateway.processes("worker")
    gateway.process.kill()
    gateway.process.wait()
    good = gateway.config["boxoffice"]
    os.mkdir(gateway.path("not-a-file"))
    gateway.write_config({"boxoffice": {"store": gateway.path("not-a-file")}})
    assert gateway.spawn().wait(60) == 1
    assert set(gateway.processes("worker")) == set(old)
    del good["store"]
    gateway.write_config()
    gateway.start()
    wait_for(lambda: not any(process_alive(p) for p in old), "the old workers to go")
    assert gateway.client.get("/hello").status == 200
    gateway.errors_expected = True
