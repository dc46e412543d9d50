# SPDX-License-Identifier: BSD-2-Clause
"""docs/benchmarks.md between its marks, and docs/bench/*.svg, from the last run's JSON."""

import os

from . import gateway, judge, report, svg

PAGE = os.path.join(gateway.TOP, "docs", "benchmarks.md")
DRAWINGS = os.path.join(gateway.TOP, "docs", "bench")
BEGIN, END = "<!-- results: tools/bench/run --write-docs -->", "<!-- end of results -->"



def machine_lines(machine, options):
    versions = ", ".join(f"{k} {v}" for k, v in machine["versions"].items())
    return [
        f"Measured {machine['date']} at commit {machine['commit']}: {machine['processor']}, {machine['cores']} cores,"
        f" {machine['memory_gb']} GB, {machine['system']}, kernel {machine['kernel']}; files on"
        f" {machine['file_system']} with an fdatasync of {machine['fdatasync_ms']} ms; load average before the run"
        f" {machine['load_before']}.",
        "",
        f"Pairs: {options['pairs']}, runs of {options['seconds']} s, {options['connections']} connections unless a row says"
        f" otherwise{' (quick run: sizes are reduced)' if options['quick'] else ''}. Peers: {versions}.",
    ]


def rates(row):
    """Requests a second and the generator's processors, ours / theirs."""
    if row.ours_per_s is None:
        return "", ""
    per_s = report.number(row.ours_per_s)
    if row.theirs_per_s is not None:
        per_s += " / " + report.number(row.theirs_per_s)
    shares = [f"{g:.0%}" for g in (row.ours_generator, row.theirs_generator) if g is not None]
    return per_s, " / ".join(shares)


def row_line(row):
    _, what, ours, peer, theirs, ratio, spread, target, verdict = report.cells(row)
    per_s, generator = rates(row)
    cells = [what, ours, peer, theirs, f"{ratio} ({spread})" if spread else ratio, per_s, generator, target, verdict]
    return "| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |"


def is_other_run(scenario, machine):
    return scenario.get("run", scenario["date"]) != machine["date"]


def measured_line(scenario):
    options = scenario.get("options")
    how = f", {options['pairs']} pairs of {options['seconds']} s{', a quick run' if options['quick'] else ''}" if options else ""
    return f"Measured {scenario['date']} at commit {scenario['commit']}{how}."


def other_runs(scenarios, machine):
    """Says which sections come from another run than the last."""
    others = [s for s in scenarios if is_other_run(s, machine)]
    if not others:
        return []
    commits = sorted({s["commit"] for s in others})
    return [
        f"Rows of {len(others)} of the {len(scenarios)} scenarios come from earlier runs (at {', '.join(commits)});"
        f" their sections say when: {', '.join(s['name'] for s in others)}.",
        "",
    ]


def section(scenario, machine, drawn):
    rows = report.rows_of(scenario)
    out = [f"### {scenario['name']}", "", scenario["what"], ""]
    if scenario.get("about"):
        out += [scenario["about"], ""]
    if is_other_run(scenario, machine):
        out += [measured_line(scenario), ""]
    out += [
        "| what | rushgate | peer | peer's | ratio (low to high) | answers/s, ours / peer's | generator | target | verdict |",
        "|---|---|---|---|---|---|---|---|---|",
        *(row_line(r) for r in rows),
        "",
    ]
    notes = dict.fromkeys(f"- {r.case + ': ' if r.case else ''}{r.note.strip()}" for r in rows if r.note)
    if notes:
        out += [*notes, ""]
    if drawn:
        out += [f"![{scenario['name']}](bench/{scenario['name']}.svg)", ""]
    return out


def overview(scenarios):
    """Every row that has a target, first those that miss it, then those that cannot do better."""
    rows = [r for s in scenarios for r in report.rows_of(s)]
    judged = [r for r in rows if r.target is not None or r.verdict in (judge.FAILED, judge.LEFT_OUT)]
    out = ["| scenario | what | figure | target | verdict |", "|---|---|---|---|---|"]
    for r in sorted(judged, key=lambda r: (r.verdict == judge.MET, r.verdict == judge.AT_FLOOR)):
        _, what, ours, peer, _, ratio, _, target, verdict = report.cells(r)
        figure = f"{ratio} x {peer}" if r.of == "ratio" and ratio else ours
        out.append(f"| [{r.scenario}](#{r.scenario}) | {what} | {figure} | {target} | {verdict} |")
    return [f"{report.summary(rows)}.", "", *out, ""]


def draw_all(scenarios):
    """Names of scenarios that have a drawing now."""
    os.makedirs(DRAWINGS, exist_ok=True)
    drawn = set()
    for s in scenarios:
        text = svg.draw(s["name"], report.rows_of(s))
        if text:
            with open(os.path.join(DRAWINGS, s["name"] + ".svg"), "w") as f:
                f.write(text)
            drawn.add(s["name"])
    for old in os.listdir(DRAWINGS):
        if old.removesuffix(".svg") not in drawn:
            os.remove(os.path.join(DRAWINGS, old))
    return drawn


def results(document):
    scenarios, machine = document["scenarios"], document["machine"]
    drawn = draw_all(scenarios)
    out = [*machine_lines(machine, document["options"]), "", *other_runs(scenarios, machine), "## Verdicts", "", *overview(scenarios), "## Scenarios", ""]
    for s in scenarios:
        out += section(s, machine, s["name"] in drawn)
    return "\n".join(out).rstrip() + "\n"


def write(document):
    with open(PAGE) as f:
        before, _, rest = f.read().partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise RuntimeError(f"{PAGE} has no marks {BEGIN} and {END}")
    with open(PAGE, "w") as f:
        f.write(f"{before}{BEGIN}\n\n{results(document)}\n{END}{after}")
