"""The figures of a run as they are written down: JSON by fixed keys, and a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.servers import (
    CONTROL,
    ECHO,
    GO_PIPELINED,
    GO_POOLED,
    GRPCIO,
    NATIONAL,
    NGHTTP2,
    TLS,
    Measured,
    better,
)
from bench.straight import StoreFigures

Results = dict[str, Any]
RESULTS = Path("bench/results/latest.json")

_GROWTH = ("growth_users", "growth_prefixes", "growth_running_calls", "growth_workers")
_KEPT = (
    "start_to_first_answer_s_users_largest",
    "mebibytes_per_100000_users",
    "redis_bytes_per_running_call",
    "redis_bytes_per_journal_entry",
    "redis_bytes_per_tenant",
    "two_workers_speedup",
)
_OF_WORKERS = {"growth_workers", "two_workers_speedup"}
_NOT_GROWN = "measured by the full run only"
_NO_WORKERS = "fewer than 4 cores, or not the full run"
TITLES = {
    ECHO: "empty echo, grpcio `grpc.aio`",
    GRPCIO: "AuthorizeCall on grpcio",
    NGHTTP2: "AuthorizeCall on nghttp2",
    NATIONAL: "the same, a fifth spelled nationally",
    TLS: "the same, over TLS",
    CONTROL: "AuthorizeCall items in one ControlCalls stream",
    "authorize_go": "the same RPC and FCALL in Go",
}
# Name, over, under, at most. The aims of the project, not limits that fail a run.
RATIOS = (
    ("CPU, nghttp2 / empty echo", NGHTTP2, ECHO, "cpu_us", 0.15),
    ("CPU, nghttp2 / Go", NGHTTP2, "authorize_go", "cpu_us", 1.25),
    ("p50 alone, nghttp2 / Go", NGHTTP2, "authorize_go", "p50_us", 1.6),
    ("p50 alone, nghttp2 / empty echo", NGHTTP2, ECHO, "p50_us", 0.65),
    ("CPU, ControlCalls item / nghttp2", CONTROL, NGHTTP2, "cpu_us", 0.6),
    ("CPU, TLS / plain", TLS, NGHTTP2, "cpu_us", 1.25),
)


def gather(
    measured: Mapping[str, Measured],
    missing: Mapping[str, str],
    *,
    store: Mapping[str, StoreFigures],
    grown: Mapping[str, float | None],
) -> Results:
    """Put all figures under their keys; what was not measured is null, with the reason."""
    rows: dict[str, Measured | None] = {name: measured.get(name) for name in TITLES}
    rows["authorize_go"] = better(measured, (GO_POOLED, GO_PIPELINED))
    reserve, small = store["reserve"], store["small"]
    why_missing = {_row_of(name): reason for name, reason in missing.items()}
    results: Results = {
        **{f"{name}_cpu_us": _figure(row, "busy", "cpu_us_per_call") for name, row in rows.items()},
        "control_decisions_per_s": _figure(rows[CONTROL], "busy", "calls_per_second"),
        "redis_limit_per_s": round(reserve.calls_per_second),
        "redis_cpu_per_reserve_us": round(reserve.cpu_us_per_call, 2),
        "redis_cpu_per_small_fcall_us": round(small.cpu_us_per_call, 2),
        "calls_per_s": _by_server(rows, "busy", "calls_per_second"),
        "p50_us": _by_server(rows, "alone", "p50_us"),
        "p99_us": _by_server(rows, "alone", "p99_us"),
        "open_p50_us": _by_server(rows, "open", "p50_us"),
        "open_p99_us": _by_server(rows, "open", "p99_us"),
        **{name: _rounded(grown.get(name)) for name in (*_GROWTH, *_KEPT)},
    }
    for name in (*_GROWTH, *_KEPT):
        if results[name] is None:
            why_missing[name] = _NO_WORKERS if name in _OF_WORKERS else _NOT_GROWN
    return results | {"not_measured": why_missing, "ratios": dict(_ratios(results))}


def table(results: Results) -> str:
    """Write the figures of a run as Markdown."""
    lines = [
        "| server | CPU us per call | calls/s | p50 us | p99 us | half: p50 us | half: p99 us |",
        "|---|---|---|---|---|---|---|",
        *(_row(results, name, title) for name, title in TITLES.items()),
        "",
        "| ratio | measured | aim, at most |",
        "|---|---|---|",
        *(
            f"| {name} | {_text(results['ratios'][name], 3)} | {aim} |"
            for name, *_, aim in (*RATIOS, _STORE_RATIO, *_GROWTH_AIMS)
        ),
        "",
        "| the store | |",
        "|---|---|",
        f"| reserves a second, pipelined, one shard | {results['redis_limit_per_s']} |",
        f"| CPU us of a reserve | {results['redis_cpu_per_reserve_us']} |",
        f"| CPU us of a function of three commands | {results['redis_cpu_per_small_fcall_us']} |",
        *(f"| {name.replace('_', ' ')} | {_text(results[name], 1)} |" for name in _KEPT),
    ]
    return "\n".join(lines)


def short_table(results: Results) -> str:
    """Write what a call costs, and where it stands to an empty one and to Go, as Markdown."""
    ratios = results["ratios"]
    told = ", ".join(f"{_text(ratios[name], 2)} ({name})" for name in _SHORT_RATIOS)
    return "\n".join(
        [
            "| one call | CPU us of the server | p50 us, one at a time |",
            "|---|---|---|",
            *(
                f"| {TITLES[name]} | {_text(results[f'{name}_cpu_us'], 0)} "
                f"| {_text(results['p50_us'][name], 0)} |"
                for name in _SHORT
            ),
            "",
            f"{results['date'][:10]}, `{results['command']}`; ratios: {told}.",
        ]
    )


_SHORT = (ECHO, NGHTTP2, CONTROL, "authorize_go")
_SHORT_RATIOS = tuple(name for name, *_ in RATIOS[:3])
_STORE_RATIO = ("CPU of the store, reserve / three commands", 4)
_GROWTH_AIMS = tuple((name.replace("_", " "), 1.25) for name in _GROWTH)


def _ratios(results: Results) -> Iterator[tuple[str, float | None]]:
    for name, over, under, what, _ in RATIOS:
        if what == "cpu_us":
            values = results[f"{over}_cpu_us"], results[f"{under}_cpu_us"]
        else:
            values = results[what][over], results[what][under]
        yield name, _ratio(*values)
    reserve, small = results["redis_cpu_per_reserve_us"], results["redis_cpu_per_small_fcall_us"]
    yield _STORE_RATIO[0], _ratio(reserve, small)
    for name in _GROWTH:
        yield name.replace("_", " "), results[name]


def _ratio(over: float | None, under: float | None) -> float | None:
    return None if over is None or not under else round(over / under, 3)


def _row(results: Results, name: str, title: str) -> str:
    figures = [results[f"{name}_cpu_us"]]
    kinds = ("calls_per_s", "p50_us", "p99_us", "open_p50_us", "open_p99_us")
    figures += [results[kind][name] for kind in kinds]
    return f"| {title} | {' | '.join(_text(figure, 1) for figure in figures)} |"


def _text(figure: float | None, digits: int) -> str:
    return "-" if figure is None else f"{figure:.{digits}f}"


def _row_of(name: str) -> str:
    return "authorize_go" if name in {GO_POOLED, GO_PIPELINED} else name


def _by_server(rows: Mapping[str, Measured | None], of: str, what: str) -> dict[str, float | None]:
    return {name: _figure(row, of, what) for name, row in rows.items()}


def _figure(row: Measured | None, of: str, what: str) -> float | None:
    return None if row is None else _rounded(row.median(of, what))


def _rounded(figure: float | None) -> float | None:
    return None if figure is None else round(figure, 2)
