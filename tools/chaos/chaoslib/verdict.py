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


def _merged(events):
    """The times of faults: [[begin, end]], apart from each other."""
    busy = []
    for e in sorted(events, key=lambda e: e.begin):
        if busy and e.begin <= busy[-1][1]:
            busy[-1][1] = max(busy[-1][1], e.healed)
        else:
            busy.append([e.begin, e.healed])
    return busy


def longest_gap(events, purchases, begin, end):
    """(seconds, since when): the longest time between two purchases, faults not counted. Time under a fault is
    taken out, and does not begin anew: what one fault broke and the next one covers is still broken."""
    times = [begin, *(at for _, at in purchases if begin <= at <= end), end]
    busy, worst, worst_at = _merged(events), 0, begin
    for last, at in zip(times, times[1:]):
        if at - last > worst:
            under = sum(max(0, min(at, until) - max(last, since)) for since, until in busy)
            if at - last - under > worst:
                worst, worst_at = at - last - under, last
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
