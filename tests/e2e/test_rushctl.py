# SPDX-License-Identifier: BSD-2-Clause
"""rushctl: tables for people, one JSON document for programs, exit codes that mean something."""

import json
import os
import re
import shlex
import shutil
import socket
import subprocess

import pytest

from gateway import BUILD, free_port, wait_for


def rushctl(*words):
    return subprocess.run([os.path.join(BUILD, "rushctl"), *words], capture_output=True, text=True,
                          timeout=60)


@pytest.mark.parametrize("words, schema", [
    (("status",), "rushgate.status/1"),
    (("show", "workers"), "rushgate.workers/1"),
    (("show", "routes"), "rushgate.routes/1"),
    (("show", "upstreams"), "rushgate.upstreams/1"),
    (("show", "sales"), "rushgate.sales/1"),
    (("show", "config"), "rushgate.config/1"),
    (("show", "config", "--origin"), "rushgate.config/1"),
])
def test_json_is_one_document(shared, words, schema):
    if words == ("show", "sales") and shared.client.get("/api/v1/events/seen").status == 404:
        shared.create_event("seen")
    done = shared.ctl("--json", *words)
    document = json.loads(done.stdout)  # all of it, or this fails
    assert document["schema"] == schema
    assert document["generation"] >= 1 and document["warnings"] == []
    assert document["data"] and document["time"].endswith("Z")


@pytest.mark.parametrize("words", [
    ("status",), ("show", "workers"), ("show", "routes"), ("show", "upstreams"), ("show", "sales"),
    ("show", "config"),
])
def test_tables_are_for_people(shared, words):
    if words == ("show", "sales") and shared.client.get("/api/v1/events/seen").status == 404:
        shared.create_event("seen")
    text = shared.ctl(*words).stdout
    assert len(text.splitlines()) >= 2
    assert "\x1b" not in text and "{" not in text.splitlines()[0]


def test_status(shared):
    data = shared.ctl_json("status")["data"]
    assert data["state"] == "running" and data["pid"] == shared.process.pid
    assert data["config"] == shared.file
    names = [p["process"] for p in data["processes"]]
    assert names == ["worker 0", "worker 1", "keeper", "boxoffice"]
    assert all(p["state"] == "ready" and p["starts"] == 1 for p in data["processes"])
    assert f"127.0.0.1:{shared.port}" in [row["address"] for row in data["listeners"]]


def test_show_routes_counts(shared):
    before = {r["route"]: r for r in shared.ctl_json("show", "routes")["data"]}
    shared.client.get("/hello")
    shared.client.get("/nowhere")

    def counted():
        after = {r["route"]: r for r in shared.ctl_json("show", "routes")["data"]}
        return after["hello"]["responses_2xx"] > before["hello"]["responses_2xx"] and \
            after["(none)"]["responses_4xx"] > before["(none)"]["responses_4xx"]
    wait_for(counted, "the counters")
    assert "boxoffice.CreateOrder" in before


def test_show_sales(shared):
    shared.create_event("figures", 10)
    shared.buy("ann", quantity=3, event="figures")
    row = next(r for r in shared.ctl_json("show", "sales")["data"] if r["event"] == "figures")
    assert (row["state"], row["quota"], row["held"], row["free"], row["sold"], row["oversold"]) == \
        ("open", 10, 3, 7, 0, 0)
    assert "figures" in shared.ctl("show", "sales").stdout


def test_show_config_origin(shared):
    rows = shared.ctl_json("show", "config", "--origin")["data"]
    text = json.dumps(rows)
    assert "rushgate.yaml" in text and "default" in text
    assert "ORIGIN" in shared.ctl("show", "config", "--origin").stdout
    assert "ORIGIN" not in shared.ctl("show", "config").stdout
    assert all("origin" not in row for row in shared.ctl_json("show", "config")["data"])


def test_show_upstreams(shared):
    def up():
        row = shared.ctl_json("show", "upstreams")["data"][0]
        return row["upstream"] == "boxoffice" and row["state"] == "up"
    wait_for(up, "the upstream to be seen up")


def test_sale_commands(shared):
    shared.create_event("steered")
    for word, state in (("pause", "paused"), ("resume", "open"), ("close", "closed"), ("open", "open")):
        data = shared.ctl_json("sale", word, "steered", "--reason", "a test")["data"]
        assert data["state"] == state
    assert "a test" in shared.error_log()


