"""Draw the chart of the README: python -m benchmarks.chart in.json out.svg.

in.json is the output of benchmarks.run. Each row is one piece of work; its bars show
the cost of the peers as multiples of the cost of a tasklet. The scale is logarithmic,
because a switch between threads takes hundreds of times as long.
"""

import json
import math
import sys
from pathlib import Path

ROWS = {
    "schedule_2": "switch",
    "request_reply": "message, in a request and reply",
    "create_single": "start, run and finish",
    "memory": "memory while waiting",
}
PEERS = {"gevent": "#2a9d8f", "asyncio": "#e9a23b", "threads": "#c8553d"}
MINE = "#264653"

WIDTH, LEFT, RIGHT, TOP = 720, 210, 60, 58
BAR, GAP = 13, 14  # heights of a bar and of the space between two rows
TICKS = (0.1, 1, 10, 100, 1000)


def multiples(report):
    """Return for each measured row the costs of the peers, a tasklet being 1."""
    found = {}
    for name, title in ROWS.items():
        results = report["workloads"].get(name)
        if results:
            mine = results["tasklets"]["median"]
            found[title] = {
                peer: results[peer]["median"] / mine
                for peer in PEERS
                if peer in results
            }
    return found


def number(value):
    """Return a multiple with two digits, or without a fraction if it is large."""
    return f"{value:.1f}" if value < 10 else f"{value:.0f}"


def place(value):
    """Return the horizontal place of a multiple."""
    low, high = math.log10(TICKS[0]), math.log10(TICKS[-1])
    share = (math.log10(value) - low) / (high - low)
    return LEFT + min(max(share, 0), 1) * (WIDTH - LEFT - RIGHT)


def text(x, y, words, anchor="start", **options):
    """Return a text element."""
    more = "".join(f' {name.replace("_", "-")}="{v}"' for name, v in options.items())
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}"{more}>{words}</text>'


def bar(y, value, colour, title):
    """Return a bar from 1 to a value, and the value beside it."""
    start, end = sorted((place(1), place(value)))
    yield (
        f'<rect x="{start:.1f}" y="{y}" width="{end - start:.1f}" height="{BAR - 2}" '
        f'fill="{colour}"><title>{title}: {number(value)}</title></rect>'
    )
    x, anchor = (end + 4, "start") if value >= 1 else (start - 4, "end")
    yield text(x, y + BAR - 3, number(value), anchor)


def draw(report):
    """Return the chart as lines of SVG; none if no row of it was measured."""
    rows = multiples(report)
    if not rows:
        return []
    bars = sum(len(peers) for peers in rows.values())
    height = TOP + bars * BAR + len(rows) * GAP + 30
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="11">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        text(12, 20, "What the same work costs elsewhere, a tasklet = 1", font_size=14),
    ]
    for tick in TICKS:
        x, width = place(tick), 2 if tick == 1 else 1
        colour = MINE if tick == 1 else "#dddddd"
        lines += [
            f'<line x1="{x:.1f}" y1="{TOP - 6}" x2="{x:.1f}" y2="{height - 26}" '
            f'stroke="{colour}" stroke-width="{width}"/>',
            text(x, height - 12, f"{tick:g}", "middle"),
        ]
    x = LEFT
    for name, colour in PEERS.items():
        lines += [
            f'<rect x="{x}" y="32" width="10" height="10" fill="{colour}"/>',
            text(x + 14, 41, name),
        ]
        x += 90
    y = TOP
    for title, peers in rows.items():
        lines.append(text(LEFT - 10, y + len(peers) * BAR / 2 + 4, title, "end"))
        for name, value in peers.items():
            lines += bar(y, value, PEERS[name], f"{name}, {title}")
            y += BAR
        y += GAP
    return [*lines, "</svg>"]


def main(source, target):
    """Write the chart of a report; say so if there is nothing to draw."""
    lines = draw(json.loads(Path(source).read_text()))
    if lines:
        Path(target).write_text("\n".join(lines) + "\n")
    else:
        print(f"no chart: {source} has none of {', '.join(ROWS)}", file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:3])
