"""What values are bit-exact under: package, compiler, runtime, precision and kind of device."""

from __future__ import annotations

import hashlib

import torch

from ancestral.compile import COMPILER_VERSION
from ancestral.engine.runtimes import Place
from ancestral.models.network import Network


def digest(network: Network) -> str:
    """Twelve hexadecimal digits of the SHA-256 of the weights, and of a graph's operators."""
    found = hashlib.sha256(network.structure.encode())
    for name, tensor in sorted(network.state_dict().items()):
        found.update(name.encode())
        found.update(tensor.cpu().contiguous().numpy().tobytes())
    return found.hexdigest()[:12]


PRECISION = {"native": "float32", "onnx": "float32", "reference": "float64", "naive": "float64"}


def fingerprint(package: str, weights: str, runtime: str, place: Place | None = None) -> str:
    """One line; `package` is NAME/VERSION.

    The native runtime's rounding follows from its own sources and the width of its vectors, the
    others' from the libraries that compute.
    """
    if runtime == "native":
        from ancestral.runtimes.native import VERSION
        from ancestral.runtimes.native.code.lanes import LANES

        engine = f"native-{VERSION}x{LANES}"
    elif runtime == "onnx":
        import onnxruntime

        engine = f"onnxruntime-{onnxruntime.__version__}"
    else:
        engine = f"{runtime}-torch-{torch.__version__}"
    place = place or Place()
    precision = place.precision if runtime == "cuda" else PRECISION[runtime]
    device = torch.device(place.device)
    kind = device.type if device.type == "cpu" else torch.cuda.get_device_name(device)
    return f"{package}:{weights} compiler-{COMPILER_VERSION} {engine} {precision} {kind}"
