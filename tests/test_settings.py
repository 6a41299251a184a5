from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest

from ancestral.cli.settings import table
from ancestral.settings import Settings

DOCUMENTED = Path(__file__).parents[1] / "docs" / "operations.md"


def test_environment_then_flags() -> None:
    env = {"ANCESTRAL_PORT": "9000", "ANCESTRAL_MODELS": "/srv/models", "ANCESTRAL_SLOTS": "4"}
    settings = Settings.from_env(env, port=9001, host=None)
    assert settings.port == 9001
    assert settings.models == Path("/srv/models")
    assert settings.slots == 4
    assert settings.host == "127.0.0.1"


def test_the_file_comes_first(tmp_path: Path) -> None:
    path = tmp_path / "ancestral.toml"
    path.write_text('slots = 2\nport = 9\nmax_body_bytes = "1MiB"\npackages = ["a", "b/2"]\n')
    env = {"ANCESTRAL_CONFIG": str(path), "ANCESTRAL_SLOTS": "4"}
    settings = Settings.from_env(env, port="80")
    assert (settings.slots, settings.port, settings.max_body_bytes) == (4, 80, 2**20)
    assert settings.wanted == ("a", "b/2")
    assert Settings.from_env({}, config=path).slots == 2


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("ANCESTRAL_PORT", "http"),
        ("ANCESTRAL_PORT", "70000"),
        ("ANCESTRAL_SLOTS", "0"),
        ("ANCESTRAL_QUEUE_FULL_STATUS", "500"),
        ("ANCESTRAL_RUNTIME", "magic"),
        ("ANCESTRAL_LEASE_SECONDS", "-1"),
        ("ANCESTRAL_MAX_BODY_BYTES", "1 parsec"),
        ("ANCESTRAL_BROKER", "amqp://host"),
    ],
)
def test_bad_values_name_the_variable(variable: str, text: str) -> None:
    with pytest.raises(ValueError, match=variable):
        Settings.from_env({variable: text})


def test_a_password_is_not_repeated() -> None:
    with pytest.raises(ValueError, match="ANCESTRAL_BROKER") as caught:
        Settings.from_env({"ANCESTRAL_BROKER": "http://:secret@host"})
    assert "secret" not in str(caught.value)


def test_unknown_names_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="did you mean ANCESTRAL_QUEUE_DEPTH"):
        Settings.from_env({"ANCESTRAL_QUEUE_DEPHT": "9"})
    path = tmp_path / "ancestral.toml"
    path.write_text("slot = 2\n")
    with pytest.raises(ValueError, match="did you mean slots"):
        Settings.from_env({}, config=path)
    with pytest.raises(ValueError, match="colour"):
        Settings(colour="red")  # type: ignore[call-arg]
    path.write_text("slots = \n")
    with pytest.raises(ValueError, match="is not TOML"):
        Settings.from_env({}, config=path)


def test_variables_of_others_are_let_be() -> None:
    others = {"ANCESTRAL_DATA": "/data", "ANCESTRAL_KEY": "x", "PATH": "/bin"}
    assert Settings.from_env(others) == Settings()


def test_another_process_gets_the_same() -> None:
    settings = replace(Settings(), slots=3, allow_anonymous=True, packages="a,b")
    assert Settings.from_env(settings.to_env()) == settings


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.8.0.1"])
def test_nobody_else_reaches_loopback(host: str) -> None:
    Settings(host=host).require_guarded()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.org"])
def test_public_addresses_need_a_word(host: str) -> None:
    with pytest.raises(ValueError, match="--allow-anonymous"):
        Settings(host=host).require_guarded()
    Settings(host=host, allow_anonymous=True).require_guarded()


def test_every_setting_is_documented() -> None:
    """`ancestral settings --markdown` writes the table that the documentation holds."""
    assert table() in DOCUMENTED.read_text(encoding="utf-8")
    assert table().count("\n") == len(fields(Settings)) + 1
