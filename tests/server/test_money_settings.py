"""Settings of money that comes in: what a provider needs, and keys that are none."""

from __future__ import annotations

import pytest

from server.settings.loading import SettingsWrong, load_settings
from server.settings.money import Provider

KEY = "whsec_YSBzZWNyZXQgb2YgdHdlbnR5LWZvdXIgYnl0ZXM="


def test_a_provider_needs_what_it_is_reached_with() -> None:
    with pytest.raises(SettingsWrong) as caught:
        load_settings(None, {"CALLGATE_PAYMENTS": "billing"})

    assert [mistake.partition(":")[0] for mistake in caught.value.mistakes] == [
        "payments_url",
        "payments_key",
    ]


def test_a_provider_with_all_it_needs_is_taken() -> None:
    settings = load_settings(
        None,
        {
            "CALLGATE_PAYMENTS": "billing",
            "CALLGATE_PAYMENTS_URL": "https://billing.example/charge",
            "CALLGATE_PAYMENTS_KEY": KEY,
        },
    )

    assert settings.payments is Provider.BILLING


@pytest.mark.parametrize("key", ["secret", "whsec_", "whsec_c2hvcnQ=", "whsec_!"])
def test_a_key_that_is_none_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(SettingsWrong) as caught:
        load_settings(None, {"CALLGATE_PAYMENTS_KEY": key})

    assert "CALLGATE_PAYMENTS_KEY" in str(caught.value)
    assert repr(key) not in str(caught.value)
