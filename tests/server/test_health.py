"""The ledger is watched: prepared once, probed again and again, and every change told once."""

from __future__ import annotations

import asyncio
import time

import pytest

from server.ledger import LedgerUnavailable
from server.observability import ledger_health as ledger
from server.observability.ledger_health import LedgerHealth
from server.storage.redis import StoreRefused, StoreUnavailable


class Scene:
    """A ledger that is as a test says, and what was told of it."""

    def __init__(self) -> None:
        self.trouble: Exception | None = None
        self.hangs = False
        self.away: tuple[str, ...] = ()
        self.prepared = 0
        self.holds_up: list[float] = []
        self.told: list[bool] = []
        self.watch = LedgerHealth(self._prepare, self._probe, self._tell)

    async def _prepare(self) -> None:
        if self.trouble is not None:
            raise self.trouble
        self.prepared += 1

    async def _probe(self) -> tuple[str, ...]:
        if self.holds_up:
            # As a flood does: by when the answer is there, so is the end of the time for it.
            asyncio.get_running_loop().call_soon(time.sleep, self.holds_up.pop())
            await asyncio.sleep(0.05)
        if self.hangs:
            await asyncio.Event().wait()
        if self.trouble is not None:
            raise self.trouble
        return self.away

    def _tell(self, up: bool) -> None:
        self.told.append(up)


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.mark.parametrize(
    "trouble", [StoreUnavailable("gone"), LedgerUnavailable("gone"), StoreRefused("too old")]
)
async def test_what_goes_away_and_comes_back_is_told_once_each(
    scene: Scene, trouble: Exception
) -> None:
    for seen in (None, None, trouble, trouble, None):
        scene.trouble = seen
        await scene.watch.look()

    assert scene.told == [True, False, True]
    assert scene.watch.up


async def test_a_ledger_is_prepared_once_when_it_first_comes_within_reach(scene: Scene) -> None:
    for seen in (StoreUnavailable("not yet"), None, StoreUnavailable("gone"), None):
        scene.trouble = seen
        await scene.watch.look()

    assert scene.prepared == 1
    assert scene.told == [True, False, True]


async def test_a_ledger_that_hangs_is_away(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    await scene.watch.look()
    monkeypatch.setattr(ledger, "_PROBE_SECONDS", 0.01)
    scene.hangs = True

    await scene.watch.look()

    assert scene.told == [True, False]
    assert isinstance(scene.watch.trouble, StoreUnavailable)


async def test_a_ledger_is_not_called_away_for_a_process_that_was_held_up(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    await scene.watch.look()
    monkeypatch.setattr(ledger, "_PROBE_SECONDS", 0.01)
    scene.holds_up = [0.1]

    await scene.watch.look()

    assert scene.told == [True]
    assert scene.watch.up


async def test_a_bug_in_the_watching_is_not_taken_for_a_ledger_that_is_away(scene: Scene) -> None:
    scene.trouble = KeyError("a bug")

    with pytest.raises(KeyError):
        await scene.watch.look()


async def test_a_primary_that_is_away_beside_others_leaves_the_ledger_up_and_is_told(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    await scene.watch.look()
    scene.away = ("gone",)
    await scene.watch.look()
    await scene.watch.look()
    away = scene.watch.away
    scene.away = ()

    await scene.watch.look()

    assert scene.told == [True]
    assert away == ("gone",)
    assert scene.watch.away == ()
    assert [record.levelname for record in caplog.records].count("ERROR") == 1


async def test_a_ledger_that_was_never_there_says_why_once_for_each_reason(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    for seen in (
        "Authentication required.",
        "Authentication required.",
        "refused",
        None,
        "refused",
    ):
        scene.trouble = None if seen is None else StoreUnavailable(seen)
        await scene.watch.look()

    told = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert told == [
        "The ledger is away: Authentication required.",
        "The ledger is away: refused",
        "The ledger is away: refused",
    ]
