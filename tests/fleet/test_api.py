"""The API behaves on Redis with a worker process as it does in one process: its tests, again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ancestral.broker.embedded import binary

FOLDER = Path(__file__).parents[1] / "api"


@pytest.mark.slow
@pytest.mark.skipif(binary() is None, reason="there is no Redis-compatible server")
def test_the_api_on_a_fleet() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:xdist", str(FOLDER)]
    env = os.environ | {"ANCESTRAL_TEST_FLEET": "1"}
    found = subprocess.run(command, env=env, cwd=FOLDER.parents[1], capture_output=True, text=True)
    assert found.returncode == 0, found.stdout[-5000:]
