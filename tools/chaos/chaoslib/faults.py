# SPDX-License-Identifier: BSD-2-Clause
"""The faults: a line of FAULTS each, and a function that does it.

A function gets the world and the step and returns what came of it, one phrase, and where that is not the
moment of its return, since when all is healed (mono ns): a purchase asked for from then on must succeed
soon. Faults of one lane never overlap; those of different lanes do.
"""

import errno
import json
import os
import random
import signal
import subprocess
import time
from dataclasses import dataclass
from typing import Callable

from . import sockets
from .world import BUILD, process_alive


@dataclass
class Fault:
    lane: str
    shortest_s: float
    longest_s: float
    do: Callable
    what: str
    lacks: Callable = lambda world: None  # why it cannot be had here


def _rng(step):
    """Choices within a step follow from its pick."""
    return random.Random(f"step {step.pick}")


# ---- processes: killed, stopped, drained ----


def _victim(world, role, step):
    end = time.monotonic() + 5
    while time.monotonic() < end:
        found = world.pid_of(role, step.pick)
        if found:
            return found
        time.sleep(0.02)
    return None


def _kill(role):
    def do(world, step):
        found, killed = _victim(world, role, step), time.monotonic_ns()
        if found is None or not world.signal(found[1], signal.SIGKILL):
            return "nobody there"
        return f"{found[0]} ({found[1]})", killed
    return do


def kill_master(world, step):
    """It stays away for as long as the step lasts."""
    process = world.gateway.process
    world.pause_s = step.lasts_s
    process.kill()
    _wait(lambda: world.gateway.process is not process, step.lasts_s + 5)
    return f"master ({process.pid}), away for {step.lasts_s:.1f} s", world.spawned_ns


def kill_all(world, step):
    """As the kernel does to a whole group that is out of memory."""
    process = world.gateway.process
    world.pause_s = step.lasts_s
    pids = [pid for _, pid in world.processes()]
    for pid in [process.pid, *pids]:
        world.signal(pid, signal.SIGKILL)
    _wait(lambda: world.gateway.process is not process, step.lasts_s + 5)
    return f"{len(set(pids) | {process.pid})} processes, away for {step.lasts_s:.1f} s", world.spawned_ns


def _settle(world):
    """Until there is one master, and it is the one we know; True when that is so."""
    def settled():
        masters = [pid for name, pid in world.processes() if name == "master"]
        if world.gateway.process.poll() is not None or masters != [world.gateway.process.pid]:
            world.follow()
            return False
        return True
    return _wait(settled, 10)


def _wait(condition, seconds):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def _stop(role):
    def do(world, step):
        found = _victim(world, role, step)
        if found is None or not world.signal(found[1], signal.SIGSTOP):
            return "nobody there"
        try:
            time.sleep(step.lasts_s)
        finally:
            world.signal(found[1], signal.SIGCONT)
        return f"{found[0]} ({found[1]})" + ("" if process_alive(found[1]) else ", killed meanwhile")
    return do


def drain(world, step):
    """The workers leave, and a reload brings them back."""
    world.signal(world.gateway.process.pid, signal.SIGWINCH)
    time.sleep(step.lasts_s)
    code, text = world.ctl("reload")
    if code != 0:
        world.signal(world.gateway.process.pid, signal.SIGHUP)
    return _told(code, text)


def upgrade(world, step):
    code, text = world.ctl("upgrade", timeout=40)
    _settle(world)
    return _told(code, text)


def upgrade_killed(world, step):
    """Of the two masters of an upgrade one is killed: no later than after lasts_s."""
    before = world.gateway.process.pid
    command = subprocess.Popen([os.path.join(BUILD, "rushctl"), "-s", world.gateway.path("run", "rushgate.sock"), "upgrade"],
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(step.lasts_s)
    masters = [pid for name, pid in world.processes() if name == "master"]
    which = before if step.pick < 0.5 else max(masters, default=before)
    world.signal(which, signal.SIGKILL)
    try:
        command.wait(40)
    except subprocess.TimeoutExpired:
        command.kill()
        command.wait()
    _settle(world)
    return f"{'old' if which == before else 'new'} master of {len(masters)} killed; rushctl exit {command.returncode}"


def restart_boxoffice(world, step):
    return _told(*world.ctl("restart", "boxoffice"))


# ---- the disk ----


def disk_full(world, step):
    if not world.mounted:
        world.shim.set("write_errno", errno.ENOSPC)
        time.sleep(step.lasts_s)
        world.shim.set("write_errno", 0)
        return "every write refused"
    for room in (0, 1, 4, 16, 64):  # it grows while we look
        if world.resize_disk(max(4096, world.disk_used() + room * 4096)):
            break
    else:
        return "it could not be filled"
    time.sleep(step.lasts_s)
    world.resize_disk(world.store_bytes)
    return f"full at {world.disk_used() >> 10} KiB"


def _shim_for(field, value, text):
    def do(world, step):
        amount = value(step) if callable(value) else value
        world.shim.set(field, amount)
        try:
            time.sleep(step.lasts_s)
        finally:
            world.shim.set(field, 0)
        return text.format(amount)
    return do


def store_reader(world, step):
    """Reads a snapshot for all of the time, so that the log cannot begin anew; and the store's own check."""
    import sqlite3

    path = world.gateway.path("data", "boxoffice.db")
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)
    try:
        db.execute("BEGIN")
        orders = db.execute("SELECT count(*) FROM orders").fetchone()[0]
        done = subprocess.run([os.path.join(BUILD, "boxoffice"), "--check", "--store", path],
                              capture_output=True, text=True, timeout=60)
        time.sleep(step.lasts_s)
    except sqlite3.Error as e:
        return f"cannot be read: {e}"
    finally:
        db.close()
    if done.returncode != 0 and "violation" in done.stdout:
        world.problems.append(f"boxoffice --check while it runs: {done.stdout.strip()[:500]}")
    return f"{orders} orders; {(done.stdout + done.stderr).strip().rsplit(': ', 1)[-1]}"


