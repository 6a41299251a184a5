"""What values are bit-exact under: package, compiler, runtime, precision and kind of device."""

from __future__ import annotations

import hashlib

import torch

from ancestral.compile import COMPILER_VERSION
from ancestral.models.network import Network


def digest(network: Network) -> str:
    """Twelve hexadecimal digits of the SHA-256 of the weights, and of a graph's operators."""
    found = hashlib.sha256(network.structure.encode())
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
