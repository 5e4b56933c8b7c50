"""Charts of money over days: bars for a terminal, lines for a page. Nothing but text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

_BAR_WIDTH = 40
_EIGHTHS = " ▏▎▍▌▋▊▉█"

_WIDTH, _HEIGHT = 860, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 90, 20, 66, 34
_PAIR = 38
_STYLE = (
    "text{font:14px sans-serif;fill:#24292f}.title{font-weight:bold}.note{font-size:12px}"
    "polyline{fill:none;stroke-width:2}.line0{stroke:#0969da}.line1{stroke:#8c959f}"
    ".key0{fill:#0969da}.key1{fill:#8c959f}.axis{stroke:#8c959f;stroke-dasharray:4 4}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.line0{stroke:#4493f8}"
    ".key0{fill:#4493f8}.line1{stroke:#6e7681}.key1{fill:#6e7681}}"
)


class Line(NamedTuple):
    """One line of a chart: its name, and a figure for each day."""

    name: str
    figures: Sequence[int]


def bar(figure: int, most: int) -> str:
    """Draw a figure as a bar, the most being the longest; what is below zero has none."""
    if most <= 0 or figure <= 0:
        return ""
    whole, rest = divmod(figure * _BAR_WIDTH * 8 // most, 8)
    return "█" * whole + _EIGHTHS[rest].strip()


def lines_svg(title: str, days: Sequence[str], lines: Sequence[Line]) -> str:
    """Draw two lines at most over days, as SVG for light and dark pages."""
    figures = [figure for line in lines for figure in line.figures]
    low, high = min(0, *figures), max(1, *figures)
    drawn = [
        f'<polyline class="line{number}" points="{_points(line.figures, low, high)}"/>'
        f'<rect class="key{number}" x="{_LEFT + 200 * number}" y="38" width="14" height="14"/>'
        f'<text x="{_LEFT + 200 * number + 20}" y="50">{escape(line.name)}</text>'
        for number, line in enumerate(lines)
    ]
    axes = [
        f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{_y(at, low, high):.1f}"'
        f' y2="{_y(at, low, high):.1f}"/><text class="note" x="{_LEFT - 8}"'
        f' y="{_y(at, low, high) + 4:.1f}" text-anchor="end">{at / 1_000_000:,.0f}</text>'
        for at in sorted({low, 0, high})
    ]
    foot = _HEIGHT - 10
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">',
            f"<title>{escape(title)}</title><style>{_STYLE}</style>",
            f'<text class="title" x="10" y="26">{escape(title)}</text>',
            *axes,
            *drawn,
            f'<text class="note" x="{_LEFT}" y="{foot}">{escape(days[0])}</text>',
            f'<text class="note" x="{_WIDTH - _RIGHT}" y="{foot}" text-anchor="end">'
            f"{escape(days[-1])}</text>",
            "</svg>",
            "",
        ]
    )


class Pair(NamedTuple):
    """One row of bars: its name, and two figures side by side."""

    name: str
    first: int
    second: int


def pairs_svg(title: str, names: tuple[str, str], rows: Sequence[Pair]) -> str:
    """Draw two bars for each row, as SVG for light and dark pages."""
    most = max([1, *(figure for row in rows for figure in row[1:])])
    height = _TOP + _PAIR * len(rows) + 10
    drawn = []
    for at, row in enumerate(rows):
        y = _TOP + _PAIR * at
        drawn.append(
            f'<text x="{_LEFT - 8}" y="{y + 20}" text-anchor="end">{escape(row.name)}</text>'
        )
        for number, figure in enumerate(row[1:]):
            width = (_WIDTH - _LEFT - _RIGHT - 90) * max(0, figure) / most
            top = y + 15 * number
            drawn.append(
                f'<rect class="key{number}" x="{_LEFT}" y="{top}" width="{width:.1f}" height="12"/>'
                f'<text class="note" x="{_LEFT + width + 6:.1f}" y="{top + 11}">'
                f"{figure / 1_000_000:,.2f}</text>"
            )
    keys = [
        f'<rect class="key{number}" x="{_LEFT + 200 * number}" y="38" width="14" height="14"/>'
        f'<text x="{_LEFT + 200 * number + 20}" y="50">{escape(name)}</text>'
        for number, name in enumerate(names)
    ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">',
            f"<title>{escape(title)}</title><style>{_STYLE}</style>",
            f'<text class="title" x="10" y="26">{escape(title)}</text>',
            *keys,
            *drawn,
            "</svg>",
            "",
        ]
    )


def _points(figures: Sequence[int], low: int, high: int) -> str:
    step = (_WIDTH - _LEFT - _RIGHT) / max(1, len(figures) - 1)
    return " ".join(
        f"{_LEFT + step * at:.1f},{_y(figure, low, high):.1f}" for at, figure in enumerate(figures)
    )


def _y(figure: int, low: int, high: int) -> float:
    return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (high - figure) / (high - low)
