"""The plot of a run: one bar a server, how much CPU a call costs it. Plain SVG, light and dark."""

from __future__ import annotations

from xml.sax.saxutils import escape

from bench.results import TITLES, Results

_WIDTH, _LEFT, _RIGHT = 860, 330, 90
_ROW, _BAR, _TOP, _BOTTOM = 36, 20, 46, 34
_STYLE = (
    "text{font:14px sans-serif;fill:#24292f}.title{font-weight:bold}.note{font-size:12px}"
    ".bar{fill:#8c959f}.ours{fill:#0969da}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.bar{fill:#6e7681}.ours{fill:#4493f8}}"
)


def bars(results: Results) -> str:
    """Draw the CPU time per call of every server that was measured."""
    rows = [
        (title, results[f"{name}_cpu_us"], "ours" if "nghttp2" in name else "bar")
        for name, title in TITLES.items()
        if results[f"{name}_cpu_us"] is not None
    ]
    most = max(figure for _, figure, _ in rows)
    height = _TOP + _ROW * len(rows) + _BOTTOM
    drawn = [_row(at, row, most) for at, row in enumerate(rows)]
    cpu, date = escape(results["machine"]["cpu"]), results["date"][:10]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">',
            f"<title>CPU time per call</title><style>{_STYLE}</style>",
            '<text class="title" x="10" y="26">CPU time per call in microseconds</text>',
            *drawn,
            f'<text class="note" x="10" y="{height - 10}">32 in flight, server on one core; '
            f"{cpu}, {date}</text>",
            "</svg>",
            "",
        ]
    )


def _row(at: int, row: tuple[str, float, str], most: float) -> str:
    title, figure, kind = row
    y = _TOP + at * _ROW
    width = (_WIDTH - _LEFT - _RIGHT) * figure / most
    plain = escape(title.replace("`", ""))
    return (
        f'<text x="{_LEFT - 10}" y="{y + 15}" text-anchor="end">{plain}</text>'
        f'<rect class="{kind}" x="{_LEFT}" y="{y}" width="{width:.1f}" height="{_BAR}"/>'
        f'<text x="{_LEFT + width + 8:.1f}" y="{y + 15}">{figure:.0f}</text>'
    )
