from __future__ import annotations

import hashlib
import json
import os
import stat
from pathlib import Path

import pytest

from ancestral.access import KeyRing, create, read_keys, revoke


def test_a_key_is_found_by_its_text_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    key, text = create(path, "alice", requests_per_minute=5)
    other, _ = create(path, "bob", admin=True)
    ring = KeyRing(path)
    assert ring.find(text) == key
    assert not key.admin
    assert other.admin
    swapped = text.replace(key.id, other.id)
    for wrong in (swapped, text[:-1], text + "x", key.sha256, key.id, "", "anc__", "\ud800"):
        assert ring.find(wrong) is None
    assert ring.of_id(key.id) == key


def test_the_file_holds_hashes_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "keys.json"
    _, text = create(path, "alice")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    written = path.read_text()
    assert text not in written
    assert text.split("_", 2)[2] not in written  # the secret, which may hold underscores too
    assert json.loads(written)["keys"][0]["sha256"] == hashlib.sha256(text.encode()).hexdigest()


def test_secrets_are_long_and_differ(tmp_path: Path) -> None:
    texts = {create(tmp_path / "keys.json", f"k{n}")[1] for n in range(20)}
    assert len(texts) == 20
    assert all(len(text.split("_", 2)[2]) == 43 for text in texts)  # 256 bits in base64


def test_a_revoked_key_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    key, text = create(path, "alice")
    create(path, "bob")
    ring = KeyRing(path)
    assert ring.find(text) is not None
    assert revoke(path, "alice") == key
    assert ring.find(text) is None
    assert ring.of_id(key.id) is None
    assert [kept.name for kept in read_keys(path)] == ["bob"]
    with pytest.raises(ValueError, match="no key"):
        revoke(path, "alice")


def test_names_are_taken_once(tmp_path: Path) -> None:
    create(tmp_path / "keys.json", "alice")
    with pytest.raises(ValueError, match="alice"):
        create(tmp_path / "keys.json", "alice")


@pytest.mark.parametrize("text", ["", "[]", '{"keys": [{"id": "x"}]}', '{"users": []}', "\x00"])
def test_what_is_no_file_of_keys(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="no file of keys"):
        KeyRing(path)


def test_a_file_that_breaks_or_goes_lets_nobody_in(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    _, text = create(path, "alice")
    ring = KeyRing(path)
    path.write_text("{")
    with pytest.raises(ValueError, match="no file of keys"):
        ring.find(text)
    os.remove(path)
    with pytest.raises(FileNotFoundError):
        ring.find(text)
