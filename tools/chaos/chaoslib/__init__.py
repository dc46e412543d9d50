# SPDX-License-Identifier: BSD-2-Clause
"""Parts of tools/chaos/run.

    plan.py      what happens when, from a seed
    faults.py    the faults: a line each
    world.py     the gateway and its box office, kept alive as a service manager would
    shim.py      their clock and their disk (../shim.c)
    sockets.py   cutting their connections
    sale.py      buyers, by way of stampede, and one who watches the stock
    history.py   what buyers asked and were told
    checker.py   whether that can be true
    verdict.py   recovery times, and the whole
"""
