# SPDX-License-Identifier: BSD-2-Clause
"""Counts that do not depend on the day: instructions and calls by callgrind, system calls by strace."""

import collections
import glob
import os
import re
import signal
import subprocess
import time

from . import peers, processes

# ---- callgrind ------------------------------------------------------------------------------------

ALLOCATORS = ("malloc", "calloc", "realloc", "memalign", "posix_memalign", "aligned_alloc")


def callgrind(directory):
    """Words to put before a program: every process of it writes directory/cg.PID when it ends."""
    return [
        peers.find("valgrind"), "--tool=callgrind", "--trace-children=yes", f"--callgrind-out-file={directory}/cg.%p",
        f"--log-file={directory}/valgrind.%p", "--",
    ]  # fmt: skip


def parse_callgrind(lines):
    """(program, instructions, {function: times it was called}) of one file."""
    names, calls, total = {}, collections.Counter(), 0
    program = callee = None
    for line in lines:
        if line.startswith(("cfn=", "fn=")):
            m = re.match(r"c?fn=\((\d+)\)(?: (.*))?", line)
            if m.group(2):
                names[m.group(1)] = m.group(2).strip()
            if line.startswith("cfn="):
                callee = m.group(1)
        elif line.startswith("calls="):
            calls[callee] += int(line[6:].split()[0])
        elif line.startswith("cmd:"):
            program = os.path.basename(line.split()[1])
        elif line.startswith(("summary:", "totals:")) and total == 0:
            total = int(line.split()[1])
    named = collections.Counter()
    for number, n in calls.items():
        named[names.get(number, "?").partition("'")[0]] += n  # 'n: a recursion level
    return program, total, named


def counted(directory):
    """{program: [instructions, allocations]} of all processes that ended."""
    out = {}
    for path in glob.glob(f"{directory}/cg.*"):
        with open(path, errors="replace") as f:
            program, total, calls = parse_callgrind(f)
        sums = out.setdefault(program, [0, 0])
        sums[0] += total
        sums[1] += sum(calls[name] for name in ALLOCATORS)
    return out


def per_request(start, load, few, many):
    """{program: (instructions, allocations)} of a request: the difference of a run of few and one of many.

    start(name, callgrind) gives a server under callgrind; load(server, rounds) the number of requests it
    sent."""
    got = []
    for rounds in (few, many):
        server = start(f"counted-{rounds}", callgrind)
        n = load(server, rounds)
        server.stop()
        counts = counted(server.dir)
        if not counts:
            raise RuntimeError(f"callgrind counted nothing: {server.output()}")
        got.append((n, counts))
    (n1, few_counts), (n2, many_counts) = got
    out = {}
    for program, (instructions, allocations) in many_counts.items():
        i, a = few_counts[program]
        # A table that doubles in one run and not in the other is some hundredths of an allocation.
        out[program] = ((instructions - i) / (n2 - n1), max(0.0, round((allocations - a) / (n2 - n1), 1)))
    return out


# ---- strace ---------------------------------------------------------------------------------------


def parse_strace(text):
    """{system call: times} of `strace -c`."""
    calls = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 5 and re.fullmatch(r"[\d.]+", words[0]) and words[3].isdigit() and words[-1] != "total":
            calls[words[-1]] = int(words[3])
    return calls


def system_calls(ctx, pids, load):
    """({system call: times a request}, Load) of processes while load() runs."""
    out = os.path.join(ctx.dir, f"strace-{time.monotonic_ns()}")
    words = [peers.find("strace"), "-c", "-f", "-o", out]
    for p in pids:
        words += ["-p", str(p)]
    tracer = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    try:
        processes.wait_for(lambda: all(traced(p) for p in pids), "strace to attach")
        got = load()
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait()
    with open(out) as f:
        calls = parse_strace(f.read())
    if not calls:
        raise RuntimeError("strace counted nothing")
    return {name: n / got.answers for name, n in calls.items()}, got


def traced(pid):
    with open(f"/proc/{pid}/status") as f:
        return not re.search(r"^TracerPid:\t0$", f.read(), re.MULTILINE)
