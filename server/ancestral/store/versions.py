"""The names and versions of packages in a folder: `NAME/VERSION/`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ancestral.store.errors import PackageError
from ancestral.store.manifest import NAME

DEFAULT = "default_version"  # a file beside the versions that pins one of them
VERSION = re.compile("[0-9]{1,9}")


@dataclass(frozen=True)
class Entry:
    """One name in a store: its versions, ascending, and the one that a bare name means."""

    name: str
    versions: tuple[int, ...]
    default: int


def list_packages(root: Path) -> list[Entry]:
    """All names under `root` that hold at least one version.

    One whose pin is bad does not hide the others: its default is the highest here, and `find`
    refuses its bare name.
    """
    if not root.is_dir():
        raise PackageError(root, "there is no such folder of model packages")
    names = sorted(
        folder.name for folder in root.iterdir() if folder.is_dir() and NAME.fullmatch(folder.name)
    )
    entries = []
    for name in names:
        versions = tuple(_versions(root / name))
        if versions:
            try:
                default = _default(root / name, versions)
            except PackageError:
                default = versions[-1]
            entries.append(Entry(name, versions, default))
    return entries


def find(name: str, root: Path, version: int | None = None) -> Path:
    """The folder of `NAME` or `NAME/VERSION`: the version asked for, the pinned, or the highest.

    Raises PackageError for an unknown name or version.
    """
    base, _, suffix = name.partition("/")
    if not NAME.fullmatch(base) or (suffix and not VERSION.fullmatch(suffix)):
        raise PackageError(root, f"{name!r} is not the name of a model")
    if suffix:
        version = int(suffix)
    folder = root / base
    versions = _versions(folder) if folder.is_dir() else []
    if not versions:
        known = [entry.name for entry in list_packages(root)]
        near = "".join(f"perhaps {n!r}; " for n in difflib.get_close_matches(base, known, n=1))
        there = ", ".join(known) or "none"
        raise PackageError(root, f"there is no model {base!r}; {near}there are: {there}")
    wanted = _default(folder, versions) if version is None else version
    if wanted not in versions:
        there = ", ".join(map(str, versions))
        raise PackageError(folder, f"there is no version {wanted}; there are: {there}")
    return folder / str(wanted)


def _versions(folder: Path) -> list[int]:
    return sorted(
        int(child.name)
        for child in folder.iterdir()
        if child.name.isdecimal() and str(int(child.name)) == child.name and child.is_dir()
    )


def _default(folder: Path, versions: Sequence[int]) -> int:
    pin = folder / DEFAULT
    if not pin.exists():
        return versions[-1]
    text = pin.read_text(encoding="utf-8").strip()
    if not text.isdecimal() or int(text) not in versions:
        raise PackageError(pin, f"pins version {text!r}, which is not there")
    return int(text)
