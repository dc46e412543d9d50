# SPDX-License-Identifier: BSD-2-Clause
"""Durable purchase while every request is traced and logged, on both sides.

Every request has a trace id here anyway; logged is a JSON line a request. nginx writes its lines in blocks
of 64 KB, HAProxy to its standard output. No target: what tracing itself costs (at most 3 %) can be
measured when it can be turned off."""

import dataclasses

import scenario_purchase
from benchlib import gateway, load, measure

ORDER = 50
NEEDS = scenario_purchase.NEEDS


def run(ctx):
    ours, theirs = scenario_purchase.contenders(ctx, log=True)
    silent = ctx.start(gateway.Rushgate, name="rushgate-silent")
    silent.create_event("bench", 16_000_000)
    theirs = [dataclasses.replace(t, target=None) for t in theirs]
    theirs.append(measure.Contender("itself without a log", lambda: load.stampede(ctx, silent), [silent]))
    ctx.compare(ours, theirs, figures=[measure.CPU_PURCHASE])
    ctx.left_out("tracing every request, at most 3 %", "there is no gateway without trace ids to compare with")
