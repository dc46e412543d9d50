# SPDX-License-Identifier: BSD-2-Clause
"""A process that does nothing: waker.py CORE SECONDS LATE_MS. Bound to a core it sleeps to the next
millisecond, again and again ("ready" before), and says how often it was to wake, how often it was later
than that, and the worst (ms).

What it waits for is the scheduler and the machine below it: whoever is to act on that core within the
time is as late as this one."""

import json
import os
import sys
import time


def watch(seconds, late_s):
    due_n = late = 0
    worst, begin = 0.0, time.monotonic()
    due = begin + 0.001
    while due < begin + seconds:
        time.sleep(max(0.0, due - time.monotonic()))
        after = time.monotonic() - due
        due_n += 1
        late += after > late_s
        worst = max(worst, after)
        due += 0.001
    return {"due": due_n, "late": late, "worst_ms": worst * 1e3}


def main():
    os.sched_setaffinity(0, {int(sys.argv[1])})
    print("ready", flush=True)
    print(json.dumps(watch(float(sys.argv[2]), float(sys.argv[3]) / 1e3)))


if __name__ == "__main__":
    main()
