# SPDX-License-Identifier: BSD-2-Clause
"""The plan of tools/chaos follows from its seed, and its verdict from times."""

import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tools", "chaos"))
sys.dont_write_bytecode = True

from chaoslib import faults, plan, verdict  # noqa: E402

KINDS = {n: (f.lane, f.shortest_s, f.longest_s) for n, f in faults.FAULTS.items()}
SECOND = 10**9


def test_a_seed_gives_one_plan():
    assert plan.make(7, 600, KINDS) == plan.make(7, 600, KINDS)
    assert plan.make(7, 600, KINDS) != plan.make(8, 600, KINDS)


def test_ten_minutes_have_every_fault():
    for seed in range(20):
        steps = plan.make(seed, 600, KINDS)
        assert {s.fault for s in steps} == set(faults.FAULTS), seed
        assert all(KINDS[s.fault][1] <= s.lasts_s <= KINDS[s.fault][2] + 0.001 for s in steps)
        assert max(s.at_s + s.lasts_s for s in steps) < 600


def test_faults_of_a_lane_do_not_overlap_and_spells_end():
    for seed in range(20):
        busy, over, spell = {}, 0, -1
        for s in plan.make(seed, 300, KINDS):
            lane = KINDS[s.fault][0]
            assert s.at_s >= busy.get(lane, 0), (seed, s)
            if s.spell != spell:
                assert s.at_s >= over + 0.7, (seed, s)
                spell = s.spell
            busy[lane] = s.at_s + s.lasts_s
            over = max(over, busy[lane])


def _event(name, begin, healed):
    return verdict.Event(plan.Step(begin, healed - begin, name, 0.5, 0), begin * SECOND, healed * SECOND, "")


def test_recovery_is_of_a_purchase_that_was_asked_for_afterwards():
    events = [_event("a", 10, 12), _event("b", 30, 31)]
    bought = [(9 * SECOND, 13 * SECOND), (13 * SECOND, 14 * SECOND), (20 * SECOND, 21 * SECOND)]
    verdict.recoveries(events, bought)
    assert [e.recovered_s for e in events] == [2.0, None]
    assert all(e.alone for e in events)
    assert verdict.by_fault(events) == {"a": (1, 2.0, 2.0), "b": (0, None, None)}


def test_recovery_beside_another_fault_is_told_apart():
    events = [_event("a", 10, 12), _event("b", 11, 14), _event("a", 30, 31)]
    verdict.recoveries(events, [(15 * SECOND, 16 * SECOND), (31 * SECOND, 32 * SECOND)])
    assert [e.alone for e in events] == [False, False, True]
    assert verdict.by_fault(events)["a"] == (2, 1.0, 4.0)


def test_the_longest_gap_leaves_out_faults():
    bought = [(n * SECOND, n * SECOND) for n in (1, 2, 3, 20, 21, 40)]
    assert verdict.longest_gap([], bought, SECOND, 41 * SECOND) == (19.0, 21 * SECOND)
    assert verdict.longest_gap([_event("a", 22, 38)], bought, SECOND, 41 * SECOND) == (17.0, 3 * SECOND)
    assert verdict.longest_gap([_event("a", 5, 19), _event("b", 6, 7), _event("c", 22, 38)], bought, SECOND,
                               41 * SECOND) == (3.0, 3 * SECOND)


def test_a_fault_does_not_cover_what_the_one_before_broke():
    faults_of_it = [_event("a", 10, 11), _event("b", 20, 21), _event("c", 30, 31)]
    assert verdict.longest_gap(faults_of_it, [(9 * SECOND, 9 * SECOND)], SECOND, 41 * SECOND) == (29.0, 9 * SECOND)


def test_a_sale_that_stops_is_a_gap():
    assert verdict.longest_gap([_event("a", 5, 6)], [(SECOND, SECOND)], SECOND, 60 * SECOND) == (58.0, SECOND)


def test_what_was_over_is_given_back_in_peace():
    swept = verdict.swept([_event("a", 10, 12), _event("b", 12, 13), _event("c", 20, 21)])
    assert swept(1 * SECOND) == 2 * SECOND
    assert swept(9.5 * SECOND) == 14 * SECOND
    assert swept(11 * SECOND) == 14 * SECOND
    assert swept(30 * SECOND) == 31 * SECOND
