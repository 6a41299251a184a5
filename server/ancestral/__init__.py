"""Ancestral: exact log-likelihoods and streamed sampling of autoregressive models.

>>> import ancestral
>>> model = ancestral.load("gated-pixelcnn-mnist")  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ancestral.engine.model import Model as Model
    from ancestral.engine.model import load as load
    from ancestral.store.export import export as export

__version__ = "0.1.0"
__all__ = ["Model", "__version__", "export", "load"]

_PUBLIC = {
    "Model": "ancestral.engine.model",
    "export": "ancestral.store.export",
    "load": "ancestral.engine.model",
}


def __getattr__(name: str) -> Any:
    """Import the engine on first use: `ancestral --help` does not wait for torch."""
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'ancestral' has no attribute {name!r}")
