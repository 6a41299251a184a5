"""Where compiled code is kept, and who compiles it: a folder for each state of these sources.

Numba keeps compiled code beside the source and looks at that one file's date only. A server may be
installed where it cannot write, and the code of one function is spread over the files here.
`NUMBA_CACHE_DIR` has its usual meaning.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numba
from numba import config

from ancestral.locks import alone
from ancestral.settings import CACHE
from ancestral.stages import begin


def folder() -> Path:
    """The folder of this version's compiled code, for this kind of processor."""
    found = hashlib.sha256(numba.__version__.encode())
    found.update(llvm.get_host_cpu_name().encode())
    found.update(llvm.get_host_cpu_features().flatten().encode())
    here = Path(__file__).parent
    for path in (here.parent / "fields.py", *sorted(here.glob("*.py"))):
        found.update(path.read_bytes())
    given = os.environ.get("NUMBA_CACHE_DIR")
    root = Path(given) if given else Path(os.environ.get("ANCESTRAL_CACHE") or CACHE) / "native"
    return root / found.hexdigest()[:16]


@contextmanager
def compiling(what: str) -> Iterator[None]:
    """What is compiled within is compiled by one process; others that come meanwhile wait.

    Then they read it. Afterwards nobody waits.
    """
    done = folder() / f"{what}.compiled"
    if done.exists():
        yield
        return
    begin("compiling for this processor, once")
    with alone(done.with_suffix(".lock")):
        yield
        with suppress(OSError):
            done.touch()


def compiled(function: Callable[..., Any]) -> Any:
    """The function compiled without the interpreter lock, kept on disk where that is possible."""
    return _kept(lambda cache: numba.njit(nogil=True, cache=cache)(function))


def compiled_for_c(function: Callable[..., Any], signature: Any) -> Any:
    """The same for a function that is called by its `address`."""
    return _kept(lambda cache: numba.cfunc(signature, cache=cache)(function))


def _kept(compile_: Callable[[bool], Any]) -> Any:
    before = config.CACHE_DIR
    config.CACHE_DIR = str(folder())
    try:
        return compile_(True)
    except RuntimeError:  # nowhere to write: compiled anew in every process
        return compile_(False)
    finally:
        config.CACHE_DIR = before
