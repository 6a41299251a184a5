"""The three shapes of a scoring request: JSON, multipart files, or one raw body."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
from fastapi import Request
from pydantic import ValidationError
from starlette.datastructures import UploadFile

from ancestral.api.problems import Problem, of_validation
from ancestral.api.schemas import EmbedBody, File, ItemOptions, LogProbBody
from ancestral.engine.recordings import read_condition
from ancestral.media import MEDIA_TYPES, MediaError, decode, from_nested
from ancestral.store import Manifest

Array = npt.NDArray[Any]
Options = TypeVar("Options", bound=ItemOptions)
FORM = "multipart/form-data"
FILE_TYPES = ("image/png", "image/jpeg", "audio/wav", "application/x-npy", "text/plain")


@dataclass(frozen=True, slots=True)
class Raw:
    """One item as it came; `field` is what to call it in an error."""

    field: str
    content: bytes | list[Any]
    content_type: str | None = None


@dataclass(frozen=True, slots=True)
class Ask(Generic[Options]):
    """A request about items, not yet read."""

    options: Options
    items: list[Raw]


async def read_ask(
    request: Request, body: type[LogProbBody] | type[EmbedBody], options: type[Options]
) -> Ask[Options]:
    """Read a request by its content type: in JSON it is a `body`, else files beside `options`.

    Raises a problem naming the field at fault.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if kind == "application/json":
            document = body.model_validate(await _json(request))
            assert isinstance(document, options)
            return Ask(document, items_of(document))
        if kind == FORM:
            return await _from_form(request, options)
        if kind in MEDIA_TYPES or kind in ("", "application/octet-stream"):
            query = dict(request.query_params.multi_items())
            return Ask(_options(query, options), [Raw("body", await request.body(), kind)])
    except ValidationError as error:
        raise of_validation(error) from error
    read = ", ".join(["application/json", FORM, *MEDIA_TYPES])
    detail = f"{kind} is not read; {read} are"
    raise Problem(415, "Unsupported Media Type", detail, [("Content-Type", detail)])


async def _json(request: Request) -> Any:
    body = await request.body()
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Problem.of_field("body", f"is not JSON: {error}", 400) from error


def items_of(body: LogProbBody | EmbedBody) -> list[Raw]:
    """The items of a request in JSON."""
    items = []
    for index, entry in enumerate(body.inputs):
        field = f"inputs[{index}]"
        if isinstance(entry, File):
            items.append(Raw(f"{field}.data", _base64(field, entry.data), entry.content_type))
        elif isinstance(entry, str):
            items.append(Raw(field, entry.encode(errors="surrogatepass"), "text/plain"))
        else:
            items.append(Raw(field, entry))
    return items


def _base64(field: str, text: str) -> bytes:
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Problem.of_field(f"{field}.data", f"is not base64: {error}") from error


async def _from_form(request: Request, options: type[Options]) -> Ask[Options]:
    async with request.form() as form:
        items: list[Raw] = []
        fields: dict[str, str] = {}
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                field = f"{name}[{len(items)}]"
                items.append(Raw(field, await value.read(), value.content_type))
            else:
                fields[name] = value
    if not items:
        raise Problem.of_field("files", "there is no file among the parts")
    return Ask(_options(fields, options), items)


def _options(fields: Mapping[str, str], model: type[Options]) -> Options:
    """Options from a form or a query string, where everything is text."""
    options: dict[str, Any] = dict(fields)
    for name in ("condition", "marginal", "fit", "layer", "priority", "timeout_seconds"):
        if name in options:
            try:
                options[name] = json.loads(options[name])
            except (ValueError, RecursionError) as error:
                raise Problem.of_field(name, f"is not JSON: {options[name]!r:.100}") from error
    if "return" in options:
        options["return"] = [part.strip() for part in options["return"].split(",")]
    return model.model_validate(options)


def read_item(raw: Raw, manifest: Manifest, fit: bool, most: int) -> tuple[Array, list[str]]:
    """The item's codes, and what `fit` did. Raises a problem naming its field.

    A file of more than `most` pixels or samples is not decoded.
    """
    data = manifest.data.spec
    try:
        if isinstance(raw.content, list):
            item, steps = from_nested(raw.content, data, fit=fit)
        else:
            codec = manifest.data.media_codec
            item, steps = decode(raw.content, raw.content_type, data, codec, fit=fit, most=most)
    except MediaError as error:
        raise Problem.of_field(raw.field, str(error)) from error
    limit = manifest.data.length
    if limit is not None and len(item) > limit.maximum:
        detail = f"has {len(item)} sites; {limit.maximum} are scored at most"
        raise Problem.of_field(raw.field, detail)
    return item, steps


def read_conditions(
    manifest: Manifest, condition: Mapping[str, Any] | None, count: int, *, fit: bool, most: int
) -> tuple[dict[str, Any] | None, list[list[str]]]:
    """The condition with numbers in place of its files, and what `fit` did to those of each item.

    A file of more than `most` samples is not decoded. Raises a problem naming the field.
    """
    steps: list[list[str]] = [[] for _ in range(count)]
    if condition is None:
        return None, steps
    numbers: dict[str, Any] = {}
    for name, value in condition.items():
        if isinstance(value, list) and value and all(isinstance(part, dict) for part in value):
            read = [_numbers(manifest, name, part, fit, most) for part in value]
            numbers[name] = [found for found, _ in read]
        else:
            read = [_numbers(manifest, name, value, fit, most)] * count
            numbers[name] = read[0][0]
        for own, (_, taken) in zip(steps, read, strict=False):  # the count is checked later
            own += taken
    return numbers, steps


def _numbers(
    manifest: Manifest, name: str, value: Any, fit: bool, most: int
) -> tuple[Any, list[str]]:
    if not isinstance(value, dict):
        return value, []
    field = f"condition.{name}"
    try:
        file = File.model_validate(value)
    except ValidationError as error:
        raise Problem.of_field(field, "numbers, or a file as its data, are expected") from error
    body = _base64(field, file.data)
    found, steps = read_condition(body, name, manifest, file.content_type, fit=fit, most=most)
    return found.tolist(), steps


def rows_of(
    manifest: Manifest, condition: Mapping[str, Any] | None, count: int, kept: list[int]
) -> dict[str, Any] | None:
    """The condition of the items that could be read: lists of one value per item are thinned."""
    if condition is None or len(kept) == count:
        return None if condition is None else dict(condition)
    ranks = {entry.name: {"label": 1, "series": 3, "plane": 4}[entry.kind]
             for entry in manifest.conditions}  # fmt: skip
    thinned = {}
    for name, value in condition.items():
        each = len(value) == count and np.ndim(value) == ranks.get(name) if _sized(value) else False
        thinned[name] = [value[index] for index in kept] if each else value
    return thinned


def _sized(value: Any) -> bool:
    return isinstance(value, list)
