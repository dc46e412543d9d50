# SPDX-License-Identifier: BSD-2-Clause
"""The checker of tools/chaos must find what is wrong, and nothing where nothing is."""

import itertools
import os
import random
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tools", "chaos"))
sys.dont_write_bytecode = True

from chaoslib import checker, history  # noqa: E402

QUOTA = 4
HOLD_NS = 10 * 10**9
SECOND = 10**9
FAR = "2026-11-22T23:00:00.000000000Z"
BASE = history.wall_ns("2026-11-22T22:00:00Z")  # the wall clock at mono 0


class Told:
    """Writes a record and a store, a call each."""

    def __init__(self):
        self.lines, self.store = [], {}
        self.clock = checker.Clock(BASE)

    def ask(self, name, quantity, at):
        self.lines.append({"t": "ask", "event": "e", "item": "standard", "buyer": name, "key": "k" + name,
                           "quantity": quantity, "asked": at})

    def ack(self, name, units, sent, at, status="pending", expires=FAR):
        asked = next(line for line in self.lines if line["t"] == "ask" and line["buyer"] == name)
        self.lines.append({"t": "order", "event": "e", "item": "standard", "buyer": name, "key": "k" + name,
                           "code": name.upper(), "status": status, "expires": expires, "quantity": asked["quantity"],
                           "units": units, "asked": asked["asked"], "sent": sent, "answered": at})

    def order(self, name, units, asked, at, **more):
        """Asked for, acknowledged, and in the store as it was told."""
        self.ask(name, len(units), asked)
        self.ack(name, units, asked, at, **more)
        self.stored(name, units)

    def stored(self, name, units, status="pending", quantity=None):
        live = units if status in history.LIVE else []
        self.store[name, "k" + name] = [history.Stored("standard", quantity or len(units), status, tuple(live))]

    def confirm(self, name, units, asked, at):
        self.lines.append({"t": "confirm", "event": "e", "code": name.upper(), "units": units, "asked": asked, "answered": at})

    def cancel(self, name, units, asked, at=None):
        self.lines.append({"t": "ask-cancel", "event": "e", "code": name.upper(), "asked": asked})
        if at is not None:
            self.lines.append({"t": "cancel", "event": "e", "code": name.upper(), "asked": asked, "answered": at})
        self.stored(name, units, "canceled")

    def stock(self, free, sent, at):
        self.lines.append({"t": "stock", "event": "e", "free": free, "sent": sent, "answered": at})

    def sold_out(self, wanted, free, sent, at):
        self.lines.append({"t": "sold-out", "event": "e", "quantity": wanted, "available": free, "sent": sent,
                           "answered": at})

    def findings(self):
        return checker.check(history.load("e", self.lines), self.store, QUOTA, self.clock)

    def kinds(self):
        return {f.kind for f in self.findings()}


@pytest.fixture
def told():
    return Told()


# ---- where all is well ----


def test_clean(told):
    told.order("a", [0, 1], 10, 20)
    told.stock(2, 21, 30)
    told.order("b", [2], 25, 40)
    told.sold_out(3, 1, 50, 60)
    told.cancel("a", [0, 1], 70, 80)
    told.order("c", [0, 1, 3], 75, 90)
    told.sold_out(1, 0, 91, 99)
    told.confirm("b", [2], 95, 110)
    told.stored("b", [2], "paid")
    assert told.findings() == []


def test_answers_that_overlap_may_come_in_any_order(told):
    told.order("a", [0, 1, 2], 10, 100)
    told.stock(4, 20, 30)
    told.stock(1, 20, 30)
    assert told.findings() == []


def test_expired_units_are_sold_again(told):
    told.order("a", [0, 1], 1 * SECOND, 2 * SECOND, expires="2026-11-22T22:00:12Z")
    told.stored("a", [0, 1], "expired")
    told.order("b", [1], 12 * SECOND, 13 * SECOND)
    assert told.findings() == []


