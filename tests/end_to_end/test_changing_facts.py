"""Facts that change while an engine serves: taken over, refused, or not yet known here."""

from __future__ import annotations

import contextlib
import shutil
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest

from callgate.v1 import authorization_pb2 as pb
from callgate.v1 import credits_pb2
from callgate.v1.credits_pb2_grpc import CreditServiceStub
from callgate.v1.money_pb2 import Money
from engines import ROOT, Engine, a_question, failure_of, running_engine, wait_until

ITALY = "+390612345678"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    folder = tmp_path / "directory"
    folder.mkdir()
    for name in ("contoso.toml", "fabrikam.toml"):
        shutil.copy(ROOT / "data" / "directory" / name, folder)
    return folder


@pytest.fixture
def engine(tmp_path: Path, directory: Path) -> Iterator[Engine]:
    with running_engine(tmp_path / "engine", directory_folder=directory) as engine:
        yield engine


def change(directory: Path, old: str, new: str) -> None:
    file = directory / "contoso.toml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def reason(engine: Engine, user_id: str) -> str:
    answer = engine.ask(a_question(ITALY, user_id=user_id, dry_run=True))
    return pb.Reason.Name(answer.refusal.reason) if answer.HasField("refusal") else "granted"


def test_an_answer_is_the_same_after_the_facts_changed(engine: Engine, directory: Path) -> None:
    known = a_question(ITALY, user_id="bruno", explain=True).SerializeToString()
    unknown = a_question(ITALY, user_id="nadia").SerializeToString()
    first = [engine.ask_raw(question) for question in (known, unknown)]
    file = directory / "contoso.toml"
    file.write_text(file.read_text().replace("[users.bruno]", "[users.nadia]"))

    engine.process.send_signal(signal.SIGHUP)
    wait_until(lambda: reason(engine, "nadia") == "granted")

    assert reason(engine, "bruno") == "REASON_USER_UNKNOWN"
    assert [engine.ask_raw(question) for question in (known, unknown)] == first


def test_a_change_of_a_file_is_noticed_without_a_signal(engine: Engine, directory: Path) -> None:
    assert reason(engine, "adele") == "granted"

    change(directory, "[users.adele]", "[users.adele]\nfrozen = true")

    wait_until(lambda: reason(engine, "adele") == "REASON_ACCOUNT_FROZEN")


def test_a_wrong_file_leaves_the_last_good_one_serving(engine: Engine, directory: Path) -> None:
    change(directory, 'usage_location = "IT"', 'usage_locution = "IT"')

    engine.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "usage_locution" in engine.log)

    assert "Facts not taken over" in engine.log
    assert "contoso.toml" in engine.log
    assert reason(engine, "bruno") == "granted"
    assert engine.health() == "SERVING"


def test_a_wrong_file_at_the_start_is_told_whole(tmp_path: Path, directory: Path) -> None:
    change(directory, 'usage_location = "IT"', 'usage_locution = "IT"')
    engine = Engine(tmp_path / "engine", directory_folder=directory)
    engine.launch()

    assert engine.gone() == 1
    assert "contoso.toml" in engine.log
    assert "Traceback" not in engine.log


def test_facts_not_found_stop(engine: Engine, directory: Path, tmp_path: Path) -> None:
    others = tmp_path / "others"
    shutil.copytree(directory, others)
    change(others, "[users.adele]", "[users.adele]\nfrozen = true")
    shared = {"redis_url": f"unix://{engine.store.absolute()}", "directory_folder": others}

    # It opens the account anew, by facts that the first engine cannot find in its files.
    with running_engine(tmp_path / "second", **shared) as second:
        wait_until(lambda: answered(second) == "REASON_ACCOUNT_FROZEN", seconds=10)
        failed = failure_of(lambda: engine.ask(a_question(ITALY)))
        emergency = engine.ask(a_question("911"))
        other_tenant = engine.ask(a_question(ITALY, tenant_id="fabrikam", user_id="gina"))

    assert (failed.code, failed.reason) == (grpc.StatusCode.UNAVAILABLE, "FACTS_BEHIND")
    assert failed.metadata == {"tenant_id": "contoso"}
    assert emergency.grant.emergency
    assert other_tenant.HasField("grant")


def test_an_engine_that_is_behind_catches_up_with_its_files(
    engine: Engine, directory: Path, tmp_path: Path
) -> None:
    change(directory, "[users.adele]", "[users.adele]\nfrozen = true")
    shared = {"redis_url": f"unix://{engine.store.absolute()}", "directory_folder": directory}

    with running_engine(tmp_path / "second", **shared):
        wait_until(lambda: answered(engine) == "REASON_ACCOUNT_FROZEN", seconds=10)


def answered(engine: Engine) -> str:
    with contextlib.suppress(grpc.RpcError):
        return reason(engine, "adele")
    return "no answer"


def money(currency: str) -> Money:
    return Money(micros=20_000_000, currency_code=currency)


def tried(currency: str) -> list[Callable[[CreditServiceStub], object]]:
    """All that says money of a currency."""
    named: dict[str, Any] = {"tenant_id": "contoso", "request_id": "r-1"}
    return [
        lambda c: c.TopUp(credits_pb2.TopUpRequest(amount=money(currency), **named)),
        lambda c: c.Debit(credits_pb2.DebitRequest(amount=money(currency), **named)),
        lambda c: c.SetCreditLimit(
            credits_pb2.SetCreditLimitRequest(credit_limit=money(currency), **named)
        ),
        lambda c: c.UpdateFunding(
            credits_pb2.UpdateFundingRequest(tenant_id="contoso", max_balance=money(currency))
        ),
    ]


def test_another_currency_is_never_booked_as_the_one_that_the_account_holds(
    engine: Engine, directory: Path
) -> None:
    """The tenant is closed to money, told how to go on, and goes on once that is done."""
    before = engine.balance("contoso").balance
    lots = credits_pb2.ListLotsRequest(tenant_id="contoso")
    with grpc.insecure_channel(engine.address) as channel:
        wait_until(lambda: CreditServiceStub(channel).ListLots(lots).lots, seconds=10)
    engine.stop()
    change(directory, 'currency = "USD"', 'currency = "EUR"')
    engine.start()

    with grpc.insecure_channel(engine.address) as channel:
        teller = CreditServiceStub(channel)
        failures = [failure_of(partial(ask, teller)) for ask in tried("EUR")]
        told = teller.ListLots(lots).lots
    failures.append(failure_of(lambda: engine.ask(a_question(ITALY))))
    emergency = engine.ask(a_question("911"))
    held = engine.balance("contoso").balance
    engine.stop()
    change(directory, 'currency = "EUR"', 'currency = "USD"')
    engine.start()
    with grpc.insecure_channel(engine.address) as channel:
        tried("USD")[0](CreditServiceStub(channel))

    for failed in failures:
        assert (failed.code, failed.reason) == (
            grpc.StatusCode.FAILED_PRECONDITION,
            "CURRENCY_CHANGED",
        )
        assert "set the entry's currency back to USD" in failed.text
    assert emergency.HasField("grant")
    assert [lot.amount.currency_code for lot in told] == ["USD"]
    assert (held.currency_code, held.micros) == ("USD", before.micros)
    assert engine.balance("contoso").balance.micros == before.micros + 20_000_000