# ---- the clock ----


def _clock_ns(sign):
    return lambda step: int(sign * (1 + step.pick * 3599) * 10**9)


# ---- the network ----


def _cut(upstream):
    def do(world, step):
        rng, n = _rng(step), 0
        end = time.monotonic() + step.lasts_s
        while True:
            for name, pid in world.processes():
                if name.startswith("worker"):
                    try:
                        n += sockets.cut(pid, 0.2 + 0.8 * step.pick, rng, None if upstream else world.gateway.port,
                                         reset=rng.random() < 0.5)
                    except OSError:
                        pass  # it ended meanwhile
            if time.monotonic() >= end:
                return f"{n} connections"
            time.sleep(0.1)
    return do


# ---- what an operator does ----


def _told(code, text):
    if code == 0:
        return "done"
    first = text.splitlines()[0] if text else ""
    return f"exit {code}: {first[:90]}"


def _ctl(*words):
    def do(world, step):
        return _told(*world.ctl(*words, "--reason", "chaos"))
    return do


def reload_storm(world, step):
    rng, done, failed = _rng(step), 0, ""
    end = time.monotonic() + step.lasts_s
    while time.monotonic() < end:
        if rng.random() < 0.4:
            world.signal(world.gateway.process.pid, signal.SIGHUP)
            time.sleep(rng.uniform(0, 0.05))
            continue
        code, text = world.ctl("reload")
        done += code == 0
        failed = failed if code == 0 else ", " + _told(code, text)
    return f"{done} reloads answered{failed}"


def _configure(world, text):
    with open(world.gateway.file, "w") as f:
        f.write(text)


def _variant(world, step):
    """Another configuration that is as good."""
    config = json.loads(world.text)
    config["drain_timeout"] = f"{6 + int(step.pick * 10)}s"
    return json.dumps(config)


def broken_config(world, step):
    """What is broken is refused, and what was in force stays."""
    cut_short = world.text[:int(len(world.text) * (0.1 + 0.8 * step.pick))]
    broken = ["listen: [", "workers: 0\n", "routes: [{name: x, match: {path: /y}}]\n", cut_short][int(step.pick * 16) % 4]
    _configure(world, broken)
    try:
        code, text = world.ctl("reload")
        time.sleep(step.lasts_s)
    finally:
        _configure(world, world.text)
    if code == 0:
        world.problems.append(f"a configuration that says {broken[-40:]!r} was taken")
        world.ctl("reload")
    return _told(code, text)


def rollback(world, step):
    """To another configuration and back from it."""
    _configure(world, _variant(world, step))
    try:
        world.ctl("reload", "--reason", "chaos")
        time.sleep(step.lasts_s)
    finally:
        _configure(world, world.text)
    return _told(*world.ctl("config", "rollback", "--reason", "chaos"))


def canary(world, step):
    """Another configuration for a share of the buyers; then for all or for none."""
    _configure(world, _variant(world, step))
    try:
        began = _told(*world.ctl("reload", "--canary", f"{1 + int(step.pick * 98)}%", "--reason", "chaos"))
        time.sleep(step.lasts_s)
        words = ("config", "promote") if step.pick < 0.5 else ("config", "rollback")
        ended = _told(*world.ctl(*words, "--reason", "chaos")) if began == "done" else "not ended"
    finally:
        _configure(world, world.text)
    world.ctl("reload", "--force")
    return f"{began}; {words[1]}: {ended}"


def changes(world, step):
    """A limit and a setting, each for a while; a ban of somebody else."""
    words = [("limit", "set", "per_buyer", "900/s", "--for", "2s", "--reason", "chaos"),
             ("set", "http.max_body", "32k", "--for", "2s", "--reason", "chaos"),
             ("ban", "add", "192.0.2.7", "--for", "2s", "--reason", "chaos")]
    results = [_told(*world.ctl(*w)) for w in words]
    return ", ".join(dict.fromkeys(results))


