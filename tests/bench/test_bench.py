# SPDX-License-Identifier: BSD-2-Clause
"""The parts of tools/bench that read and judge, and one small run of the whole."""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BENCH = os.path.join(ROOT, "tools", "bench")
sys.path.insert(0, BENCH)

from benchlib import counting, flood, judge, load, measure, page, report, svg  # noqa: E402

WRK = """Running 1s test @ http://127.0.0.1:1/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   608.71us  182.33us   3.20ms   76.19%
    Req/Sec   103.46k     4.67k  110.00k    63.64%
  Latency Distribution
     50%  590.00us
     75%  680.00us
     90%    1.10ms
     99%    1.25ms
  113219 requests in 1.10s, 20.08MB read
{}Requests/sec: 102927.90
"""
H2LOAD = """finished in 1.00s, 91342.00 req/s, 12.11MB/s
requests: 91406 total, 91406 started, 91342 done, {}, 0 errored, 0 timeout
status codes: {}
traffic: 12.11MB (12697000) total
"""


def test_wrk_output():
    got = load.parse_wrk(WRK.format(""))
    assert (got["answers"], got["seconds"], got["bad"], got["errors"]) == (113219, 1.1, 0, "")
    assert got["p50_ms"] == pytest.approx(0.59) and got["p99_ms"] == pytest.approx(1.25)
    bad = load.parse_wrk(WRK.format("  Socket errors: connect 0, read 3, write 0, timeout 0\n  Non-2xx or 3xx responses: 7\n"))
    assert bad["bad"] == 7 and "read 3" in bad["errors"]
    with pytest.raises(RuntimeError):
        load.parse_wrk("unable to connect")


def trickle(listener, answers, piece):
    """A server that answers 10 requests in pieces of so many bytes."""
    conn, _ = listener.accept()
    with conn:
        asked = b""
        while asked.count(b"\r\n\r\n") < 10:
            asked += conn.recv(4096)
        text = b"".join(b"HTTP/1.1 %d X\r\nContent-Length: 2\r\n\r\nin" % status for status in answers)
        for i in range(0, len(text), piece):
            conn.sendall(text[i : i + piece])
        conn.recv(1)  # until the other has closed


@pytest.mark.parametrize("piece", [1, 7, 11, 12, 13, 4096])
def test_flood_counts_each_answer_once(piece):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=trickle, args=(listener, [200, 429, 429] * 3 + [200], piece))
        server.start()
        got = flood.flood(listener.getsockname()[1], load.get("/")(0), 0, connections=1, depth=10)
        server.join()
    assert got.answers == {"200": 4, "429": 6} and 0 < got.seconds < 60


def test_h2load_output():
    good = load.parse_h2load(H2LOAD.format("91342 succeeded, 0 failed", "91342 2xx, 0 3xx, 0 4xx, 0 5xx"))
    assert good["statuses"] == {"2xx": 91342, "3xx": 0, "4xx": 0, "5xx": 0} and good["failed"] == 0
    refused = load.parse_h2load(H2LOAD.format("0 succeeded, 91342 failed", "0 2xx, 0 3xx, 91342 4xx, 0 5xx"))
    assert refused["answers"] == refused["statuses"]["4xx"] == 91342 and refused["failed"] == 0


def test_callgrind_output():
    text = """version: 1
cmd: /usr/sbin/nginx -c x
events: Ir
fn=(1) main
5 10
cfn=(2) malloc
calls=3 0
7 100
fn=(3) f'2
cfn=(2)
calls=4 0
cfn=(3)
calls=2 0
summary: 4321
totals: 4321
"""
    program, total, calls = counting.parse_callgrind(text.splitlines())
    assert (program, total, calls["malloc"], calls["f"]) == ("nginx", 4321, 7, 2)


def test_strace_output():
    text = """% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 60.00    0.500000           5    100000           sendto
 40.00    0.300000           3     90000       120 recvfrom
------ ----------- ----------- --------- --------- ----------------
100.00    0.800000           4    190000       120 total
"""
    assert counting.parse_strace(text) == {"sendto": 100000, "recvfrom": 90000}


@pytest.mark.parametrize(
    "fields, verdict, short_by",
    [
        ({"ratio": 1.1, "target": 1.1}, "met", None),
        ({"ratio": 0.88, "target": 1.1}, "short", 0.2),
        ({"ours": 3.0, "target": 2.0, "of": "at most"}, "short", 0.5),
        ({"ours": 1.9, "target": 2.0, "of": "at most"}, "met", None),
        ({"ours": 99.0, "target": 100.0, "of": "at least"}, "short", 0.01),
        ({"ours": 5.0}, "told", None),
        ({"ratio": 0.99, "target": 1.1, "floor": 0.96}, "at the floor", 0.1),
        ({"ratio": 0.99, "target": 1.1, "floor": 0.94}, "short", 0.1),
        ({"ratio": 1.2, "target": 1.1, "floor": 0.96}, "met", None),
        ({"verdict": "failed", "target": 1.0}, "failed", None),
    ],
)
def test_verdicts(fields, verdict, short_by):
    row = judge.Row("s", "w", **fields).judged()
    assert row.verdict == verdict
    assert row.short_by == (None if short_by is None else pytest.approx(short_by))


def test_at_the_floor_is_not_met():
    row = judge.Row("s", "w", ratio=0.99, target=1.1, floor=0.96).judged()
    assert row.verdict_text() == "at the floor, short by 10%" and report.summary([row]) == "1 at the floor"


