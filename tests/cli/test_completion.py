"""What the shell offers, asked as a shell asks it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def offered(words: str, store: Path) -> list[str]:
    """The answers to Tab after `words`, as bash asks for them."""
    code = (
        "import sys; from ancestral.cli.main import app; code = 0\n"
        "try: app(prog_name='ancestral')\n"
        "except SystemExit as left: code = left.code\n"
        "sys.exit(3 if 'torch' in sys.modules else code)"
    )
    environment = os.environ | {
        "_ANCESTRAL_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
        "ANCESTRAL_MODELS": str(store),
    }
    found = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert found.returncode != 3, "Tab waits for torch"
    return found.stdout.split()


@pytest.mark.parametrize(
    ("words", "answers"),
    [
        ("ancestral sc", ["score"]),
        ("ancestral score tiny-w", ["tiny-wavenet", "tiny-wavernn"]),
        ("ancestral verify tiny-p", ["tiny-pixelcnn"]),
        ("ancestral sample tiny-wavenet --runtime na", ["native", "naive"]),
    ],
)
def test_tab(small_store: Path, words: str, answers: list[str]) -> None:
    assert offered(words, small_store) == answers
