from __future__ import annotations

from pathlib import Path

import pytest

from ancestral.settings import Settings


def test_environment_then_overrides() -> None:
    env = {"ANCESTRAL_PORT": "9000", "ANCESTRAL_MODELS": "/srv/models", "ANCESTRAL_SLOTS": "4"}
    settings = Settings.from_env(env, port=9001, host=None)
    assert settings.port == 9001
    assert settings.models == Path("/srv/models")
    assert settings.slots == 4
    assert settings.host == "127.0.0.1"


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("ANCESTRAL_PORT", "http"),
        ("ANCESTRAL_PORT", "70000"),
        ("ANCESTRAL_SLOTS", "0"),
        ("ANCESTRAL_QUEUE_FULL_STATUS", "500"),
    ],
)
def test_bad_values_name_the_variable(variable: str, text: str) -> None:
    with pytest.raises(ValueError, match=variable):
        Settings.from_env({variable: text})