def test_the_clock_jumped_and_it_expired_early(told):
    told.order("a", [0, 1], 1 * SECOND, 2 * SECOND, expires="2026-11-22T22:00:12Z")
    told.stored("a", [0, 1], "expired")
    told.order("b", [1], 4 * SECOND, 5 * SECOND)
    assert told.kinds() == {"takes"}
    jump = 3 * SECOND
    told.clock = checker.Clock(BASE, [(0, jump + 10, 0), (jump, 4 * SECOND, 3600 * SECOND), (4 * SECOND, history.FOREVER, 0)])
    assert told.findings() == []


def test_the_clock_was_back_and_it_expired_at_once(told):
    """Its time was over long before it was asked for, as clocks say that are right again."""
    told.order("a", [0, 1], 5 * SECOND, 6 * SECOND, expires="2026-11-22T21:30:00Z")
    told.stored("a", [0, 1], "expired")
    told.order("b", [2], 7 * SECOND, 8 * SECOND)
    told.clock = checker.Clock(BASE, [(0, 5 * SECOND, 0), (4 * SECOND, 9 * SECOND, -3600 * SECOND), (9 * SECOND, history.FOREVER, 0)])
    told.stock(2, 6 * SECOND + 1, 6 * SECOND + 2)
    told.stock(1, 9 * SECOND, 9 * SECOND + 1)
    checked = checker.check(history.load("e", told.lines), told.store, QUOTA, told.clock, lambda at: at + SECOND)
    assert checked == []


JUMP = [(0, 3 * SECOND + 1, 0), (3 * SECOND, 4 * SECOND + 1, 600 * SECOND), (4 * SECOND, history.FOREVER, 0)]
JUMP_IS_OVER = 4 * SECOND + 1


def _swept(at):
    """As verdict.swept has it: the jump is a fault, and a sweep is sure a second after it."""
    return (JUMP_IS_OVER if 3 * SECOND <= at < JUMP_IS_OVER else at) + SECOND


def _jumped(told):
    told.clock = checker.Clock(BASE, JUMP)
    return [f.kind for f in checker.check(history.load("e", told.lines), told.store, QUOTA, told.clock, _swept)]


def test_the_clock_was_ahead_and_nobody_swept(told):
    """Their time came for a moment, but the clock was back before the box office looked."""
    told.order("a", [0], 1 * SECOND, 2 * SECOND, expires="2026-11-22T22:00:12Z")
    told.order("b", [1], int(3.1 * SECOND), int(3.2 * SECOND), expires="2026-11-22T22:10:03.500Z")
    told.ask("c", 1, 1 * SECOND)
    told.ack("c", [], int(3.3 * SECOND), int(3.4 * SECOND), status="expired", expires="")
    for name, units in (("a", [0]), ("b", [1]), ("c", [2])):
        told.stored(name, units, "expired")
    told.stock(4, int(3.9 * SECOND), int(3.9 * SECOND) + 1)  # or they are swept at once
    told.stock(1, 10 * SECOND, 10 * SECOND + 1)
    assert _jumped(told) == []
    told.stock(1, 15 * SECOND, 15 * SECOND + 1)  # but a is over by any clock
    assert _jumped(told) == ["read"]
    told.lines[-1]["free"] = 2
    told.stock(2, 603 * SECOND, 603 * SECOND + 1)
    assert _jumped(told) == []
    told.store["c", "kc"][0].expires_ns = history.wall_ns("2026-11-22T22:00:12Z")
    assert _jumped(told) == ["read", "read"]
    told.store["c", "kc"][0].expires_ns = 0
    told.stock(3, 606 * SECOND, 606 * SECOND + 1)  # and so are all
    assert _jumped(told) == ["read"]
    told.lines[-1]["free"] = 4
    assert _jumped(told) == []


