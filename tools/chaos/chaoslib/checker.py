# SPDX-License-Identifier: BSD-2-Clause
"""Is there an order of events in which all that buyers were told is true?

The store names the units it sells, so stock is not one counter but a set of units, each of which is free
or has one owner. What an answer proves about a unit is a stretch of time in which its owner is certain:

    asked      answered                       may end        has ended
      |----------|==============================|--------------|
       may own                owns                  may own          time

It begins with the answer (the order took effect no later) and ends with the first moment at which the
order may have ended: its cancellation was sent, or the box office's clock may have reached its expiry.
A paid order does not end.

Takes and gives: linearizable if and only if no unit has two certain owners at a time. Only if: at such a
time both own it in every order of events. If: let every order take effect at its answer and end at the
first moment at which it may have ended; then stretches are exactly the ownership, an order takes all its
units in one step, and no two overlap. An order that may have ended before its answer has no stretch; it
needs one moment between the two in which nobody certainly owns any of its units, which is looked for. So
this part is exact, and needs no search, whatever the number of buyers.

Reads (availability, and refusals for want of units): at some moment of the read the number it told was
between the units that were certainly owned and those that may have been. That is necessary for each read
and not sufficient for all together (deciding that is a search that grows exponentially): a violation is
one, but some are not seen.

Units of an order whose time is over come back when the box office sweeps, not at that moment, and an answer
that calls the order expired does not say that they have. `swept` tells by when they must have. A clock that
was ahead for less than that may have ended some of those orders, all, or none.
"""

from bisect import bisect_right
from dataclasses import dataclass

from .history import FOREVER, LIVE


@dataclass
class Hold:
    """An order's units from taking to giving; see the drawing."""

    order: str
    units: tuple
    asked: float
    answered: float
    may_end: float
    ended: float

    @property
    def certain(self):
        return self.may_end > self.answered


@dataclass
class Finding:
    kind: str  # oversold, duplicate, lost, unasked, takes, read
    text: str

    def __str__(self):
        return f"{self.kind}: {self.text}"


class Clock:
    """Of the box office: when, from `since` on, did it show a wall-clock time? `segments`: (from, to, offset) in
    ns, overlapping where it is not known; base: wall minus monotonic clock, the largest that was seen."""

    def __init__(self, base, segments=((0, FOREVER, 0),)):
        self.base, self.segments = base, segments

    def first(self, wall, since=0):
        """At the earliest."""
        moments = []
        for begin, end, offset in self.segments:
            at = max(begin, since, wall - self.base - offset)
            if at <= end:
                moments.append(at)
        return min(moments, default=FOREVER)

    def surely(self, wall, since=0, by=lambda at: at):
        """At the latest, and until by(that moment), which is what is told. A clock that jumps ahead and back before
        anybody looked has shown it to nobody."""
        moments, known = [], since
        for i, (_, end, offset) in enumerate(self.segments):
            at = by(max(known, wall - self.base - offset))
            if at <= (self.segments[i + 1][0] if i + 1 < len(self.segments) else FOREVER):
                moments.append(at)
            known = max(known, end)
        return min(moments, default=FOREVER)

    def latest(self, begin, end):
        """The latest wall-clock time that it may have shown between two moments."""
        return max(self.base + offset + min(end, until)
                   for since, until, offset in self.segments if since <= end and begin <= until)


# ---- stretches ----


def _first_end(order, live, clock):
    """When the order may have ended, unless it was paid. A later answer that calls it pending says: not before,
    since what has ended can be paid for and then lives again, but is pending never again."""
    expiries = [a.expires_ns for a in live if a.expires_ns] or [0]
    end = clock.first(min(expiries), order.asked)
    if order.cancel_asked is not None:
        end = min(end, order.cancel_asked)
    return max([end] + [a.sent for a in live if a.status == "pending"])


def _last_end(order, live, row, clock, swept):
    """When an order that was not paid has ended at the latest."""
    if order.cancel_answered is not None:
        return order.cancel_answered
    expiries = [a.expires_ns for a in live if a.expires_ns]
    if row is not None and row.status == "expired" and expiries:
        return clock.surely(max(expiries), live[0].answered, swept)
    return FOREVER


def _blind_end(order, row, clock, swept):
    """The same of one whose units nobody was told. An answer that calls it expired goes by a clock that may be
    ahead for a moment; set back before a sweep, the order lives on until its time comes again. That time was not
    told: it is the store's, and no later than what the clock showed then."""
    ends = [a.answered for a in order.acks if a.status == "canceled"]
    for a in order.acks:
        if a.status == "expired":
            times = [clock.latest(a.sent, a.answered)] + ([row.expires_ns] if row is not None and row.expires_ns else [])
            ends.append(clock.surely(min(times), a.answered, swept))
    return min(ends, default=FOREVER)


