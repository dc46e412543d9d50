# SPDX-License-Identifier: BSD-2-Clause
"""What buyers asked and were told, with times, and what the store holds: input of checker.py.

Records are stampede's (tools/stampede/acks.h); times are nanoseconds of CLOCK_MONOTONIC, which every
process of a machine shares. Orders are known by (buyer, key): codes are not in the store.
"""

import calendar
import json
import re
import sqlite3
import time
from dataclasses import dataclass, field

FOREVER = float("inf")
LIVE = ("pending", "paid")
STATUS = {1: "pending", 2: "paid", 3: "expired", 4: "canceled"}


@dataclass
class Ack:
    """One 201."""

    sent: int
    answered: int
    status: str
    units: tuple
    expires_ns: int  # wall clock; 0: none was given


@dataclass
class Order:
    """One key, as its buyer sees it."""

    buyer: str
    key: str
    item: str
    quantity: int
    asked: int
    code: str = ""
    acks: list = field(default_factory=list)
    confirm: tuple = None  # (asked, answered, units)
    cancel_asked: int = None
    cancel_answered: int = None

    @property
    def name(self):
        return self.code or f"{self.buyer}/{self.key}"


@dataclass
class Stored:
    """A row of the store, with its live units."""

    item: str
    quantity: int
    status: str
    units: tuple
    expires_ns: int = 0  # wall clock; 0: not known


@dataclass
class Read:
    """Somebody was told how many units were free, between two times."""

    begin: int
    end: int
    free: int
    wanted: int = 0  # a refusal for want of so many
    total: int = None  # free, held and sold together, where all were told


@dataclass
class History:
    orders: dict = field(default_factory=dict)  # (buyer, key): Order
    reads: list = field(default_factory=list)
    bad: list = field(default_factory=list)  # what makes no sense by itself


def wall_ns(text):
    """2026-11-22T22:17:12.599210992Z"""
    found = re.match(r"(\d+-\d+-\d+T\d+:\d+:\d+)(?:\.(\d+))?Z$", text or "")
    if not found:
        return 0
    seconds = calendar.timegm(time.strptime(found[1], "%Y-%m-%dT%H:%M:%S"))
    return seconds * 10**9 + int((found[2] or "0").ljust(9, "0")[:9])


def lines_of(path):
    """A last line that was cut short by a kill is none."""
    with open(path) as f:
        for line in f:
            if line.endswith("\n"):
                yield json.loads(line)


def _order_line(h, codes, line):
    key = (line["buyer"], line["key"])
    order = h.orders.get(key)
    if order is None:
        h.bad.append(f"{key[0]} was acknowledged {line['code']} for a key that was not asked for")
        return
    if order.code not in ("", line["code"]):
        h.bad.append(f"duplicate: {order.buyer} was acknowledged {order.code} and {line['code']} for one key")
    if (order.item, order.quantity) != (line["item"], line["quantity"]):
        h.bad.append(f"{line['code']} is not what was asked for")
    order.code = line["code"]
    codes[line["code"]] = order
    order.acks.append(Ack(line["sent"], line["answered"], line["status"], tuple(sorted(line["units"])),
                          wall_ns(line["expires"])))


def _action(order, line):
    if line["t"] == "confirm":
        order.confirm = (line["asked"], line["answered"], tuple(sorted(line["units"])))
    elif line["t"] == "ask-cancel":
        order.cancel_asked = line["asked"]
    else:
        order.cancel_answered = line["answered"]


def load(event, lines, stale_ns=0):
    """The History of one event. Lines come in any order of kinds, as several files are read. stale_ns: how old a
    refusal as sold out may be, where the gateway repeats those."""
    h, codes, later = History(), {}, []
    for line in lines:
        if line["event"] != event:
            continue
        kind = line["t"]
        if kind == "ask":
            h.orders[line["buyer"], line["key"]] = Order(
                line["buyer"], line["key"], line["item"], line["quantity"], line["asked"])
        elif kind == "order":
            _order_line(h, codes, line)
        elif kind == "sold-out":
            h.reads.append(Read(max(0, line["sent"] - stale_ns), line["answered"], line["available"], line["quantity"]))
        elif kind == "stock":
            total = line["free"] + line["held"] + line["sold"] if "held" in line else None
            h.reads.append(Read(line["sent"], line["answered"], line["free"], total=total))
        elif kind in ("confirm", "ask-cancel", "cancel"):
            later.append(line)
        elif kind != "ask-confirm":  # what came of it the store tells
            h.bad.append(f"a line of kind {kind!r}")
    for line in later:
        if line["code"] in codes:
            _action(codes[line["code"]], line)
        else:
            h.bad.append(f"{line['t']} of {line['code']}, which was not acknowledged")
    return h


def load_store(path, event):
    """(quota, {(buyer, key): [Stored]}) of one event with one item."""
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        row = db.execute("SELECT e.id, i.id, i.slug, i.quota FROM events e JOIN items i ON i.event = e.id"
                         " WHERE e.slug = ?", (event,)).fetchone()
        if row is None:
            return None, {}
        event_id, item, slug, quota = row
        units, stored = {}, {}
        for unit, order in db.execute("SELECT id & 0xffffffff, order_id FROM units WHERE id >= ?1 << 32"
                                      " AND id < (?1 + 1) << 32 ORDER BY id", (item,)):
            units.setdefault(order, []).append(unit)
        for number, buyer, key, quantity, status, expires_ns in db.execute(
                "SELECT id, buyer, idempotency_key, quantity, status, expires_ns FROM orders WHERE event = ?", (event_id,)):
            stored.setdefault((buyer, key), []).append(
                Stored(slug, quantity, STATUS.get(status, str(status)), tuple(units.get(number, ())), expires_ns))
        return quota, stored
    finally:
        db.close()
