# SPDX-License-Identifier: BSD-2-Clause
"""The table on the terminal, and the JSON that the page is made from.

{"machine": {...}, "options": {...}, "scenarios": [{"name", "what", "about", "run", "date", "commit", "options",
"took_s", "rows"}]}

A scenario is saved as soon as it is measured, in place of what it was before, so an interrupted run loses nothing
but the scenario it was in. "machine" and "options" are the last run's; "run" is when a scenario's run began.
"""

import dataclasses
import json
import os

from . import gateway, judge

LAST = os.path.join(gateway.BUILD, "bench", "last.json")


def number(value):
    """Three to four significant digits, as people write them."""
    if value is None:
        return ""
    if value == 0:
        return "0"
    for above, form in ((1000, ",.0f"), (100, ".0f"), (10, ".1f"), (1, ".2f"), (0.01, ".3f")):
        if abs(value) >= above:
            return format(value, form)
    return format(value, ".2g")


def between(low, high):
    return "" if low is None else f"{number(low)} to {number(high)}"


def target_text(row):
    if row.target is None:
        return ""
    unit = "x" if row.of == "ratio" else f" {row.unit}".rstrip()
    word = "at most " if row.of == "at most" else "at least "
    return word + number(row.target) + unit


def cells(row):
    """The columns of a row, as text."""
    unit = f" {row.unit}" if row.unit else ""
    with_unit = lambda v: number(v) + unit if v is not None else ""  # noqa: E731
    return [
        row.scenario,
        f"{row.case}: {row.what}" if row.case else row.what,
        with_unit(row.ours),
        row.peer,
        with_unit(row.theirs),
        number(row.ratio),
        between(row.ratio_low, row.ratio_high),
        target_text(row),
        row.verdict_text(),
    ]


HEADS = ["scenario", "what", "ours", "peer", "theirs", "ratio", "low to high", "target", "verdict"]


def table(rows):
    lines = [HEADS, *(cells(r) for r in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADS))]
    out = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines]
    notes = [f"{r.scenario}{', ' + r.case if r.case else ''}: {r.note}" for r in rows if r.note]
    return "\n".join([*out, *([""] if notes else []), *dict.fromkeys(notes)])


def summary(rows):
    words = (judge.MET, judge.AT_FLOOR, judge.SHORT, judge.TOLD, judge.LEFT_OUT, judge.FAILED)
    counts = {v: sum(r.verdict == v for r in rows) for v in words}
    return ", ".join(f"{n} {v}" for v, n in counts.items() if n)


def plain(row):
    """Without what is empty."""
    return {k: v for k, v in dataclasses.asdict(row).items() if v not in (None, "")}


def rows_of(scenario):
    return [judge.Row(**r) for r in scenario["rows"]]


def load_last():
    try:
        with open(LAST) as f:
            return json.load(f)
    except FileNotFoundError:
        return None


def merged(last, document):
    """What is known after `document`: its scenarios replace those of the same name."""
    mine = {s["name"] for s in document["scenarios"]}
    kept = [s for s in last["scenarios"] if s["name"] not in mine] if last else []
    return {**document, "scenarios": sorted([*kept, *document["scenarios"]], key=lambda s: s["order"])}


def save_last(document):
    document = merged(load_last(), document)
    os.makedirs(os.path.dirname(LAST), exist_ok=True)
    with open(LAST + ".new", "w") as f:
        json.dump(document, f, indent=1)
        f.write("\n")
    os.replace(LAST + ".new", LAST)
