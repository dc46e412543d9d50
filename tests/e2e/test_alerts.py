# SPDX-License-Identifier: BSD-2-Clause
"""etc/prometheus and etc/grafana: every metric, label and value in them is one that a gateway shows, and
every alert is in docs/operations.md."""

import json
import os
import re
import shutil
import subprocess

import pytest

from gateway import ROOT, Gateway, base_config, wait_for
from redis_server import RedisServer

RULES = os.path.join(ROOT, "etc", "prometheus", "rushgate.rules.yaml")
DASHBOARD = os.path.join(ROOT, "etc", "grafana", "rushgate.json")
PROMTOOL = os.environ.get("RUSHGATE_PROMTOOL") or shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool (package prometheus) is not here")

OF_TARGETS = {"instance", "job"}  # Prometheus puts them to whatever it scrapes
OF_PROMETHEUS = {"up": [{}]}


def rules():
    """[{"record" or "alert": name, "expr": …, "summary": …}]. The file is plain enough to be read without
    a library: `key: value` lines, and `expr: >-` with its lines indented further."""
    found, folded = [], None
    with open(RULES) as f:
        for line in f:
            text, indent = line.strip(), len(line) - len(line.lstrip())
            if folded is not None and indent > folded:
                found[-1]["expr"] += " " + text
                continue
            folded = None
            key, _, value = text.partition(": ")
            if key in ("- record", "- alert"):
                found.append({key[2:]: value})
            elif key == "expr" and value == ">-":
                found[-1]["expr"], folded = "", indent
            elif key in ("expr", "summary"):
                found[-1][key] = value
    return found


def with_variables_filled(expr):
    return expr.replace("$__rate_interval", "1m").replace("$instance", ".*")


def panels():
    """(title, expression, legend)"""
    with open(DASHBOARD) as f:
        board = json.load(f)
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], with_variables_filled(target["expr"]), target["legendFormat"]
    for note in board["annotations"]["list"]:
        yield note["name"], with_variables_filled(note["expr"]), note["textFormat"]


@pytest.fixture(scope="module")
def metrics():
    """{name: [labels]} of a gateway that has one of each thing."""
    redis = RedisServer().start()
    config = base_config()
    config["redis"] = {"servers": [redis.address]}
    config["limits"] = {"few": {"key": "client_ip", "rate": "100/s", "shared": True}}
    config["upstreams"]["boxoffice"].update(health={"interval": "100ms"},
                                            concurrency={"mode": "adaptive"})
    config["splits"] = {"ab": {"by": "client_ip", "arms": {
        "A": {"weight": 1}, "B": {"weight": 1, "respond": {"status": 503, "body": "later"}}}}}
    config["routes"][1].update(split="ab", limits=["few"])
    gateway = Gateway(base=config)
    try:
        gateway.start()
        gateway.create_event()
        gateway.buy()
        def shown():
            text = gateway.admin.get("/metrics").body.decode()
            return "rushgate_event_units" in text and 'created"} 1' in text and text
        yield parsed(wait_for(shown, "the figures of the box office"))
    finally:
        gateway.close()
        redis.close()


def parsed(text):
    found = dict(OF_PROMETHEUS)
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, labels = re.match(r"(\w+)(?:\{(.*)\})? ", line).groups()
            found.setdefault(name, []).append(dict(re.findall(r'(\w+)="((?:\\.|[^"\\])*)"', labels or "")))
    return found


WORDS = {"by", "without", "on", "ignoring", "group_left", "group_right", "and", "or", "unless", "bool"}
GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")