def test_called_expired_without_a_jump(told):
    """Its units come back with the next sweep."""
    told.ask("a", 1, 10)
    told.ack("a", [], 50, 60, status="expired", expires="")
    told.stored("a", [0], "expired")
    told.stock(3, SECOND // 2, SECOND // 2 + 1)
    told.stock(3, 2 * SECOND, 2 * SECOND + 1)
    checked = checker.check(history.load("e", told.lines), told.store, QUOTA, told.clock, lambda at: at + SECOND)
    assert [f.kind for f in checked] == ["read"]


def test_paid_after_its_time_with_other_units(told):
    told.order("a", [0], 1 * SECOND, 2 * SECOND, expires="2026-11-22T22:00:12Z")
    told.order("b", [0], 13 * SECOND, 14 * SECOND)
    told.confirm("a", [1], 15 * SECOND, 16 * SECOND)
    told.stored("a", [1], "paid")
    told.stock(2, 17 * SECOND, 18 * SECOND)
    assert told.findings() == []


def test_paid_after_its_time_without_an_answer(told):
    told.order("a", [0], 1 * SECOND, 2 * SECOND, expires="2026-11-22T22:00:12Z")
    told.order("b", [0], 13 * SECOND, 14 * SECOND)
    told.lines.append({"t": "ask-confirm", "event": "e", "code": "A", "asked": 15 * SECOND})
    told.stored("a", [1], "paid")
    told.stock(2, 17 * SECOND, 18 * SECOND)
    assert told.findings() == []


def test_an_order_that_was_never_answered(told):
    told.ask("a", 2, 10)
    told.stored("a", [0, 1])
    told.stock(2, 20, 30)
    told.stock(4, 20, 30)
    told.ask("b", 1, 10)  # never got there
    told.ask("c", 1, 10)
    told.stored("c", [3], "expired")
    assert told.findings() == []


def test_an_answer_that_comes_after_the_end(told):
    """Its buyer asks again and hears that it has expired: it had some units at some time."""
    told.ask("a", 3, 10)
    told.ack("a", [], 50, 60, status="expired", expires="")
    told.stored("a", [1, 2, 3], "expired")
    told.stock(1, 20, 30)
    told.stock(4, 70, 80)
    assert told.findings() == []


def test_an_order_that_was_paid_after_an_answer_that_came_too_late(told):
    told.ask("a", 3, 10)
    told.ack("a", [], 50, 60, status="expired", expires="")
    told.confirm("a", [0, 1, 2], 70, 80)
    told.stored("a", [0, 1, 2], "paid")
    told.stock(1, 20, 30)
    told.stock(1, 90, 100)
    assert told.findings() == []


def test_a_cancellation_without_an_answer(told):
    told.order("a", [0, 1, 2, 3], 10, 20)
    told.cancel("a", [0, 1, 2, 3], 30)
    told.order("b", [0], 40, 50)
    told.stock(0, 31, 35)
    assert told.findings() == []


# ---- where something is wrong ----


def test_oversold(told):
    told.order("a", [0, 1, 2], 10, 20)
    told.order("b", [3, 4], 30, 40)
    assert "oversold" in told.kinds()


def test_oversold_for_a_while(told):
    """At the end all is well, but once a unit had two owners."""
    told.order("a", [0, 1], 10, 20)
    told.order("b", [1, 2], 30, 40)
    told.cancel("a", [0, 1], 50, 60)
    assert told.kinds() == {"takes"}


def test_lost(told):
    told.order("a", [0, 1], 10, 20)
    told.store.clear()
    assert told.kinds() == {"lost"}


def test_ended_for_nothing(told):
    told.order("a", [0], 10, 20)
    told.order("b", [1], 10, 20)
    told.stored("a", [0], "expired")
    told.stored("b", [1], "canceled")
    checked = checker.check(history.load("e", told.lines), told.store, QUOTA, told.clock, end=60 * SECOND)
    assert [f.kind for f in checked] == ["lost", "lost"]


def test_lost_payment(told):
    told.order("a", [0, 1], 10, 20)
    told.confirm("a", [0, 1], 30, 40)
    told.stored("a", [0, 1], "expired")
    assert told.kinds() == {"lost"}


def test_paid_order_is_sold_again(told):
    told.order("a", [0], 1 * SECOND, 2 * SECOND, expires="2026-11-22T22:00:12Z")
    told.confirm("a", [0], 3 * SECOND, 4 * SECOND)
    told.stored("a", [0], "paid")
    told.order("b", [0], 20 * SECOND, 21 * SECOND)
    assert told.kinds() == {"takes", "duplicate"}


def test_a_unit_in_two_orders(told):
    told.order("a", [0, 1], 10, 20)
    told.order("b", [1], 11, 21)
    assert told.kinds() == {"takes", "duplicate"}


def test_two_orders_for_a_key(told):
    told.order("a", [0], 10, 20)
    told.store["a", "ka"].append(history.Stored("standard", 1, "pending", (1,)))
    assert told.kinds() == {"duplicate"}


def test_two_codes_for_a_key(told):
    told.order("a", [0], 10, 20)
    told.lines.append(dict(told.lines[-1], code="OTHER"))
    assert "duplicate" in told.kinds()


def test_an_order_that_nobody_asked_for(told):
    told.stored("a", [0])
    assert told.kinds() == {"unasked"}


def test_stock_that_never_was(told):
    told.order("a", [0, 1], 10, 20)
    told.stock(3, 30, 40)
    assert told.kinds() == {"read"}


def test_stock_that_does_not_add_up(told):
    told.order("a", [0, 1], 10, 20)
    told.stock(2, 30, 40)
    told.lines[-1].update(held=2, sold=0)
    assert told.findings() == []
    told.lines[-1].update(held=1)
    assert told.kinds() == {"oversold"}


def test_stale_stock(told):
    """True once, but not any more when it was asked for."""
    told.order("a", [0, 1], 10, 20)
    told.cancel("a", [0, 1], 30, 40)
    told.stock(2, 41, 50)
    assert told.kinds() == {"read"}


def test_expired_units_that_do_not_come_back(told):
    told.order("a", [0, 1], 1 * SECOND, 2 * SECOND, expires="2026-11-22T22:00:12Z")
    told.stored("a", [0, 1], "expired")
    told.stock(2, 12 * SECOND, 12 * SECOND + 10)
    told.stock(2, 15 * SECOND, 15 * SECOND + 10)
    assert told.findings() == []
    checked = checker.check(history.load("e", told.lines), told.store, QUOTA, told.clock, lambda at: at + SECOND)
    assert [f.kind for f in checked] == ["read"]


def test_refused_for_want_of_units_that_were_free(told):
    told.order("a", [0, 1], 10, 20)
    told.sold_out(1, 0, 30, 40)
    assert told.kinds() == {"read"}
    other = Told()
    other.sold_out(1, 2, 30, 40)
    assert "read" in other.kinds()


def test_a_refusal_from_memory_may_be_old(told):
    told.order("a", [0, 1, 2, 3], 10, 20)
    told.sold_out(1, 0, 30, 40)
    told.cancel("a", [0, 1, 2, 3], 50, 60)
    told.sold_out(1, 0, 100, 110)
    assert told.kinds() == {"read"}
    for stale, kinds in ((30, {"read"}), (60, set())):
        h = history.load("e", told.lines, stale)
        assert {f.kind for f in checker.check(h, told.store, QUOTA, told.clock)} == kinds


def test_an_order_without_a_moment(told):
    """It may have ended before its answer, but its unit was another's from before it was asked for until after."""
    told.order("a", [0], 10, 20)
    told.order("b", [0], 30, 40, expires="2026-11-22T21:00:00Z")
    told.stored("b", [0], "expired")
    assert told.kinds() == {"takes"}


def test_units_do_not_add_up(told):
    told.order("a", [0, 1], 10, 20)
    told.store["a", "ka"][0].units = (0,)
    assert "oversold" in told.kinds()


# ---- against a search ----


def _possible(holds):
    """By trying every order of events: a take anywhere from asked to answered, a give from may_end to ended,
    and after its take. Each hold has one unit; moments are orders of the 2n events."""
    n = len(holds)
    for order in itertools.permutations(range(2 * n)):
        place = {event: at for at, event in enumerate(order)}
        if any(place[2 * i] > place[2 * i + 1] for i in range(n)):
            continue
        owner, clash = {}, False
        for event in order:
            hold = holds[event // 2]
            if event % 2 == 0 and any(owner.get(u) is not None for u in hold.units):
                clash = True
                break
            for u in hold.units:
                owner[u] = None if event % 2 else hold
        if not clash and _times_fit(order, holds):
            return True
    return False


def _times_fit(order, holds):
    """Can the events take place in this order, each within its window? As early as possible, one after another."""
    now = 0
    for event in order:
        hold = holds[event // 2]
        begin, end = (hold.may_end, hold.ended) if event % 2 else (hold.asked, hold.answered)
        now = max(now, begin)
        if now > end:
            return False
    return True


def test_takes_and_gives_agree_with_a_search():
    rng = random.Random(4)
    verdicts = {True: 0, False: 0}
    for _ in range(1500):
        holds = []
        for i in range(rng.choice((2, 3, 3))):
            asked = rng.randrange(0, 20)
            answered = asked + rng.randrange(1, 8)
            may_end = rng.choice((history.FOREVER, answered + rng.randrange(-2, 9), answered + rng.randrange(1, 9)))
            ended = rng.choice((history.FOREVER, may_end + rng.randrange(0, 5), may_end + 3))
            if ended < answered:
                ended = history.FOREVER
            units = tuple(sorted(rng.sample(range(2), rng.choice((1, 1, 2)))))
            holds.append(checker.Hold(f"o{i}", units, asked * 10, answered * 10, may_end * 10 + 5, ended * 10 + 7))
        findings = []
        checker._no_moment(holds, checker._two_owners(checker._by_unit(holds), findings), findings)
        possible = _possible(holds)
        assert possible == (not findings), (holds, findings)
        verdicts[possible] += 1
    assert min(verdicts.values()) > 200, verdicts


# ---- a store that works, asked at random ----


def _simulate(rng, silent=0.25, broken=None):
    """A correct store, with answers that come late or (a share of `silent`) never; `broken` spoils it."""
    told, free, now, live = Told(), set(range(QUOTA)), 0, {}
    for n in range(60):
        now += 10
        name, quantity = f"b{n}", rng.randrange(1, 3)
        told.ask(name, quantity, now - rng.randrange(0, 9))
        if len(free) < quantity:
            told.sold_out(quantity, len(free), now - 5, now + 3)
        else:
            units = sorted(free)[:quantity]
            free -= set(units)
            live[name] = units
            told.stored(name, units)
            if rng.random() >= silent:
                told.ack(name, units, now - 1, now + rng.randrange(1, 9))
        if live and rng.random() < 0.6:
            gone = rng.choice(sorted(live))
            if any(line["t"] == "order" and line["buyer"] == gone for line in told.lines):
                now += 10
                told.cancel(gone, live[gone], now, now + 4 if rng.random() >= silent else None)
                free |= set(live.pop(gone))
                if broken == "keeps" and rng.random() < 0.5:
                    free.discard(min(free))
        told.stock(len(free) + (broken == "read" and rng.random() < 0.2), now + 9, now + 10)
        now += 10
    return told


def test_a_store_that_works_has_no_findings():
    for seed in range(40):
        assert _simulate(random.Random(seed)).findings() == [], seed


@pytest.mark.parametrize("broken", ["read", "keeps"])
def test_a_store_that_counts_wrong_is_found(broken):
    found = sum(bool(_simulate(random.Random(seed), 0.02, broken).findings()) for seed in range(40))
    assert found >= 36, found
