"""The one error of this package: a model package that cannot be trusted or found."""

from __future__ import annotations

from pathlib import Path


class PackageError(ValueError):
    """What is wrong with a package, and in which file."""

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path = path
        self.message = message