def selectors(expr):
    """[(metric, [(label, operator, value)])]: the names that are no function, no word and no label."""
    found = []
    bare = GROUPING.sub(" ", expr)
    for name, labels, called in re.findall(r'(?<![\w:"$])([a-zA-Z_:][\w:]*)\s*(\{[^}]*\})?(\s*\()?',
                                           re.sub(r"\[\d+[smhd]\]", " ", bare)):
        if not called and name not in WORDS:
            found.append((name, re.findall(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"', labels)))
    return found


def labels_of(name, seen, recorded):
    if name in recorded:
        return set().union(*(labels_of(n, seen, recorded) for n, _ in selectors(recorded[name])))
    return {label for labels in seen[name] for label in labels}


def values_of(name, label, seen, recorded):
    if name in recorded:
        return set().union(*(values_of(n, label, seen, recorded) for n, _ in selectors(recorded[name])))
    return {labels[label] for labels in seen[name] if label in labels}


def wrong_with(expr, text, seen, recorded):
    """What does not exist of an expression and of the text that goes with it."""
    wrong, labels = [], set(OF_TARGETS)
    for name, conditions in selectors(expr):
        if name not in seen and name not in recorded:
            wrong.append(f"no metric {name}")
            continue
        labels |= labels_of(name, seen, recorded)
        for label, operator, value in conditions:
            if label in OF_TARGETS:
                continue
            values = values_of(name, label, seen, recorded)
            for one in value.split("|") if "~" in operator else [re.escape(value)]:
                if not any(re.fullmatch(one, v) for v in values):
                    wrong.append(f"no {name} with {label} {one}, only {sorted(values)}")
    used = {w.strip() for inside in GROUPING.findall(expr) for w in inside.split(",") if w.strip()}
    used |= set(re.findall(r"\$labels\.(\w+)", text)) | set(re.findall(r"\{\{(\w+)\}\}", text))
    return wrong + [f"no label {label}" for label in sorted(used - labels)]


def test_rules_name_what_exists(metrics):
    all_rules = rules()
    recorded = {r["record"]: r["expr"] for r in all_rules if "record" in r}
    assert len(recorded) >= 5 and len(all_rules) - len(recorded) >= 20
    wrong = {r.get("alert") or r["record"]: found for r in all_rules
             if (found := wrong_with(r["expr"], r.get("summary", ""), metrics, recorded))}
    assert not wrong, wrong
    assert all(selectors(r["expr"]) for r in all_rules)


def test_dashboard_names_what_exists(metrics):
    wrong = [(title, found) for title, expr, legend in panels()
             if (found := wrong_with(expr, legend, metrics, {}))]
    assert not wrong, wrong


def test_the_checks_see_what_is_wrong(metrics):
    def wrong(expr, text=""):
        return wrong_with(expr, text, metrics, {})
    assert not wrong('sum by (outcome) (rate(rushgate_purchases_total{outcome=~"created|sold-out"}[1m]))',
                     "{{ $labels.instance }}{{ $labels.outcome }}")
    assert wrong("rate(rushgate_purchase_total[1m])") == ["no metric rushgate_purchase_total"]
    assert wrong("sum by (reason) (rushgate_purchases_total)") == ["no label reason"]
    assert "with outcome sold" in wrong('rushgate_purchases_total{outcome=~"created|sold"}')[0]
    assert "with le 1," in wrong('rushgate_config_adoption_seconds_bucket{le="1"}')[0]
    assert wrong("rushgate_draining", "{{worker}}") == ["no label worker"]


def test_every_alert_is_documented():
    with open(os.path.join(ROOT, "docs", "operations.md")) as f:
        rows = re.findall(r"^\| `(Rushgate\w+)` \|", f.read(), re.MULTILINE)
    assert rows == [r["alert"] for r in rules() if "alert" in r]


def test_dashboard_is_laid_out():
    with open(DASHBOARD) as f:
        board = json.load(f)
    taken = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken and at["x"] + at["w"] <= 24, panel["title"]
        taken |= cells
    ids = [p["id"] for p in board["panels"]]
    assert len(set(ids)) == len(ids)


@needs_promtool
def test_promtool_accepts_the_rules(tmp_path):
    # What the dashboard asks is only looked at: it becomes rules of its own.
    (tmp_path / "dashboard.yaml").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": [
        {"record": f"panel:{i}", "expr": expr} for i, (_, expr, _) in enumerate(panels())]}]}))
    for words in (["check", "rules", RULES], ["check", "rules", "dashboard.yaml"],
                  ["test", "rules", os.path.join(ROOT, "tests", "e2e", "rules_test.yaml")]):
        done = subprocess.run([PROMTOOL, *words], cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
