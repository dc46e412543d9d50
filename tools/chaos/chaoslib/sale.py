# SPDX-License-Identifier: BSD-2-Clause
"""Buyers (stampede), somebody who watches the stock, and what became of it all."""

import json
import os
import subprocess
import sys
import threading
import time

from . import checker, history
from .world import BUILD, TOP

sys.path.insert(0, os.path.join(TOP, "tests", "e2e"))

from client import Client  # noqa: E402

CHAPTER_S = 15  # of the contested sales, one after the other
TILL_S = 240  # of the one that never sells out
HOLD_S = 2
WATCH_S = 0.03
SETTLE_S = 60


def contested(number, seconds):
    """Many buyers for few units, which come back by expiry and cancellation and are fought for again."""
    return ["--tickets", "150", "--max-per-buyer", "4", "--hold", str(HOLD_S), "--rate", "80", "--seconds", f"{seconds:g}",
            "--think", "0.6", "--timeout", "3", "--fresh", "0.3", "--connections", "512",
            "--mix", "plain=25,retry=25,click=12,quit=10,greedy=6,pay=8,cancel=14"]


def till(seconds):
    """Always something to sell: when these buyers get nothing, nothing works."""
    return ["--tickets", "1000000", "--max-per-buyer", "0", "--max-quantity", "1", "--hold", "3600", "--rate", "25",
            "--seconds", f"{seconds:g}", "--timeout", "3", "--fresh", "0.5", "--connections", "512", "--mix", "retry=1"]


class Sales:
    def __init__(self, world, seed, seconds):
        self.world, self.seed, self.seconds = world, seed, seconds
        self.folder = world.gateway.path("record")
        os.makedirs(self.folder)
        self.running, self.finished, self.threads = {}, [], []
        self.over = threading.Event()
        self.watched = open(os.path.join(self.folder, "stock.jsonl"), "w")

    # ---- buyers ----

    def _chapters(self, name, length, options):
        """Sells one event after the other until the time is over. Each has a name and a seed of its own."""
        number, end = 0, time.monotonic() + self.seconds
        while end - time.monotonic() > 1:
            seconds = min(length, end - time.monotonic())
            self._sell(f"{name}{number}", options(seconds), 1000 * self.seed + 10 * number + (name == "till"))
            time.sleep(max(0, min(seconds, end - time.monotonic())))
            number += 1

    def _sell(self, event, options, seed):
        with open(os.path.join(self.folder, f"{event}.out"), "w") as out:
            self.running[event] = subprocess.Popen(
                [os.path.join(BUILD, "stampede"), "--url", f"http://127.0.0.1:{self.world.gateway.port}", "--create",
                 "--event", event, "--acks", self.acks(event), "--history", "--settle", str(SETTLE_S), "--json",
                 "--quiet", "--seed", str(seed), *options],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        self.world.events = [e for e, p in self.running.items() if p.poll() is None and not e.startswith("till")]

    def acks(self, event):
        return os.path.join(self.folder, f"{event}.jsonl")

    def start(self):
        for target, args in ((self._chapters, ("sale", CHAPTER_S, lambda s: contested(0, s))),
                             (self._chapters, ("till", TILL_S, till)), (self._watch, ())):
            thread = threading.Thread(target=target, args=args, daemon=True)
            thread.start()
            self.threads.append(thread)

    def finish(self):
        """Waits until every buyer knows what became of him; problems."""
        problems = []
        for thread in self.threads[:2]:
            thread.join()
        end = time.monotonic() + SETTLE_S + 30
        for event, process in self.running.items():
            try:
                code = process.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                problems.append(f"{event}: buyers still wait for an answer")
                continue
            if code != 0:
                with open(os.path.join(self.folder, f"{event}.out")) as f:
                    problems.append(f"{event}: stampede ended with {code}: {f.read()[-600:]}")
        self.over.set()
        self.threads[2].join()
        self.watched.close()
        return problems

    # ---- watching ----

    def _watch(self):
        """Asks how many units are left, now of one sale, now of the other."""
        client, turn = Client("127.0.0.1", self.world.gateway.port), 0
        while not self.over.wait(WATCH_S):
            events = self.world.events
            if events:
                turn += 1
                self._look(client, events[turn % len(events)])

    def _look(self, client, event):
        sent = time.monotonic_ns()
        try:
            with client.connect(3) as c:
                answer = c.request("GET", f"/api/v1/events/{event}/items/standard/availability")
            if answer.status != 200:
                return
            told = answer.json()
        except (OSError, ValueError):
            return
        self.watched.write(json.dumps({"t": "stock", "event": event, "free": told["available_number"],
                                       "held": told["held"], "sold": told["sold"], "sent": sent,
                                       "answered": time.monotonic_ns()}) + "\n")

    # ---- what became of it ----

    def purchases(self):
        """[(sent, answered)] of every 201, by time of the answer."""
        found = []
        for event in self.running:
            for line in history.lines_of(self.acks(event)):
                if line["t"] == "order":
                    found.append((line["sent"], line["answered"]))
        return sorted(found, key=lambda p: p[1])

    def audit(self, event):
        """stampede's audit: (its figures, what it found)."""
        done = subprocess.run(
            [os.path.join(BUILD, "stampede"), "audit", "--event", event, "--json", "--acks", self.acks(event),
             "--ahead", str(self.world.shim.ahead_s()), "--store", self.world.gateway.path("data", "boxoffice.db")],
            capture_output=True, text=True, timeout=600)
        lines = done.stdout.splitlines()
        return (json.loads(lines[-1]) if lines and lines[-1].startswith("{") else None), done.stderr.strip()

    def check(self, event, base, swept):
        """checker.py: (findings, orders, reads)."""
        def lines():
            yield from history.lines_of(self.acks(event))
            yield from history.lines_of(os.path.join(self.folder, "stock.jsonl"))
        told = history.load(event, lines(), self.world.stale_ns)
        quota, stored = history.load_store(self.world.gateway.path("data", "boxoffice.db"), event)
        now = time.monotonic_ns()
        if quota is None:
            return [checker.Finding("lost", f"{event} is not in the store")], 0, 0
        clock = checker.Clock(base, self.world.shim.clock)
        return checker.check(told, stored, quota, clock, swept, now), len(told.orders), len(told.reads)