def _acknowledged(order, live, row, clock, swept, findings):
    """Holds of an order whose units were told."""
    first, end = live[0], _first_end(order, live, clock)
    if order.confirm is not None:
        asked, answered, units = order.confirm
        if not units or units == first.units:
            if answered <= end:
                return [Hold(order.name, first.units, order.asked, first.answered, FOREVER, FOREVER)]
            return [Hold(order.name, first.units, order.asked, first.answered, end, FOREVER),
                    Hold(order.name, first.units, order.asked, answered, FOREVER, FOREVER)]
        if answered <= end:
            findings.append(Finding("lost", f"{order.name} was paid with other units before it could expire"))
        return [Hold(order.name, first.units, order.asked, first.answered, min(end, answered), answered),
                Hold(order.name, units, asked, answered, FOREVER, FOREVER)]
    gone = _last_end(order, live, row, clock, swept)
    holds = [Hold(order.name, first.units, order.asked, first.answered, min(end, gone), gone)]
    if row is not None and row.status in LIVE:
        # Still there: of a paid one, whose payment was never answered, the store tells the units.
        holds.append(Hold(order.name, row.units, order.asked, FOREVER, FOREVER, FOREVER))
    return holds


def _holds(history, store, clock, swept, findings):
    """(holds, [(units, from, to)] of orders whose units nobody was told)"""
    holds, blind = [], []
    for key, order in history.orders.items():
        row = store.get(key, [None])[0]
        live = [a for a in order.acks if a.status in LIVE and a.units]
        live.sort(key=lambda a: a.answered)
        if live:
            holds += _acknowledged(order, live, row, clock, swept, findings)
            continue
        if order.confirm is not None and order.confirm[2]:
            asked, answered, units_paid = order.confirm
            holds.append(Hold(order.name, units_paid, asked, answered, FOREVER, FOREVER))
        elif row is not None and row.status in LIVE:
            holds.append(Hold(order.name, row.units, order.asked, FOREVER, FOREVER, FOREVER))
        if row is not None or order.acks:
            blind.append((order.quantity, order.asked, _blind_end(order, row, clock, swept)))
    return holds, blind


# ---- takes and gives ----


def _by_unit(holds):
    units = {}
    for hold in holds:
        for unit in hold.units:
            units.setdefault(unit, []).append(hold)
    return units


def _two_owners(units, findings):
    """Stretches of one unit must not overlap; {unit: [stretches]} of what is certain."""
    certain = {}
    for unit, holds in units.items():
        stretches = sorted((h for h in holds if h.certain), key=lambda h: h.answered)
        last = None
        for hold in stretches:
            if last is not None and hold.answered < last.may_end and hold.order != last.order:
                findings.append(Finding("takes", f"unit {unit} is owned by {last.order} and {hold.order} at once, "
                                        f"at {hold.answered} ns"))
            if last is None or hold.may_end > last.may_end:
                last = hold
        certain[unit] = stretches
    return certain


def _no_moment(holds, certain, findings):
    """Orders without a stretch need one moment, before their answer and where they may end, at which nobody
    certainly owns any of their units."""
    for hold in holds:
        if hold.certain or hold.answered == FOREVER:
            continue
        others = [o for unit in hold.units for o in certain.get(unit, ()) if o.order != hold.order]
        first = max(hold.asked, hold.may_end)
        moments = [first] + [o.may_end for o in others if first < o.may_end <= hold.answered]
        if not any(all(not o.answered < m < o.may_end for o in others) for m in moments):
            findings.append(Finding("takes", f"{hold.order} cannot have had its units at any time"))


# ---- reads ----


class Level:
    """The number of units owned, over time: at least and at most. Times are doubled, so that what ends and
    what begins at the same nanosecond has an order."""

    def __init__(self):
        self.changes = {}

    def _add(self, at, least, most):
        if at != FOREVER:
            have = self.changes.get(at, (0, 0))
            self.changes[at] = (have[0] + least, have[1] + most)

    def owned(self, begin, end):
        self._add(2 * begin + 1, 1, 0)
        self._add(2 * end, -1, 0)

    def maybe(self, begin, end, n=1):
        self._add(2 * begin, 0, n)
        self._add(2 * end + 1, 0, -n)

    def finish(self):
        self.times, self.least, self.most = [-1], [0], [0]
        for at in sorted(self.changes):
            least, most = self.changes[at]
            self.times.append(at)
            self.least.append(self.least[-1] + least)
            self.most.append(self.most[-1] + most)

    def moments(self, begin, end):
        """(least, most) of every stretch that touches [begin, end]."""
        first = bisect_right(self.times, 2 * begin) - 1
        last = bisect_right(self.times, 2 * end) - 1
        return zip(self.least[first:last + 1], self.most[first:last + 1])


