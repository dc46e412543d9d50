# SPDX-License-Identifier: BSD-2-Clause
"""How soon purchases succeed again after each fault, and what the whole run comes to."""

from bisect import bisect_left
from dataclasses import dataclass
from statistics import median

STUCK_S = 15


@dataclass
class Event:
    """A step that was done: mono ns."""

    step: object
    begin: int
    healed: int
    result: str
    recovered_s: float = None  # None: not before the end, or before the next spell
    alone: bool = True


def recoveries(events, purchases):
    """Fills in recovered_s: from the end of a fault until the first answer to a purchase that was asked for after
    it. purchases: [(sent, answered)] by answer."""
    answered = [p[1] for p in purchases]
    for event in events:
        event.alone = not any(e is not event and e.begin <= event.healed + 10**9 and e.healed >= event.begin
                              for e in events)
        for sent, at in purchases[bisect_left(answered, event.healed):]:
            if sent >= event.healed:
                event.recovered_s = (at - event.healed) / 1e9
                break


PEACE_NS = 10**9  # five sweeps of the box office


def swept(events):
    """The function that checker.check wants: after so much time without a fault whatever was over is given back."""
    busy = sorted((e.begin, e.healed + int((e.recovered_s or 0) * 1e9)) for e in events)

    def by(at):
        for begin, end in busy:
            if at < end:
                if begin - at >= PEACE_NS:
                    break
                at = end
        return at + PEACE_NS
    return by


def longest_gap(events, purchases, begin, end):
    """(seconds, since when): the longest time without a purchase and without a fault."""
    marks = [(at, "sold", at) for _, at in purchases if begin <= at <= end]
    marks += [(e.begin, "fault", e.healed) for e in events]
    marks.append((end, "fault", end))
    worst, worst_at, since, busy_until = 0, begin, begin, begin
    for at, kind, until in sorted(marks):
        if at > busy_until and at - since > worst:
            worst, worst_at = at - since, since
        busy_until = max(busy_until, until)
        since = max(since, until)
    return worst / 1e9, worst_at


def by_fault(events):
    """{fault: (times, median s, worst s)} of those that had no other fault beside them; of all where none had."""
    table = {}
    for name in sorted({e.step.fault for e in events}):
        mine = [e for e in events if e.step.fault == name and e.recovered_s is not None]
        alone = [e for e in mine if e.alone] or mine
        times = [e.recovered_s for e in alone]
        table[name] = (len(mine), median(times) if times else None, max((e.recovered_s for e in mine), default=None))
    return table
