"""A run of tests says what it left out, and how to have it."""

from __future__ import annotations

import pytest

from run_hooks import NO_POSTGRESQL, NO_REDIS, not_run


def test_what_was_left_out_for_want_of_a_program_is_told_with_the_way_to_have_it() -> None:
    reasons = [f"Skipped: {NO_REDIS}"] * 2 + [f"Skipped: {NO_POSTGRESQL}", "Skipped: another"]

    redis, postgresql = not_run(reasons, all_files=False)

    assert redis.startswith("Not run: 2 tests, redis-server is not installed: `make test-redis7`")
    assert "apt-get install postgresql" in postgresql


def test_a_run_of_all_files_says_that_the_sip_tests_are_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("TEST_SIP", raising=False)

    assert [line.partition(":")[0] for line in not_run([], all_files=True)] == ["Not run"]
    assert not_run([], all_files=False) == []