def test_a_closed_sale_stays_closed(shared):
    shared.create_event("over")
    shared.ctl("sale", "close", "over")
    for word in ("pause", "resume"):
        error = shared.ctl_json("sale", word, "over", check=1)["error"]
        assert error["code"] == "refused"
        assert error["message"] == 'the sale of over is closed; "sale open" opens it again'
        assert shared.ctl_json("show", "sales", "--filter", "event=over")["data"][0]["state"] == "closed"
    shared.ctl("sale", "close", "over")
    assert shared.ctl_json("sale", "open", "over")["data"]["state"] == "open"


def test_check_takes_the_file_of_the_daemon(shared, tmp_path):
    data = shared.ctl_json("check")["data"]
    assert data["file"] == shared.file
    done = shared.ctl("check")
    assert done.stdout.startswith(f"{shared.file}: ok (1 file, ")
    other = tmp_path / "other.yaml"
    other.write_text("workers: 1\n")
    assert shared.ctl_json("-c", str(other), "check")["data"]["file"] == str(other)


def test_errors_are_data_too(gateway):
    gateway.errors_expected = True
    with open(gateway.file, "w") as f:
        f.write("workers: 1\nnonsense: 1\n")
    for command in ("check", "reload"):
        error = gateway.ctl_json(command, check=5)["error"]
        row = error["errors"][0]
        assert row["file"] == gateway.file and row["line"] == 2 and row["column"] == 1
        assert "nonsense" in row["message"] and row["message"] in error["details"]


def test_help_is_a_document(shared):
    data = shared.ctl_json("help")["data"]
    assert "sale pause" in [c["command"] for c in data["commands"]]
    [workers] = shared.ctl_json("help", "show", "workers")["data"]["commands"]
    assert "ACTIVE" in [c["heading"] for c in workers["columns"]]
    assert shared.ctl_json("help", "nowhere", check=2)["error"]["code"] == "usage"
    assert "requests in progress now" in shared.ctl("help", "show", "workers").stdout


def test_reload_after_drain_waits_for_the_workers(gateway):
    gateway.ctl("drain")
    data = gateway.ctl_json("reload")["data"]
    assert (data["processes_on_it"], data["processes_total"]) == (3, 3)


def test_master_is_gone(make_gateway):
    gateway = make_gateway().start()
    gateway.exit_expected = -9
    gateway.errors_expected = True
    gateway.process.kill()
    gateway.process.wait(10)
    error = gateway.ctl_json("status", check=3)["error"]
    assert error["code"] == "not_running"
    assert "the master is gone" in error["message"] and "2 workers may still serve" in error["message"]
    for pid in gateway.all_processes():
        os.kill(pid, 15)
    wait_for(lambda: not gateway.all_processes(), "the orphans to end")
    assert "rushgate is not running" in gateway.ctl_json("status", check=3)["error"]["message"]


def test_file_of_c_is_missing(shared):
    done = rushctl("-p", shared.prefix, "-c", "/nope.yaml", "status")
    assert done.returncode == 2 and "/nope.yaml" in done.stderr


# ---- exit codes ----

def test_exit_1_refused(plain):
    assert plain.ctl_json("show", "sales", check=1)["error"]["code"] == "refused"


@pytest.mark.parametrize("words", [
    ("frobnicate",), ("show",), ("show", "everything"), ("sale", "pause"), ("status", "extra"),
    ("--nonsense", "status"), ("reload", "--wait", "soon"), ("completion", "tcsh"),
])
def test_exit_2_usage(shared, words):
    done = shared.ctl(*words, check=2)
    assert done.stderr and not done.stdout


def test_exit_3_not_running(tmp_path):
    assert rushctl("-s", str(tmp_path / "none.sock"), "status").returncode == 3
    stale = tmp_path / "stale.sock"
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(stale))
    done = rushctl("-s", str(stale), "--json", "status")
    assert done.returncode == 3 and json.loads(done.stdout)["error"]["code"] == "not_running"


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("setpriv") is None,
                    reason="needs root and setpriv")
