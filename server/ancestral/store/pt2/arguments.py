"""The arguments and results of an exported operator, as a Graph's nodes have them.

Their kinds are those of torch/_export/serde/schema.py (version 8), a union of one entry each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from typing import Any

import torch

from ancestral.compile.graph import Ref
from ancestral.store.errors import PackageError
from ancestral.store.pt2.archive import DTYPES

_MEMORY_FORMATS = {
    1: torch.contiguous_format,
    2: torch.channels_last,
    3: torch.channels_last_3d,
    4: torch.preserve_format,
}
_LISTS = ("as_ints", "as_floats", "as_bools", "as_strings", "as_int_lists", "as_float_lists")
_PLAIN = ("as_int", "as_float", "as_bool", "as_string")
_NAMED = ("as_sym_int", "as_sym_float", "as_sym_bool")


class Arguments:
    """Reads them; `known` are the values computed so far, `refuse` words the error.

    Inside a graph within the graph `renamed` maps its names to those of the whole.
    """

    def __init__(self, known: Set[str], refuse: Callable[[str], PackageError]) -> None:
        self._known, self._refuse = known, refuse

    def result(self, output: Mapping[str, Any], renamed: Mapping[str, str]) -> Any:
        ((kind, body),) = output.items()
        if kind == "as_tensor":
            return renamed.get(str(body["name"]), str(body["name"]))
        if kind in _NAMED:
            return str(body["as_name"])
        if kind == "as_tensors":
            return [str(item["name"]) for item in body]
        if kind == "as_optional_tensor":
            return str(body["as_tensor"]["name"]) if "as_tensor" in body else ""
        if kind == "as_none":
            return ""
        raise self._refuse(f"an operator gives a result of kind {kind}")

    def read(self, arg: Mapping[str, Any], renamed: Mapping[str, str]) -> Any:
        ((kind, body),) = arg.items()
        if kind == "as_none":
            return None
        if kind == "as_float" or kind == "as_floats":
            return float(body) if kind == "as_float" else [float(item) for item in body]
        if kind in _PLAIN or kind in _LISTS:
            return body
        if kind == "as_tensor":
            return self._ref(body, renamed)
        if kind == "as_tensors":
            return [self._ref(item, renamed) for item in body]
        if kind == "as_optional_tensor":
            return self._ref(body["as_tensor"], renamed) if "as_tensor" in body else None
        if kind == "as_optional_tensors":
            return [
                self._ref(item["as_tensor"], renamed) if "as_tensor" in item else None
                for item in body
            ]
        if kind in _NAMED:
            return self._symbol(body)
        if kind in tuple(f"{name}s" for name in _NAMED):
            return [self._symbol(item) for item in body]
        if kind == "as_scalar_type":
            return DTYPES[body]
        if kind == "as_device":
            return torch.device("cpu")
        if kind == "as_layout":
            return torch.strided
        if kind == "as_memory_format":
            return _MEMORY_FORMATS[body]
        raise self._refuse(f"an argument of kind {kind} is not data")

    def _ref(self, body: Mapping[str, Any], renamed: Mapping[str, str]) -> Ref:
        name = str(body["name"])
        return self._checked(renamed.get(name, name))

    def _symbol(self, body: Mapping[str, Any]) -> Any:
        if "as_name" in body:
            return self._checked(str(body["as_name"]))
        (value,) = body.values()
        return value

    def _checked(self, name: str) -> Ref:
        if name not in self._known:
            raise self._refuse(f"{name} is read before it is computed")
        return Ref(name)
