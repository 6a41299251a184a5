"""Tensors of the Open Inference Protocol, in JSON and by its binary extension.

Binary tensors follow the JSON header one after the other, little-endian and row-major, in the order
in which the header names them; a BYTES element is a 32-bit length and so many bytes.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field, ValidationError

from ancestral.api.problems import Problem, of_validation

HEADER_LENGTH = "Inference-Header-Content-Length"
DTYPES: Mapping[str, str] = {
    "BOOL": "?",
    **{f"UINT{8 * size}": f"<u{size}" for size in (1, 2, 4, 8)},
    **{f"INT{8 * size}": f"<i{size}" for size in (1, 2, 4, 8)},
    **{f"FP{8 * size}": f"<f{size}" for size in (2, 4, 8)},
}
Size = Annotated[int, Field(ge=0, lt=2**48)]
Name = Annotated[str, Field(min_length=1, max_length=128)]
Array = npt.NDArray[Any]


class TensorParameters(BaseModel):
    """What we read of a tensor's parameters; others are let be, as the protocol says."""

    binary_data_size: Size | None = None
    binary_data: bool = False


class InputTensor(BaseModel):
    """One input: `data` nested or flat, or `binary_data_size` bytes after the header."""

    name: Name
    shape: list[Size] = Field(max_length=8)
    datatype: str
    parameters: TensorParameters = Field(default_factory=TensorParameters)
    data: list[Any] | None = None


class OutputWish(BaseModel):
    """An output that the client wants, in JSON or in binary."""

    name: Literal["log_prob", "bits_per_dim", "per_dim"]
    parameters: TensorParameters = Field(default_factory=TensorParameters)


class InferenceRequest(BaseModel):
    """The JSON of `POST …/infer`."""

    id: str | None = Field(None, max_length=256)
    parameters: dict[str, Any] = Field(default_factory=dict)
    inputs: list[InputTensor] = Field(min_length=1, max_length=64)
    outputs: list[OutputWish] | None = Field(None, max_length=16)


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input as it was read; `values` is a list of bytes where the datatype is BYTES."""

    name: str
    values: Array | list[bytes]


def read_request(body: bytes, header: str | None) -> tuple[InferenceRequest, list[Tensor]]:
    """The request and its inputs; `header` is the length of its JSON, which all of it is without.

    Raises a problem that names what does not fit.
    """
    cut = len(body)
    if header is not None:
        if not header.isdecimal() or len(header) > 12 or int(header) > len(body):
            raise Problem.of_field(HEADER_LENGTH, "is not the length of a part of the body", 400)
        cut = int(header)
    try:
        request = InferenceRequest.model_validate(json.loads(body[:cut]))
    except ValidationError as error:
        raise of_validation(error) from error
    except (ValueError, RecursionError) as error:
        raise Problem.of_field("body", f"is not JSON: {error}", 400) from error
    tensors, at = [], cut
    for tensor in request.inputs:
        size = tensor.parameters.binary_data_size
        if size is None:
            tensors.append(Tensor(tensor.name, _of_json(tensor)))
            continue
        if at + size > len(body):
            raise Problem.of_field(tensor.name, f"{size} bytes are told of, fewer follow", 400)
        tensors.append(Tensor(tensor.name, _of_bytes(tensor, body[at : at + size])))
        at += size
    if at != len(body):
        raise Problem.of_field("body", f"{len(body) - at} bytes belong to no tensor", 400)
    return request, tensors


def _of_json(tensor: InputTensor) -> Array | list[bytes]:
    if tensor.data is None:
        raise Problem.of_field(tensor.name, "has neither data nor binary_data_size")
    count = math.prod(tensor.shape)
    if tensor.datatype == "BYTES":
        texts = [part.encode(errors="surrogatepass") for part in tensor.data if _is_text(part)]
        if len(texts) != len(tensor.data) or len(texts) != count:
            raise Problem.of_field(tensor.name, f"{count} strings are expected")
        return texts
    dtype = _dtype(tensor)
    try:
        found = np.asarray(tensor.data)
    except (ValueError, OverflowError, TypeError) as error:
        raise Problem.of_field(tensor.name, "its data is no array of numbers") from error
    if found.dtype.kind not in "biuf" or (dtype.kind != "f" and found.dtype.kind == "f"):
        raise Problem.of_field(tensor.name, f"its data does not fit {tensor.datatype}")
    if found.size != count:
        raise Problem.of_field(tensor.name, f"{found.size} values where its shape has {count}")
    if found.size and dtype.kind in "iu" and not _within(found, dtype):
        raise Problem.of_field(tensor.name, f"its data does not fit {tensor.datatype}")
    return found.astype(dtype).reshape(tensor.shape)


def _of_bytes(tensor: InputTensor, body: bytes) -> Array | list[bytes]:
    count = math.prod(tensor.shape)
    if tensor.datatype == "BYTES":
        return _strings(tensor.name, body, count)
    dtype = _dtype(tensor)
    if len(body) != count * dtype.itemsize:
        detail = f"{count} values of {tensor.datatype} are not {len(body)} bytes"
        raise Problem.of_field(tensor.name, detail)
    return np.frombuffer(body, dtype).reshape(tensor.shape)


def _strings(name: str, body: bytes, count: int) -> list[bytes]:
    found: list[bytes] = []
    at = 0
    while at < len(body) and len(found) <= count:
        if at + 4 > len(body):
            break
        (size,) = struct.unpack_from("<I", body, at)
        found.append(body[at + 4 : at + 4 + size])
        at += 4 + size
    if at != len(body) or len(found) != count:
        raise Problem.of_field(name, f"its bytes are not {count} strings with their lengths")
    return found


def _dtype(tensor: InputTensor) -> np.dtype[Any]:
    if tensor.datatype not in DTYPES:
        known = ", ".join([*DTYPES, "BYTES"])
        raise Problem.of_field(tensor.name, f"{tensor.datatype!r:.40} is not read; {known} are")
    return np.dtype(DTYPES[tensor.datatype])


def _within(found: Array, dtype: np.dtype[Any]) -> bool:
    bounds = np.iinfo(dtype)
    return bool(int(found.min()) >= bounds.min and int(found.max()) <= bounds.max)


def _is_text(part: object) -> bool:
    return isinstance(part, str)


def encode_answer(
    document: Mapping[str, Any], outputs: Mapping[str, Array], binary: Sequence[str]
) -> tuple[bytes, int | None]:
    """The body, and the length of its JSON where tensors named in `binary` follow it.

    Outputs are float64, little-endian.
    """
    told, parts = [], []
    for name, values in outputs.items():
        tensor: dict[str, Any] = {"name": name, "datatype": "FP64", "shape": list(values.shape)}
        if name in binary:
            parts.append(np.ascontiguousarray(values, "<f8").tobytes())
            tensor["parameters"] = {"binary_data_size": len(parts[-1])}
        else:
            flat = values.reshape(-1).tolist()
            tensor["data"] = [value if math.isfinite(value) else None for value in flat]
        told.append(tensor)
    header = json.dumps({**document, "outputs": told}).encode()
    return b"".join([header, *parts]), len(header) if binary else None
