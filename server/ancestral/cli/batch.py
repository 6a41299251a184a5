"""`ancestral batch`: files of many requests, restartable."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json as codec
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ancestral.cli.output import FAILED, Json, Models, emit, people
from ancestral.cli.places import require_writable
from ancestral.progress import bar
from ancestral.settings import Settings

if TYPE_CHECKING:
    from ancestral.api.batches import Line
    from ancestral.cli.answered import Answered

LOCAL_TTL = 5.0  # seconds that a result waits to be written


def batch(
    input: Annotated[Path, typer.Argument(help="JSON lines: custom_id, url, body.")],
    output: Annotated[Path, typer.Argument(help="JSON lines: custom_id, response.")],
    models: Models = None,
    broker: Annotated[
        str | None,
        typer.Option(metavar="URL", help="redis://HOST:PORT/DB of a fleet that does the work."),
    ] = None,
    slots: Annotated[int | None, typer.Option(help="Running batch of one model.")] = None,
    json: Json = False,
) -> None:
    """Score, embed and sample by a file of requests; run again, it goes on where it stopped.

    A line is {"custom_id": …, "url": "/log_prob", "body": …} with the body of a POST there; an
    input may also be {"path": FILE}, from the folder of the input file. Lines that succeeded or
    cannot succeed are not repeated. The exit status is 1 if any failed.
    """
    from ancestral.cli.answered import answered

    require_writable(output)
    settings = Settings.from_env(models=models, broker=broker, slots=slots)
    plan = _plan(input)
    before = answered(output)
    failed = before.failed + asyncio.run(_run(settings, input, output, plan, before, json))
    if json:
        emit(
            {
                "output": output,
                "requests": plan.lines,
                "already_answered": len(before),
                "failed": failed,
            }
        )
    elif failed:
        people().print(f"{failed} of {plan.lines} requests failed; {output} says why")
    if failed:
        raise typer.Exit(FAILED)


@dataclass(frozen=True, slots=True)
class _Plan:
    lines: int
    models: frozenset[str]


def _plan(input: Path) -> _Plan:
    """What the input asks for. Raises OSError where it cannot be read."""
    count, models = 0, set()
    for line in _lines(input):
        count += 1
        try:
            models.add(codec.loads(line.text)["body"]["model"])
        except (ValueError, KeyError, TypeError):
            continue  # its answer will say what is wrong
    return _Plan(count, frozenset(name for name in models if isinstance(name, str)))


def _lines(input: Path) -> Iterator[Line]:
    from ancestral.api.batches import Line

    with input.open("rb") as file:
        for number, text in enumerate(file, 1):
            if text.strip():
                yield Line(number, text)


async def _run(
    settings: Settings, input: Path, output: Path, plan: _Plan, before: Answered, quiet: bool
) -> int:
    """Answer what is left; how many of it failed."""
    from prometheus_client import CollectorRegistry

    from ancestral.api.batches import answers
    from ancestral.api.catalogue import Catalogue
    from ancestral.api.services import ApiMetrics, Services
    from ancestral.broker import MemoryQueue, Queue
    from ancestral.broker.connect import api_queue
    from ancestral.engine.process import new_worker
    from ancestral.engine.worker import Worker

    registry = CollectorRegistry()
    worker: Worker | None = None
    if settings.broker:
        queue: Queue = api_queue(settings)
    else:
        queue = memory = MemoryQueue(
            depth=settings.queue_depth, ttl=LOCAL_TTL, held_bytes=settings.broker_bytes
        )
        known = {entry.name for entry in Catalogue(settings.models).entries()}
        names = sorted(name for name in plan.models if name.partition("/")[0] in known)
        worker = new_worker(replace(settings, packages=",".join(names)), memory, registry)
        worker.start()
    metrics = ApiMetrics(registry)
    services = Services(settings, queue, Catalogue(settings.models), registry, metrics)
    key = hashlib.sha256(str(output.resolve()).encode()).hexdigest() if settings.broker else ""
    failed = 0
    try:
        await queue.workers()  # raises where the broker is away
        with output.open("ab", buffering=0) as file, bar("requests", quiet=quiet) as display:
            task = display.add_task(str(input), total=plan.lines, completed=len(before))
            async for found in answers(services, _left(input, before), key):
                file.write(codec.dumps(found).encode() + b"\n")
                failed += found["response"]["status_code"] != 200
                display.advance(task)
    finally:
        if worker is not None:
            worker.stop()
        await queue.close()
    return failed


def _left(input: Path, done: Answered) -> Iterator[Line]:
    """The lines that are still to be answered, with their files read."""
    from ancestral.api.batches import identity_of

    for line in _lines(input):
        try:
            document = codec.loads(line.text)
        except (ValueError, RecursionError):
            document = None  # its answer says what is wrong
        if identity_of(document, line.number) in done:
            continue
        if isinstance(document, dict):
            line = replace(line, text=_with_files(document, input.parent))
        yield line


def _with_files(document: dict[str, Any], folder: Path) -> str:
    """The line with the files that its inputs name; one that cannot be read stays as it is."""
    from ancestral.media import declared

    body = document.get("body")
    inputs: Any = body.get("inputs") if isinstance(body, dict) else None
    for index, entry in enumerate(inputs if isinstance(inputs, list) else ()):
        if isinstance(entry, dict) and set(entry) == {"path"}:
            path = folder / str(entry["path"])
            try:
                data = base64.b64encode(path.read_bytes()).decode()
            except OSError:
                continue  # refused as an input that is no file of the request
            inputs[index] = {"data": data, "content_type": declared(path)}
    return codec.dumps(document)
