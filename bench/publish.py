"""Takes the last run into the documents: `python -m bench.publish` writes tables, plot and figures.

Whoever runs the benchmark gets `bench/results/latest.json`, which is theirs and not committed. What
is committed is a run that somebody chose to publish, with its machine, versions, command and date.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from string import Template

from bench.plot import bars
from bench.results import RESULTS, Results, short_table, table

PUBLISHED = Path("bench/results/published.json")
PAGE, PLOT = Path("docs/benchmark.md"), Path("docs/benchmark.svg")
PAGE_TEMPLATE = Path("bench/page.md")
README = Path("README.md")
_BEGIN, _END = "<!-- from the benchmark -->\n", "<!-- to here -->\n"


def main() -> None:
    """Write all files from the last run."""
    text = RESULTS.read_text(encoding="utf-8")
    results: Results = json.loads(text)
    PUBLISHED.write_text(text, encoding="utf-8")
    PLOT.write_text(bars(results), encoding="utf-8")
    PAGE.write_text(page(results), encoding="utf-8")
    README.write_text(with_figures(README.read_text(encoding="utf-8"), results), encoding="utf-8")
    written = ", ".join(map(str, (PUBLISHED, PLOT, PAGE, README)))
    sys.stdout.write(f"{written} now tell of {results['date']}\n")


def with_figures(readme: str, results: Results) -> str:
    """Put the short table of a run in its place in the README."""
    before, _, rest = readme.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return f"{before}{_BEGIN}{short_table(results)}\n{_END}{after}"


def page(results: Results) -> str:
    """Write the page of the documents about a run."""
    template = Template(PAGE_TEMPLATE.read_text(encoding="utf-8"))
    about: Mapping[str, str] = results["machine"] | (results["go_versions"] or {})
    missing: Mapping[str, str] = results["not_measured"]
    return template.substitute(
        date=results["date"],
        command=results["command"],
        commit=results["commit"],
        machine="\n".join(f"| {name} | {value} |" for name, value in about.items()),
        table=table(results),
        missing="\n".join(f"- {name}: {reason}." for name, reason in missing.items())
        or "Everything was measured.",
    )


if __name__ == "__main__":
    main()
