# SPDX-License-Identifier: BSD-2-Clause
"""The wall clock and the disk of the processes under test: shim.c, built, preloaded, and told what to do."""

import mmap
import os
import shutil
import struct
import subprocess
import threading
import time

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LAYOUT = struct.Struct("=qiiii")  # struct orders in shim.c
FIELDS = ("clock_ns", "sync_delay_ms", "sync_errno", "write_errno", "spare")
OFFSETS = {"clock_ns": (0, "=q"), "sync_delay_ms": (8, "=i"), "sync_errno": (12, "=i"), "write_errno": (16, "=i")}


class Shim:
    """Of one run; `missing` says why there is none."""

    def __init__(self, folder):
        self.library = os.path.join(folder, "chaos-shim.so")
        self.file = os.path.join(folder, "chaos-orders")
        self.missing = None
        self.lock = threading.Lock()
        self.clock = []  # (from mono ns, to mono ns, offset ns): each as early and as late as it may have been
        with open(self.file, "wb") as f:
            f.write(bytes(LAYOUT.size))
        with open(self.file, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), LAYOUT.size)
        self._build()
        self._clock_from(0, 0)

    def _build(self):
        compiler = shutil.which("gcc") or shutil.which("cc")
        if compiler is None:
            self.missing = "no C compiler for shim.c"
            return
        done = subprocess.run(
            [compiler, "-O2", "-shared", "-fPIC", "-o", self.library, os.path.join(HERE, "shim.c"), "-ldl"],
            capture_output=True, text=True)
        if done.returncode != 0:
            self.missing = f"shim.c does not build: {done.stderr.strip()[:200]}"

    def environment(self):
        """For the processes under test. A sanitizer's runtime does not mind that it is not the first."""
        return {} if self.missing else {"LD_PRELOAD": self.library, "RUSHGATE_CHAOS": self.file}

    def set(self, field, value):
        offset, form = OFFSETS[field]
        with self.lock:
            before = time.monotonic_ns()
            struct.pack_into(form, self.map, offset, value)
            if field == "clock_ns":
                self._clock_from(before, value)

    def _clock_from(self, before_ns, offset_ns):
        if self.clock:
            begin, _, last = self.clock[-1]
            self.clock[-1] = (begin, time.monotonic_ns(), last)
        self.clock.append((before_ns, float("inf"), offset_ns))

    def ahead_s(self):
        """The most that the clock was ahead, in whole seconds."""
        return max(0, max(-(-offset // 10**9) for _, _, offset in self.clock))
