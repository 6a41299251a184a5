"""Where results go, looked at before the work that they take."""

from __future__ import annotations

import os
from pathlib import Path


def require_writable(file: Path) -> None:
    """Raises ValueError where a file could not be written at the end of the work."""
    folder = file.parent
    if file.is_dir():
        raise ValueError(f"{file}: is a folder; the name of a file is expected")
    if not folder.is_dir():
        raise ValueError(f"{file}: there is no folder {folder}")
    if not os.access(file if file.exists() else folder, os.W_OK):
        raise ValueError(f"{file}: cannot be written")


def require_room(folder: Path) -> None:
    """Raises ValueError where nothing could be written into a folder, which may be a new one."""
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    if not there.is_dir():
        raise ValueError(f"{folder}: {there} is no folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ValueError(f"{folder}: cannot be written")
