# SPDX-License-Identifier: BSD-2-Clause
"""What happens when: made from a seed before anything starts, and from nothing else."""

import random
from dataclasses import asdict, dataclass

FIRST_S = 1.0  # the sale is under way
LAST_S = 3.0  # and ends in peace
TOGETHER = (1, 1, 1, 2, 2, 3)  # faults of one spell: drawn from these


@dataclass
class Step:
    at_s: float
    lasts_s: float
    fault: str
    pick: float  # 0 to 1: which of the processes, how much, which way
    spell: int  # steps of one spell overlap; between spells there is peace

    def line(self):
        return f"{self.at_s:7.2f} s  {self.fault:16} {self.lasts_s:5.2f} s  {self.pick:.3f}"


def _deck(rng, faults):
    """Every fault once, in any order, over and over."""
    while True:
        names = sorted(faults)
        rng.shuffle(names)
        yield from names


def make(seed, seconds, faults):
    """[Step] by time. faults: {name: (lane, shortest, longest)}; those of one lane never overlap."""
    rng = random.Random(f"chaos {seed}")
    deck, steps, waiting = _deck(rng, faults), [], []
    at, spell = FIRST_S, 0
    while at < seconds - LAST_S:
        lanes, end, put_back = set(), at, []
        for _ in range(rng.choice(TOGETHER)):
            name = waiting.pop(0) if waiting else next(deck)
            lane, least, most = faults[name]
            start, lasts, pick = at + rng.uniform(0, 0.5), rng.uniform(least, most), rng.random()
            if lane in lanes:
                put_back.append(name)
                continue
            lanes.add(lane)
            end = max(end, start + lasts)
            steps.append(Step(round(start, 3), round(lasts, 3), name, round(pick, 6), spell))
        waiting = put_back + waiting
        at = end + rng.uniform(0.8, 2.2)
        spell += 1
    return sorted((s for s in steps if s.at_s + s.lasts_s < seconds - LAST_S / 2), key=lambda s: s.at_s)


def plain(steps):
    return [asdict(s) for s in steps]
