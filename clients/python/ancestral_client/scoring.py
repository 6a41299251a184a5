"""Many items in requests of bearable size, several at a time, answered in order."""

from __future__ import annotations

import asyncio
import json
import re
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Mapping,
    Sized,
)
from contextlib import aclosing
from typing import Any, Literal, TypeVar

from ancestral_client.answers import Model
from ancestral_client.errors import Invalid, ProblemError
from ancestral_client.http import Http
from ancestral_client.items import Conditions, Part, part, several
from ancestral_client.progress import Progress, reporting

Errors = Literal["raise", "return"]
Answer = TypeVar("Answer")
Read = Callable[[Mapping[str, Any], int], list[Answer]]
BATCH_ITEMS = 32
BATCH_BYTES = 8 * 2**20
CONCURRENCY = 4  # requests at a time
_OF_ITEM = re.compile(r"file\[(\d+)\]")


async def batches(items: AsyncIterable[Part], size: int) -> AsyncIterator[list[Part]]:
    """At most `size` items and `BATCH_BYTES` in each (but never no item)."""
    batch: list[Part] = []
    held = 0
    async for item in items:
        if batch and (len(batch) == size or held + len(item.content) > BATCH_BYTES):
            yield batch
            batch, held = [], 0
        batch.append(item)
        held += len(item.content)
    if batch:
        yield batch


async def parts(inputs: Any, model: Model) -> AsyncIterator[Part]:
    """The items of `inputs` as files; a plain iterator is run, and files are read, in a thread."""
    found = several(inputs, model)
    if isinstance(found, AsyncIterable):
        async for item in found:
            yield await asyncio.to_thread(part, item, model)
        return
    iterator = iter(found)
    while (following := await asyncio.to_thread(_following, iterator, model)) is not None:
        yield following


def _following(iterator: Any, model: Model) -> Part | None:
    for item in iterator:
        return part(item, model)
    return None


async def in_order(
    work: AsyncIterable[Awaitable[list[Answer]]], concurrency: int
) -> AsyncGenerator[Answer, None]:
    """The results of pieces of work, of which so many run at a time, in the order of the pieces."""
    running: deque[asyncio.Future[list[Answer]]] = deque()
    try:
        async for piece in work:
            running.append(asyncio.ensure_future(piece))
            if len(running) >= concurrency:
                for answer in await running.popleft():
                    yield answer
        while running:
            for answer in await running.popleft():
                yield answer
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


class Scorer:
    """Requests to `/log_prob` or `/embed`: `fields` are a form's, `read` its answers."""

    def __init__(
        self, http: Http, path: str, model: Model, fields: Mapping[str, str], read: Read[Any]
    ) -> None:
        self._http, self._path, self.model = http, path, model
        self._fields, self._read = fields, read

    async def each(
        self, inputs: Any, condition: Mapping[str, Any], size: int, concurrency: int
    ) -> AsyncGenerator[Any, None]:
        """An answer for every item, in order."""
        conditions = await asyncio.to_thread(Conditions.of, condition, self.model)
        asked = 0

        async def work() -> AsyncIterator[Awaitable[list[Any]]]:
            nonlocal asked
            async for batch in batches(parts(inputs, self.model), size):
                first, asked = asked, asked + len(batch)
                yield self._batch(batch, first, conditions)
            conditions.check(asked)

        async with aclosing(in_order(work(), concurrency)) as answers:
            async for answer in answers:
                yield answer

    async def _batch(self, batch: list[Part], first: int, conditions: Conditions) -> list[Any]:
        """One request, or two halves of it where it is too large for the server."""
        fields = dict(self._fields)
        if condition := conditions.of_items(first, len(batch)):
            fields["condition"] = json.dumps(condition)
        files = [("file", ("item", item.content, item.content_type)) for item in batch]
        try:
            response = await self._http.request("POST", self._path, data=fields, files=files)
        except Invalid as error:
            if error.status == 413 and len(batch) > 1:
                half = len(batch) // 2
                left = await self._batch(batch[:half], first, conditions)
                return left + await self._batch(batch[half:], first + half, conditions)
            return self._read({"results": refused(error, len(batch))}, first)
        return self._read(response.json(), first)


def refused(error: ProblemError, count: int) -> list[dict[str, Any]]:
    """A refusal of all items as one of each; raises it where it is not about the items.

    The server refuses a request of which no item can be read, naming `file[i]` for each.
    """
    of_items: dict[int, list[dict[str, str]]] = {}
    for fault in error.errors:
        match = _OF_ITEM.match(fault.field)
        if match is None:
            raise error
        faults = of_items.setdefault(int(match[1]), [])
        faults.append({"field": fault.field, "message": fault.message})
    if sorted(of_items) != list(range(count)):
        raise error
    return [
        {
            "index": index,
            "error": {
                **error.document,
                "detail": "; ".join(f"{f['field']}: {f['message']}" for f in of_items[index]),
                "errors": of_items[index],
            },
        }
        for index in range(count)
    ]


def fields(model: str, options: Mapping[str, Any]) -> dict[str, str]:
    """Options as the fields of a form, where everything is text."""
    found = {"model": model}
    for name, value in options.items():
        if name == "returned":
            found["return"] = ",".join(value)
        elif name != "condition":
            found[name] = value if isinstance(value, str) else json.dumps(value)
    return found


async def answered(
    scorer: Scorer,
    inputs: Any,
    options: Mapping[str, Any],
    errors: Errors,
    progress: Progress,
    batch_size: int,
    concurrency: int,
) -> AsyncGenerator[Any, None]:
    """An answer for every item. Raises the first ItemError where that is wished."""
    found = several(inputs, scorer.model)
    total = len(found) if isinstance(found, Sized) else None
    condition = options.get("condition") or {}
    with reporting(progress, total) as report:
        async with aclosing(scorer.each(found, condition, batch_size, concurrency)) as each:
            async for answer in each:
                if answer.error is not None and errors == "raise":
                    raise answer.error
                report()
                yield answer
