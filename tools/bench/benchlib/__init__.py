# SPDX-License-Identifier: BSD-2-Clause
"""What the scenarios of tools/bench share.

A scenario is a file tools/bench/scenario_NAME.py (or a package of that name); `run` finds it by its
file name. It holds

    \"\"\"One line: what is compared with what. The rest explains terms and limits.\"\"\"
    ORDER = 100                      # place in a whole run and on the page (optional)
    NEEDS = ["nginx", "wrk"]         # programs without which it is left out (see peers.PROGRAMS)
    CHECKS = ["tests/unit/x/tool"]   # check programs of the build it runs (made when missing)

    def run(ctx): ...                # measures, and hands rows to ctx.row(...) or ctx.compare(...)

A row is a figure of ours, mostly beside a peer's, judged by judge.py. What cannot be measured is a row,
too: ctx.left_out(what, why). An exception is a row that failed; so is a load whose answers are not the
ones expected (load.py checks the counts of statuses of every run).

    processes.py  children, ports, and what /proc says about them
    peers.py      nginx, HAProxy, h2o, Envoy, Redis, MariaDB under a private directory
    gateway.py    rushgate under a private prefix
    load.py       wrk, h2load, stampede, and a client that sends a fixed number of requests
    counting.py   instructions and allocations by callgrind, system calls by strace
    hold.py       a child that holds idle connections
    waker.py      a child that only sleeps and wakes: the machine's own lateness
    measure.py    the context of a scenario; alternation, medians, spread
    judge.py      rows and verdicts
    machine.py    processor, disk, versions
    report.py     table and JSON;  svg.py  bars;  page.py  docs/benchmarks.md
"""