def logs(world, step):
    """Moved away and opened again, as logrotate does."""
    folder = world.gateway.path("log")
    for name in os.listdir(folder):
        if name.endswith(".log"):
            os.replace(os.path.join(folder, name), os.path.join(folder, f"old-{time.monotonic_ns()}-{name}"))
    world.signal(world.gateway.process.pid, signal.SIGUSR1)
    return "moved"


def pause_sale(world, step):
    events = list(world.events)
    if not events:
        return "no sale"
    event = events[int(step.pick * len(events)) % len(events)]
    result = _told(*world.ctl("sale", "pause", event, "--reason", "chaos"))
    time.sleep(step.lasts_s)
    for _ in range(40):  # nobody resumes it otherwise
        code, text = world.ctl("sale", "resume", event, "--reason", "chaos")
        if code == 0:
            return result
        time.sleep(0.25)
    world.problems.append(f"{event} could not be resumed: {text}")
    return result


def _no_shim(world):
    return world.shim.missing


def _no_disk(world):
    return None if world.mounted else world.shim.missing


def _no_cutting(world):
    return sockets.possible()


def _no_command(*words):
    def lacks(world):
        done = world.gateway.ctl("help", *words, check=None)
        return None if done.returncode == 0 else f"rushctl has no {' '.join(words)}"
    return lacks


FAULTS = {
    "kill-worker": Fault("process", 0, 0, _kill("worker"), "kill -9 of a worker"),
    "kill-keeper": Fault("process", 0, 0, _kill("keeper"), "kill -9 of the keeper"),
    "kill-boxoffice": Fault("process", 0, 0, _kill("boxoffice"), "kill -9 of the box office"),
    "kill-master": Fault("process", 0.1, 2, kill_master, "kill -9 of the master, which is started again after a while"),
    "kill-all": Fault("process", 0.1, 1, kill_all, "kill -9 of every process at once; then a new start"),
    "stop-worker": Fault("process", 0.1, 5, _stop("worker"), "SIGSTOP, SIGCONT of a worker"),
    "stop-keeper": Fault("process", 0.1, 5, _stop("keeper"), "of the keeper"),
    "stop-boxoffice": Fault("process", 0.1, 5, _stop("boxoffice"), "of the box office"),
    "stop-master": Fault("process", 0.1, 5, _stop("master"), "of the master"),
    "drain": Fault("process", 0.1, 2, drain, "WINCH: the workers leave; then reload"),
    "upgrade": Fault("process", 0, 0, upgrade, "rushctl upgrade", _no_command("upgrade")),
    "upgrade-killed": Fault("process", 0, 0.05, upgrade_killed, "kill -9 of the old or the new master in an upgrade",
                            _no_command("upgrade")),
    "restart-boxoffice": Fault("process", 0, 0, restart_boxoffice, "rushctl restart boxoffice", _no_command("restart")),
    "disk-full": Fault("disk", 0.2, 5, disk_full, "no room for the store", _no_disk),
    "fsync-slow": Fault("disk", 0.5, 4, _shim_for("sync_delay_ms", lambda s: int(5 + s.pick * 300), "{} ms each"),
                        "fsync takes 5 to 300 ms", _no_shim),
    "fsync-fails": Fault("disk", 0.05, 2, _shim_for("sync_errno", errno.EIO, "EIO"),
                         "fsync says EIO: outcomes are unknown to the store itself", _no_shim),
    "write-fails": Fault("disk", 0.05, 2, _shim_for("write_errno", errno.EIO, "EIO"), "write says EIO", _no_shim),
    "store-reader": Fault("disk", 0.2, 3, store_reader, "a long read of the store, and boxoffice --check beside it"),
    "clock-forward": Fault("clock", 0.3, 4, _shim_for("clock_ns", _clock_ns(1), "{} ns"),
                           "the wall clock jumps up to an hour ahead, and back", _no_shim),
    "clock-back": Fault("clock", 0.3, 4, _shim_for("clock_ns", _clock_ns(-1), "{} ns"),
                        "up to an hour back, and ahead again", _no_shim),
    "cut-clients": Fault("network", 0, 2, _cut(False), "connections of buyers are shut or reset", _no_cutting),
    "cut-boxoffice": Fault("network", 0, 2, _cut(True), "connections of workers to the box office", _no_cutting),
    "reload": Fault("control", 0, 0, _ctl("reload"), "rushctl reload"),
    "reload-storm": Fault("control", 0.5, 3, reload_storm, "reloads without a pause, by command and by HUP"),
    "broken-config": Fault("control", 0, 1, broken_config, "a broken configuration is refused"),
    "rollback": Fault("control", 0, 1, rollback, "a reload, and rushctl config rollback",
                      _no_command("config", "rollback")),
    "canary": Fault("control", 0.2, 2, canary, "reload --canary, then config promote or config rollback",
                    _no_command("config", "promote")),
    "changes": Fault("control", 0, 0, changes, "limit set, set and ban, each for 2 s"),
    "rotate-logs": Fault("control", 0, 0, logs, "log files are moved, USR1"),
    "pause-sale": Fault("control", 0.2, 1.5, pause_sale, "sale pause, sale resume"),
}
