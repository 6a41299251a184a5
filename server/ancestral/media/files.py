"""Files of items on disk."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

SUFFIXES = (".png", ".jpg", ".jpeg", ".wav", ".mid", ".midi", ".txt", ".npy")


def files_under(folder: Path, *, recursive: bool = True) -> list[Path]:
    """The PNG, JPEG, WAV, MIDI, TXT and NPY files in a folder, or below it too, by name."""
    found = folder.rglob("*") if recursive else folder.iterdir()
    return sorted(file for file in found if file.suffix.lower() in SUFFIXES and file.is_file())


def listed(paths: Iterable[Path], *, recursive: bool) -> list[Path]:
    """The files among `paths`, and those in the folders among them.

    Raises ValueError for a folder that holds none.
    """
    files: list[Path] = []
    for path in paths:
        found = files_under(path, recursive=recursive) if path.is_dir() else [path]
        if not found:
            hint = "" if recursive else "; --recursive looks into the folders in it"
            raise ValueError(f"{path}: holds no PNG, JPEG, WAV, MIDI, TXT or NPY file{hint}")
        files += found
    return files
