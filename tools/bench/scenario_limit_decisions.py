# SPDX-License-Identifier: BSD-2-Clause
"""Decisions a second that two processes take on one key of the limit table."""

import scenario_limit_rates

ORDER = 31
CHECKS = scenario_limit_rates.CHECKS
TARGETS = {"strict": 10e6, "leased": 100e6, "denied": 10e6}


def run(ctx):
    for row in scenario_limit_rates.table("speed", str(ctx.seconds)):
        ctx.row(
            "decisions", case=row["decisions"], unit="M/s", ours=row["per_s"] / 1e6,
            target=TARGETS[row["decisions"]] / 1e6, of="at least",
        )  # fmt: skip
