"""The page's modules under node, where it is installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

import ancestral.api

PAGE = Path(ancestral.api.__file__).parent / "static"


def run(script: str, folder: Path) -> None:
    """Run `script`, which may import the page's modules as ./NAME.js; skips without node."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    shutil.copytree(PAGE, folder, dirs_exist_ok=True)
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "script.js").write_text('import assert from "node:assert/strict";\n' + script)
    done = subprocess.run(
        [node, "script.js"], cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
