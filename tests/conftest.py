"""Where the shared data and checkpoints of the tests live, if they are here at all."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from ancestral.settings import CACHE

ROOT = Path(__file__).resolve().parents[1]

# Machine code depends on the sources alone: all processes of a run share it, and later runs do.
os.environ.setdefault("NUMBA_CACHE_DIR", str(CACHE / "native"))


# No property depends on how fast the machine is, nor on what else it does. Examples are the same
# each time; others are looked at by --hypothesis-profile=others.
any_machine = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("any-machine", any_machine, derandomize=True)
settings.register_profile("others", any_machine, derandomize=False)
settings.load_profile("any-machine")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Weights and items that a test draws without a seed of its own are the same each time."""
    random.seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Traced graphs are kept between the tests of a run, for no longer."""
    folder = tmp_path_factory.getbasetemp() / "cache"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANCESTRAL_CACHE", str(folder))
        yield folder


def _folder(variable: str, default: str) -> Path:
    folder = Path(os.environ.get(variable, ROOT.parent / "shared" / default))
    if not folder.is_dir():
        pytest.skip(f"{variable} is not set and there is no folder of {default}")
    return folder


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The data sets named in models_store/recipes (ANCESTRAL_DATA); skips where absent."""
    return _folder("ANCESTRAL_DATA", "data")


@pytest.fixture(scope="session")
def checkpoints_folder() -> Path:
    """Checkpoints that others published (ANCESTRAL_CHECKPOINTS); skips where absent."""
    return _folder("ANCESTRAL_CHECKPOINTS", "checkpoints")
