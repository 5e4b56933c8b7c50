"""Client and proxy read the spellings of an emergency as the engine does, also without it."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from callgate.client.emergency import EmergencyNumbers
from callgate.v1 import authorization_pb2 as pb
from emergency_spellings import EMERGENCY_SPELLINGS, NO_EMERGENCY_SPELLINGS
from engines import ROOT

TOLD = pb.GetEmergencyNumbersResponse(
    locations=[
        pb.EmergencyNumbers(location="GB", numbers=["112", "999"], dial_masks={"sos": "112"}),
        pb.EmergencyNumbers(
            location="US", numbers=["911", "933"], dial_masks={"9911": "911", "sos": "911"}
        ),
    ]
)


@pytest.fixture
def numbers() -> EmergencyNumbers:
    numbers = EmergencyNumbers()
    numbers.keep(TOLD)
    return numbers


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The proxy's routing, outside of the proxy, with the table that a sidecar left."""
    folder = ROOT / "integrations" / "kamailio"
    monkeypatch.setitem(sys.modules, "KSR", ModuleType("KSR"))
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("CALLGATE_SIDECAR_STATE", str(tmp_path))
    spec = importlib.util.spec_from_file_location("its_route", folder / "callgate_route.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    table = {"911": "911", "933": "933", "9911": "911", "112": "112", "sos": "911"}
    (tmp_path / "emergency.json").write_text(json.dumps(table))
    return module


@pytest.mark.parametrize("dialled", EMERGENCY_SPELLINGS)
def test_an_emergency_passes_without_an_engine_however_it_is_spelled(
    numbers: EmergencyNumbers, proxy: ModuleType, dialled: str
) -> None:
    assert numbers.dial_as(dialled, "US") == "911"
    assert proxy._emergency(dialled) == "911"


@pytest.mark.parametrize("dialled", NO_EMERGENCY_SPELLINGS)
def test_what_holds_more_than_an_emergency_number_does_not_pass(
    numbers: EmergencyNumbers, proxy: ModuleType, dialled: str
) -> None:
    assert numbers.dial_as(dialled, "US") is None
    assert proxy._emergency(dialled) == ""


def test_a_service_is_routed_by_the_list_of_an_engine_that_knew_none() -> None:
    numbers = EmergencyNumbers()
    numbers.keep(
        pb.GetEmergencyNumbersResponse(
            locations=[
                pb.EmergencyNumbers(location="US", numbers=["911", "933"]),
                pb.EmergencyNumbers(location="XX", numbers=["7"]),
            ]
        )
    )

    told = [numbers.dial_as("urn:service:sos.fire", place) for place in ("us", "XX", "")]

    assert told == ["911", "112", "112"]


def test_a_service_passes_where_nothing_was_ever_told(proxy: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "emergency.json").unlink()

    assert proxy._emergency("urn:service:sos.fire") == "112"
    assert EmergencyNumbers().dial_as("urn:service:sos.fire", "US") == "112"
