"""API keys: `anc_ID_SECRET`, of which a file keeps the id and the SHA-256.

A secret has 256 random bits, so a plain hash cannot be searched, and the file gives nobody access.
The file is read again when it changes: a key that is revoked is refused from then on.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
import re
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ancestral.faults import first_fault

_KEY = re.compile(r"anc_([a-z0-9]{8})_([A-Za-z0-9_-]{43})")
_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
_NOBODY = hashlib.sha256(b"").hexdigest()  # compared with where the id is unknown


class Key(BaseModel):
    """One key, without its secret. None: as the settings say; 0: without limit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern="^[a-z0-9]{8}$")
    name: str = Field(min_length=1, max_length=64)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    admin: bool = False
    created: float = Field(ge=0, description="seconds since the epoch")
    requests_per_minute: int | None = Field(None, ge=0)
    sites_per_minute: int | None = Field(None, ge=0)


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    version: int = Field(1, ge=1, le=1)
    keys: list[Key] = Field(default_factory=list)


class KeyRing:
    """The keys of a file. Raises ValueError or OSError where it cannot be read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._keys: Mapping[str, Key] = {}
        self._reread()

    def find(self, text: str) -> Key | None:
        """The key that this is. Raises ValueError or OSError while the file is broken."""
        self._reread()
        parts = _KEY.fullmatch(text)
        key = None if parts is None else self._keys.get(parts[1])
        known = _NOBODY if key is None else key.sha256
        return key if hmac.compare_digest(_hash(text), known) and key is not None else None

    def of_id(self, identity: str) -> Key | None:
        """A key that a token stands for, if it has not been revoked."""
        self._reread()
        return self._keys.get(identity)

    def _reread(self) -> None:
        found = self._path.stat()
        seen = (found.st_mtime_ns, found.st_size, found.st_ino)
        if seen != self._seen:
            self._keys = {key.id: key for key in read_keys(self._path)}
            self._seen = seen


def read_keys(path: Path) -> list[Key]:
    """The keys of a file. Raises ValueError where it is not one."""
    try:
        return _File.model_validate_json(path.read_bytes()).keys
    except ValidationError as error:
        raise ValueError(f"{path} is no file of keys: {first_fault(error)}") from None


def create(
    path: Path,
    name: str,
    *,
    admin: bool = False,
    requests_per_minute: int | None = None,
    sites_per_minute: int | None = None,
) -> tuple[Key, str]:
    """Add a key to the file, which is made where there is none; the key's text is told here only.

    Raises ValueError where the name is taken.
    """
    identity = "".join(secrets.choice(_ALPHABET) for _ in range(8))
    text = f"anc_{identity}_{secrets.token_urlsafe(32)}"
    key = Key(
        id=identity,
        name=name,
        sha256=_hash(text),
        admin=admin,
        created=round(time.time()),
        requests_per_minute=requests_per_minute,
        sites_per_minute=sites_per_minute,
    )
    with _rewriting(path) as keys:
        if any(other.name == name for other in keys):
            raise ValueError(f"there is a key called {name!r} in {path}")
        keys.append(key)
    return key, text


def revoke(path: Path, which: str) -> Key:
    """Remove a key by its name or id. Raises ValueError where there is none."""
    with _rewriting(path) as keys:
        found = [key for key in keys if which in (key.name, key.id)]
        if not found:
            raise ValueError(f"there is no key {which!r} in {path}")
        keys.remove(found[0])
    return found[0]


@contextmanager
def _rewriting(path: Path) -> Iterator[list[Key]]:
    """The keys, to be changed; written at once and readable by the owner alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(path.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        keys = read_keys(path) if path.exists() else []
        yield keys
        document = _File(version=1, keys=keys).model_dump(exclude_none=True)
        fresh = path.with_name(path.name + ".new")
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(document, file, indent=2)
        fresh.replace(path)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
