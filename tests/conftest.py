"""What holds for every test."""

import os

import pytest

import run_hooks

# Needs programs that `make test-sip` installs.
collect_ignore = [] if os.environ.get("TEST_SIP") else ["sip"]

# Tests start stores and engines while gRPC runs beside them; its hooks on fork would end some.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

_skipped: list[str] = []


def pytest_configure() -> None:
    run_hooks.choose_order()


def pytest_report_header() -> str:
    return run_hooks.order()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    run_hooks.leave_out(items)
    run_hooks.shuffle(items)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and isinstance(report.longrepr, tuple):
        _skipped.append(report.longrepr[2])


def pytest_unconfigure(config: pytest.Config) -> None:
    """Say last what was not run; in the process that people look at."""
    if not hasattr(config, "workerinput"):
        all_files = config.args_source is pytest.Config.ArgsSource.TESTPATHS
        lines = [run_hooks.order(), *run_hooks.not_run(_skipped, all_files=all_files)]
        for line in filter(None, lines):
            config.get_terminal_writer().line(line)
