# SPDX-License-Identifier: BSD-2-Clause
"""Bars of one scenario: ours and each peer's median, with a line from the lowest to the highest run."""

import html

from . import judge, report

WIDTH, LEFT, RIGHT, BAR, GAP, HEAD = 720, 250, 100, 14, 4, 20
OURS, THEIRS, WHISKER, TEXT, GREY = "#2f6f4f", "#9aa5b1", "#444", "#1f2328", "#57606a"


def groups(rows):
    """[(title, unit, [(label, value, low, high, colour)])]: rows of one case and figure together."""
    out = {}
    for r in rows:
        if r.ours is None or r.verdict == judge.FAILED:
            continue
        title = f"{r.case}: {r.what}" if r.case else r.what
        bars = out.setdefault((title, r.unit), [])
        if not bars:
            bars.append(("rushgate", r.ours, r.ours_low, r.ours_high, OURS))
        if r.theirs is not None:
            bars.append((r.peer, r.theirs, r.theirs_low, r.theirs_high, THEIRS))
    return [(title, unit, bars) for (title, unit), bars in out.items()]


def text(x, y, words, size=11, fill=TEXT, anchor="start"):
    return f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}" fill="{fill}" text-anchor="{anchor}">{html.escape(words)}</text>'


def bar(y, scale, label, value, low, high, colour, unit):
    end = LEFT + value * scale
    middle = y + BAR / 2
    out = [
        text(LEFT - 6, y + BAR - 3, label, anchor="end"),
        f'<rect x="{LEFT}" y="{y}" width="{max(value * scale, 1):.1f}" height="{BAR}" fill="{colour}"/>',
    ]
    if low is not None and high > low:
        out.append(
            f'<path d="M{LEFT + low * scale:.1f} {middle}H{LEFT + high * scale:.1f}" stroke="{WHISKER}" stroke-width="2"/>'
        )
    words = f"{report.number(value)} {unit}".rstrip()
    out.append(text(max(end, LEFT + (high or 0) * scale) + 5, y + BAR - 3, words, fill=GREY))
    return out


def draw(name, rows):
    """The file's text, or None where nothing was measured."""
    parts, y = [], 6
    for title, unit, bars in groups(rows):
        scale = (WIDTH - LEFT - RIGHT) / (max(b[3] or b[1] for b in bars) or 1)
        parts.append(text(8, y + 13, f"{title}{', ' + unit if unit else ''}", size=12))
        y += HEAD
        for b in bars:
            parts += bar(y, scale, *b, unit)
            y += BAR + GAP
        y += 8
    if not parts:
        return None
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" viewBox="0 0 {WIDTH} {y}"'
            f' font-family="sans-serif" role="img" aria-label="{html.escape(name)}">',
            f'<rect width="{WIDTH}" height="{y}" fill="#fff"/>',
            *parts,
            "</svg>",
            "",
        ]
    )