def test_a_row_says_how_far_the_floor_is():
    def run(us, kernel):
        return measure.Run(load.Load(1_000_000, 1.0), us, 0.0, us * kernel)

    nginx, floor, ours = ([run(us, kernel)] * 3 for us, kernel in ((7.5, 0.8), (6.0, 0.95), (8.0, 0.75)))
    got = measure.beside_floor(measure.CPU, "nginx", nginx, floor, ours)
    assert got["floor"] == pytest.approx(0.75) and got["floor_ratio"] == pytest.approx(1.25)
    assert "1.25 (1.25 to 1.25) x nginx and costs 75% of rushgate" in got["note"] and "95% of it" in got["note"]


def test_a_ratio_is_more_than_one_where_ours_is_better():
    assert judge.ratios([10, 12], [5, 6], "lower") == [2, 2]
    assert judge.ratios([10, 12], [5, 6], "higher") == [0.5, 0.5]


def document():
    rows = [
        judge.Row("a", "CPU per request", unit="us", peer="nginx", ours=5.0, ours_low=4.8, ours_high=5.5, theirs=6.0,
                  theirs_low=5.9, theirs_high=6.1, ratio=1.2, ratio_low=1.1, ratio_high=1.3, target=1.1,
                  ours_per_s=1e5, theirs_per_s=9e4, ours_generator=0.7, theirs_generator=0.6, pairs=5),
        judge.Row("a", "the run", verdict="failed", note="a | b"),
    ]  # fmt: skip
    scenario = {"name": "a", "what": "A.", "date": "2026-01-02 03:04 UTC", "commit": "abc", "order": 1, "took_s": 1}
    machine = {"date": "2026-01-02 03:04 UTC", "commit": "abc", "processor": "p", "cores": 2, "memory_gb": 8,
               "kernel": "6", "system": "Debian", "file_system": "ext4", "fdatasync_ms": 0.2, "load_before": 0.1,
               "versions": {"nginx": "1.22.1"}}  # fmt: skip
    return {
        "machine": machine,
        "options": {"pairs": 5, "seconds": 3, "connections": 128, "quick": False},
        "scenarios": [{**scenario, "rows": [report.plain(r.judged()) for r in rows]}],
    }


def test_the_page_holds_every_row_and_keeps_what_is_written_by_hand(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "PAGE", str(tmp_path / "benchmarks.md"))
    monkeypatch.setattr(page, "DRAWINGS", str(tmp_path / "bench"))
    (tmp_path / "benchmarks.md").write_text(f"above\n{page.BEGIN}\nold\n{page.END}\nbelow\n")
    page.write(document())
    page.write(document())
    text = (tmp_path / "benchmarks.md").read_text()
    assert text.startswith("above\n") and text.endswith("\nbelow\n") and "old" not in text
    assert text.count("1.20 (1.10 to 1.30)") == 1 and "| failed |" in text and "1 met, 1 failed" in text
    assert (tmp_path / "bench" / "a.svg").read_text().startswith("<svg")


def test_a_scenario_is_saved_when_it_is_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "LAST", str(tmp_path / "bench" / "last.json"))
    first, again = document(), document()
    first["scenarios"].append({**first["scenarios"][0], "name": "b", "order": 2, "run": "2026-01-02 03:04 UTC"})
    report.save_last(first)
    again["machine"] = {**again["machine"], "date": "2026-02-02 03:04 UTC", "commit": "def"}
    again["scenarios"][0].update(run="2026-02-02 03:04 UTC", commit="def")
    report.save_last(again)
    got = report.load_last()
    assert [(s["name"], s["commit"]) for s in got["scenarios"]] == [("a", "def"), ("b", "abc")]
    text = "\n".join(page.other_runs(got["scenarios"], got["machine"]))
    assert "Rows of 1 of the 2 scenarios come from earlier runs (at abc)" in text and text.strip().endswith("when: b.")
    assert page.other_runs(got["scenarios"][:1], got["machine"]) == []


def test_nothing_measured_has_no_drawing():
    assert svg.draw("a", [judge.Row("a", "the run", verdict="failed")]) is None


def test_a_small_run():
    if shutil.which("wrk") is None or shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin") is None:
        pytest.skip("nginx or wrk is not installed")
    env = {**os.environ, "RUSHGATE_BUILD": os.path.abspath(os.environ.get("RUSHGATE_BUILD", os.path.join(ROOT, "build")))}
    done = subprocess.run(
        [os.path.join(BENCH, "run"), "refuse", "--quick", "--pairs", "1", "--connections", "8", "--json", "--no-save"],
        capture_output=True, text=True, env=env,
    )  # fmt: skip
    assert done.returncode in (0, 3), done.stderr  # 3: slower than the target, which is no matter here
    rows = json.loads(done.stdout)["scenarios"][0]["rows"]
    assert rows[0]["verdict"] in ("met", "short", "at the floor") and rows[0]["ours"] > 0 and rows[0]["floor"] > 0
    assert [r["peer"] for r in rows[1:]] == ["nginx return, SCHED_BATCH", "a server that does nothing"]


def test_every_scenario_says_what_it_measures():
    out = subprocess.run([os.path.join(BENCH, "run"), "--list"], capture_output=True, text=True, check=True).stdout
    files = [f for f in os.listdir(BENCH) if f.startswith("scenario_")]
    assert len(out.splitlines()) == len(files)


def test_an_unknown_scenario_is_refused():
    done = subprocess.run([os.path.join(BENCH, "run"), "nonsense"], capture_output=True, text=True)
    assert done.returncode == 2 and "no scenario 'nonsense'" in done.stderr
