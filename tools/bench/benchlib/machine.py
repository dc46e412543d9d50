# SPDX-License-Identifier: BSD-2-Clause
"""What the figures were measured on and with."""

import datetime
import os
import platform
import re
import statistics
import subprocess
import tempfile
import time

from . import gateway, peers, processes


def first(path, pattern, default="unknown"):
    try:
        with open(path) as f:
            m = re.search(pattern, f.read(), re.MULTILINE)
    except OSError:
        return default
    return m.group(1).strip() if m else default


def fdatasync_ms(where):
    """Median of 50 durable writes of 4 KB."""
    times = []
    with tempfile.TemporaryFile(dir=where) as f:
        for _ in range(50):
            os.write(f.fileno(), b"x" * 4096)
            start = time.monotonic()
            os.fdatasync(f.fileno())
            times.append(time.monotonic() - start)
    return round(statistics.median(times) * 1e3, 3)


def file_system(path):
    out = subprocess.run(["stat", "-f", "-c", "%T", path], capture_output=True, text=True).stdout
    return out.strip() or "unknown"


def stolen_s():
    """Processor time that the machine wanted and its host gave to others, since it was started."""
    return int(first("/proc/stat", r"^cpu +(?:\d+ ){7}(\d+)", "0")) / processes.TICK


def commit():
    out = subprocess.run(
        ["git", "-C", gateway.TOP, "describe", "--always", "--dirty"], capture_output=True, text=True
    )
    return out.stdout.strip() or "unknown"


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


def describe():
    where = os.environ.get("RUSHGATE_BENCH_DIR", "/var/tmp")
    kilobytes = first("/proc/meminfo", r"^MemTotal:\s+(\d+)", "0")
    return {
        "date": now(),
        "commit": commit(),
        "processor": first("/proc/cpuinfo", r"^model name\s*:\s*(.*)$"),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(int(kilobytes) / 1e6, 1),
        "kernel": platform.release().split("-")[0],
        "system": first("/etc/os-release", r'^PRETTY_NAME="?([^"\n]*)'),
        "file_system": file_system(where),
        "fdatasync_ms": fdatasync_ms(where),
        "load_before": round(os.getloadavg()[0], 2),
        "versions": {p: v for p in peers.PROGRAMS if (v := peers.version(p))},
    }