def test_exit_4_permission(make_gateway):
    gateway = make_gateway({"admin": {"socket_mode": "0666"}}).start()
    os.chmod(gateway.path("run"), 0o755)
    # The build directory need not be readable for somebody else.
    program = shutil.copy(os.path.join(BUILD, "rushctl"), gateway.path("rushctl"))
    command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", program, "-s",
               gateway.path("run", "rushgate.sock")]
    look = subprocess.run(command + ["status"], capture_output=True, text=True, timeout=60)
    assert look.returncode == 0, look
    done = subprocess.run(command + ["--json", "reload"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 4 and json.loads(done.stdout)["error"]["code"] == "permission"
    assert gateway.process.poll() is None
    os.chmod(gateway.path("run", "rushgate.sock"), 0o600)
    assert subprocess.run(command + ["status"], capture_output=True, timeout=60).returncode == 4


def test_exit_5_invalid(tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_text("worker: 2\n")
    done = rushctl("check", str(bad))
    assert done.returncode == 5
    assert f"{bad}:1:1: error:" in done.stdout + done.stderr


def test_exit_7_not_found(shared):
    document = shared.ctl_json("sale", "pause", "nowhere", check=7)
    assert document["schema"] == "rushgate.error/1"
    assert document["error"]["code"] == "not_found" and "nowhere" in document["error"]["message"]


def test_stop(gateway):
    gateway.ctl("stop")
    assert gateway.process.wait(20) == 0
    gateway.ctl("status", check=3)


def test_drain(plain):
    plain.ctl("drain")
    wait_for(lambda: not plain.processes("worker"), "the workers to go")
    assert plain.ctl_json("status")["data"]["state"] == "draining"


# ---- completion ----

@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(tmp_path, shell):
    done = rushctl("completion", shell)
    assert done.returncode == 0 and "rushctl" in done.stdout
    if shutil.which(shell):
        script = tmp_path / "completion"
        script.write_text(done.stdout)
        assert subprocess.run([shell, "-n", str(script)], timeout=60).returncode == 0


def test_completion_words(shared):
    assert "show" in rushctl("__complete", "--", "sh").stdout.split()
    assert "workers" in rushctl("__complete", "--", "show", "w").stdout.split()
    shared.create_event("completed")
    sock = shared.path("run", "rushgate.sock")
    words = rushctl("__complete", "--", "-s", sock, "sale", "pause", "comp").stdout.split()
    assert words == ["completed"]


def test_control_socket_is_not_for_everyone(shared):
    assert os.stat(shared.path("run", "rushgate.sock")).st_mode & 0o007 == 0


def test_socket_takes_nonsense(shared):
    """Whatever is written to the socket, the daemon stays."""
    for data in (b"\n", b"hello\n", b"{}\n", b'{"v":1}\n', b'{"v":1,"argv":"x"}\n',
                 b'{"v":9,"argv":["status"]}\n', b"[" * 10000 + b"\n", b"x" * 200000, b"\0\xff\n"):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(5)
            s.connect(shared.path("run", "rushgate.sock"))
            try:
                s.sendall(data)
                s.shutdown(socket.SHUT_WR)
                answer = s.recv(65536)
            except (BrokenPipeError, ConnectionResetError):
                continue
            if answer:
                assert "error" in json.loads(answer)
    assert shared.ctl_json("status")["data"]["state"] == "running"


def rates_by_view():
    """The rates that columns.def declares; what a command shows must have them."""
    with open(os.path.join(os.path.dirname(__file__), "../../src/ctl/columns.def"), encoding="utf-8") as f:
        rows = re.findall(r'^COLUMN\("(\w+)", "(\w+)", "[^"]*", RATE,', f.read(), re.M)
    return {view: [field for v, field in rows if v == view] for view, _ in rows}


@pytest.fixture
def busy(make_gateway):
    """Something to show in every view that has rates."""
    g = make_gateway({
        "limits": {"many": {"key": "constant", "rate": "1000/s"}},
        "redis": {"servers": [f"127.0.0.1:{free_port()}"]},
        "splits": {"colour": {"arms": {"A": {"weight": 1}, "B": {"weight": 1}}}},
    })
    g.config["upstreams"]["boxoffice"]["concurrency"] = {"mode": "fixed", "max": 100}
    g.config["routes"].append({"name": "hit", "match": {"path": "/hit"}, "limits": ["many"],
                               "split": "colour", "respond": {"status": 200}})
    g.write_config()
    g.start()
    g.create_event("seen")
    g.ctl("ban", "add", "203.0.113.1")
    return g


def test_watch_shows_every_rate(busy):
    views = rates_by_view()
    assert len(views) >= 7
    for view, fields in views.items():
        watch = subprocess.Popen([os.path.join(BUILD, "rushctl"), "-s", busy.path("run", "rushgate.sock"),
                                  "--json", "--watch=0.1", "show", view], stdout=subprocess.PIPE, text=True)
        try:
            first, second = (json.loads(watch.stdout.readline()) for _ in range(2))
        finally:
            watch.kill()
            watch.wait()
            watch.stdout.close()
        assert first["data"] and second["data"], view
        for field in fields:
            assert [row[field] for row in first["data"]] == [None] * len(first["data"]), (view, field)
            assert all(row[field] >= 0 for row in second["data"]), (view, field)


# Sends the descriptor of a TCP socket whose last close() waits a minute for a peer that does not read.
LINGERING = """
import array, ctypes, socket, struct, sys
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen()
held = socket.create_connection(listener.getsockname())
deaf, _ = listener.accept()
held.setblocking(False)
try:
    while True:
        held.send(b"x" * 65536)
except BlockingIOError:
    pass
held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 60))
control = socket.socket(socket.AF_UNIX)
control.connect(sys.argv[1])
try:
    control.sendmsg([b"{"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [held.fileno()]))])
    held.close()  # the daemon's is the last one
    print("sent", flush=True)
except PermissionError:
    print("refused", flush=True)
control.close()
sys.stdin.read()  # deaf stays open
"""


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("setpriv") is None,
                    reason="needs root and setpriv")
def test_strangers_cannot_hold_the_master_by_a_descriptor(make_gateway):
    gateway = make_gateway({"admin": {"socket_mode": "0666"}}).start()
    if "cannot refuse descriptors" in gateway.error_log():
        pytest.skip("the kernel is older than 6.16")
    os.chmod(gateway.path("run"), 0o755)
    stranger = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    socket_file = gateway.path("run", "rushgate.sock")
    with subprocess.Popen(stranger + ["/usr/bin/python3", "-c", LINGERING, socket_file], text=True,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as attacker:
        told = attacker.stdout.readline()
        gateway.ctl("status")
        attacker.stdin.close()
    assert told == "refused\n"
    # Who may operate sends one as ever; who may not is told so.
    with open(gateway.path("list"), "w") as f:
        f.write("192.0.2.7\n")
    for _ in range(20):
        gateway.ctl("ban", "load", gateway.path("list"))
    os.chmod(gateway.path("list"), 0o644)
    program = shutil.copy(os.path.join(BUILD, "rushctl"), gateway.path("rushctl"))
    done = subprocess.run(stranger + [program, "-s", socket_file, "--json", "ban", "load", "-"],
                          input="192.0.2.8\n", capture_output=True, text=True, timeout=60)
    assert done.returncode == 4 and json.loads(done.stdout)["error"]["code"] == "permission", done


def manual_examples():
    with open(os.path.join(os.path.dirname(__file__), "..", "..", "docs", "rushctl.1")) as f:
        text = f.read().partition("\n.SH EXAMPLES\n")[2].partition("\n.SH ")[0]
    return [line for line in text.replace("\\-", "-").replace("\\e", "\\").splitlines() if line.startswith("rushctl ")]


def test_examples_of_the_manual_are_commands():
    """Each is understood: nobody answers (3), and none is a usage error (2)."""
    lines = manual_examples()
    assert len(lines) > 15
    for line in lines:
        words = shlex.split(line.replace("--watch 2 ", ""))[1:]
        done = rushctl("-s", "/nonexistent/rushgate.sock", *words)
        assert done.returncode == 3 or words[0] == "check" and done.returncode in (0, 5), (line, done.stderr)
    for command in ("status", "show limits", "limit set", "ban add", "--canary", "config rollback", "upgrade"):
        assert any(command in line for line in lines), command


@pytest.mark.parametrize("words", [[], ["limit", "set"], ["show"], ["explain"]], ids=" ".join)
def test_help_fits_a_terminal(words):
    text = rushctl("help", *words).stdout
    assert text and max(map(len, text.splitlines())) <= 80, max(text.splitlines(), key=len)
