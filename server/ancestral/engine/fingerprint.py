"""What values are bit-exact under: package, compiler, runtime, precision and kind of device."""

from __future__ import annotations

import hashlib

import torch

from ancestral.compile import COMPILER_VERSION


def digest(network: torch.nn.Module) -> str:
    """Twelve hexadecimal digits of the SHA-256 of the weights."""
    found = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        found.update(name.encode())
        found.update(tensor.cpu().contiguous().numpy().tobytes())
    return found.hexdigest()[:12]


def fingerprint(package: str, weights: str, runtime: str) -> str:
    """One line; `package` is NAME/VERSION. Sampling runs in float64 on the CPU."""
    return (
        f"{package}:{weights} compiler-{COMPILER_VERSION} "
        f"{runtime}-torch-{torch.__version__} float64 cpu"
    )
