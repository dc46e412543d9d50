# SPDX-License-Identifier: BSD-2-Clause
"""Rows and verdicts. A row is one figure of ours, mostly beside one peer's."""

import dataclasses
import statistics

MET, SHORT, TOLD, LEFT_OUT, FAILED = "met", "short", "told", "left out", "failed"
# Short of its target, and within AT_FLOOR_SHARE of a server that does nothing: what is missing is the kernel's.
AT_FLOOR, AT_FLOOR_SHARE = "at the floor", 0.05


@dataclasses.dataclass
class Row:
    scenario: str
    what: str  # what is measured: "CPU per request", "p99"
    unit: str = ""
    case: str = ""  # which variant of the scenario, "" where there is one
    peer: str = ""  # "" where nothing stands beside it
    ours: float | None = None  # medians
    ours_low: float | None = None
    ours_high: float | None = None
    theirs: float | None = None
    theirs_low: float | None = None
    theirs_high: float | None = None
    ratio: float | None = None  # median of the pairs' ratios; more than 1: ours is better
    ratio_low: float | None = None
    ratio_high: float | None = None
    target: float | None = None
    of: str = "ratio"  # what the target is for: "ratio", "at most", "at least" (the latter of `ours`)
    pairs: int = 0
    ours_per_s: float | None = None
    theirs_per_s: float | None = None
    ours_generator: float | None = None  # processors that the generator used, 1.0: one of them
    theirs_generator: float | None = None
    floor: float | None = None  # what a server that does nothing costs, in ours: 1.0 is as cheap
    floor_ratio: float | None = None  # that server's ratio beside the same peer
    note: str = ""
    verdict: str = ""
    short_by: float | None = None  # share of the target

    def judged(self):
        """Fills in the verdict, unless it is known why there is none."""
        if not self.verdict:
            self.verdict, self.short_by = judge(self)
        return self

    def verdict_text(self):
        if self.verdict not in (SHORT, AT_FLOOR):
            return self.verdict
        return ("at the floor, " if self.verdict == AT_FLOOR else "") + short_text(self.short_by)


def short_text(by):
    if by >= 1:
        return f"short by {1 + by:.3g} x"
    if by < 0.001:
        return "short by less than 0.1%"
    return f"short by {by:.1%}" if by < 0.1 else f"short by {by:.0%}"


def judge(row):
    """(verdict, share of the target that is missing). "at most" misses what it is above, in targets."""
    if row.target is None:
        return TOLD, None
    value = row.ratio if row.of == "ratio" else row.ours
    missing = (value - row.target if row.of == "at most" else row.target - value) / row.target
    if missing <= 0:
        return MET, None
    return AT_FLOOR if row.floor is not None and row.floor >= 1 - AT_FLOOR_SHARE else SHORT, missing


def spread(values):
    """(median, lowest, highest)"""
    return statistics.median(values), min(values), max(values)


def ratios(theirs, ours, better):
    """Per pair, more than 1 where ours is better. `better`: "lower" or "higher"."""
    return [t / o if better == "lower" else o / t for t, o in zip(theirs, ours, strict=True)]