def _union(stretches):
    merged = []
    for begin, end in sorted(stretches):
        if merged and begin <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([begin, end])
    return merged


def _bounded(holds):
    """When each hold of a unit has ended at the latest: where it is not known, before the next certain one."""
    stretches = []
    for hold in holds:
        end = hold.ended
        if end == FOREVER and hold.certain and hold.may_end != FOREVER:
            later = [h.answered for h in holds if h.certain and h.answered > hold.answered and h.order != hold.order]
            end = min(later, default=FOREVER)
        stretches.append((hold.asked, end))
    return stretches


def _levels(units, blind):
    level = Level()
    for holds in units.values():
        for begin, end in _union((h.answered, h.may_end) for h in holds if h.certain):
            level.owned(begin, end)
        for begin, end in _union(_bounded(holds)):
            assert begin <= end, holds
            level.maybe(begin, end)
    for n, begin, end in blind:
        level.maybe(begin, end, n)
    level.finish()
    return level


def _check_reads(reads, level, quota, findings):
    for read in reads:
        used = quota - read.free
        if read.wanted and read.free >= read.wanted:
            findings.append(Finding("read", f"{read.wanted} units refused while {read.free} were free"))
        if read.total not in (None, quota):
            findings.append(Finding("oversold", f"free, held and sold units were said to be {read.total} of {quota}"))
        if not 0 <= used <= quota:
            findings.append(Finding("oversold", f"{read.free} of {quota} units were said to be free"))
        elif not any(least <= used <= most for least, most in level.moments(read.begin, read.end)):
            seen = list(level.moments(read.begin, read.end))
            findings.append(Finding("read", f"{used} units in use, said between {read.begin} and {read.end} ns: "
                                    f"they were {min(s[0] for s in seen)} to {max(s[1] for s in seen)}"))


# ---- against the store ----


def _check_store(history, store, quota, findings):
    sold, used = 0, {}
    for key, rows in store.items():
        if key not in history.orders:
            findings.append(Finding("unasked", f"the store has an order of {key[0]} for key {key[1]}: nobody asked"))
        if len(rows) > 1:
            findings.append(Finding("duplicate", f"{len(rows)} orders of {key[0]} for key {key[1]}"))
        for row in rows:
            sold += len(row.units)
            if len(row.units) != (row.quantity if row.status in LIVE else 0):
                findings.append(Finding("oversold", f"an order of {key[0]} for {row.quantity} has {len(row.units)} units"))
            for unit in row.units:
                if used.setdefault(unit, key) is not key:
                    findings.append(Finding("duplicate", f"unit {unit} is sold to {used[unit][0]} and {key[0]}"))
    if sold > quota:
        findings.append(Finding("oversold", f"{sold} of {quota} units"))


def _ended_for_nothing(order, row, clock, end):
    """Why an order should not have ended, or None."""
    if row.status == "canceled" and order.cancel_asked is None:
        return "is canceled and nobody asked for it"
    times = [a.expires_ns for a in order.acks if a.expires_ns]
    if row.status == "expired" and times and clock.first(max(times), order.asked) > end:
        return "is expired before its time"
    return None


def _check_kept(history, store, clock, end, findings):
    """What was acknowledged is there, in the state that was told."""
    for key, order in history.orders.items():
        if not order.acks:
            continue
        row = store.get(key, [None])[0]
        if row is None:
            findings.append(Finding("lost", f"{order.name} of {order.buyer} is not in the store"))
        elif order.confirm is not None and row.status != "paid":
            findings.append(Finding("lost", f"{order.name} was paid and is {row.status}"))
        elif order.cancel_answered is not None and row.status != "canceled":
            findings.append(Finding("lost", f"{order.name} was canceled and is {row.status}"))
        elif why := _ended_for_nothing(order, row, clock, end):
            findings.append(Finding("lost", f"{order.name} {why}"))


def check(history, store, quota, clock, swept=lambda at: FOREVER, end=FOREVER):
    """Findings, none where all is well. History, store: see history.py; end: when the store was read. swept(t):
    when what was over at t has surely been given back."""
    findings = [Finding("duplicate" if text.startswith("duplicate") else "lost", text) for text in history.bad]
    holds, blind = _holds(history, store, clock, swept, findings)
    for hold in holds:
        if any(unit >= quota for unit in hold.units):
            findings.append(Finding("oversold", f"{hold.order} has a unit beyond the quota of {quota}"))
    units = _by_unit(holds)
    certain = _two_owners(units, findings)
    _no_moment(holds, certain, findings)
    _check_reads(history.reads, _levels(units, blind), quota, findings)
    _check_store(history, store, quota, findings)
    _check_kept(history, store, clock, end, findings)
    return findings
