"""`AsyncClient`: everything that can be asked of a server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import uuid
import weakref
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from typing import Any, Self, Unpack

import httpx

from ancestral_client import answers
from ancestral_client.answers import BatchAnswer, Embedding, Job, Model, Samples, Score
from ancestral_client.errors import ProblemError, Unreachable
from ancestral_client.http import PATIENCE, TIMEOUT, Backoff, Http, Settings
from ancestral_client.items import Items
from ancestral_client.options import (
    BatchLine,
    EmbedOptions,
    SampleOptions,
    ScoreOptions,
    sample_body,
)
from ancestral_client.progress import Progress
from ancestral_client.scoring import BATCH_ITEMS, CONCURRENCY, Errors, Scorer, answered, fields
from ancestral_client.streaming import AsyncStream, Format, cancel


class AsyncClient:
    """A server's models. Close it, or use it as `async with AsyncClient(url) as client`.

    url          of the server; ANCESTRAL_URL where absent, or this machine's port 8000
    api_key      sent as a bearer token; ANCESTRAL_KEY where absent
    timeout      seconds without a byte of an answer, after which a request is sent again
    patience     seconds for which a server that was there before may be away, or full: requests
                 are sent again, with backoff or after the server's Retry-After. A server that was
                 never reached is an error at once.
    ssl_context  for https; the system's certificates where absent
    transport    in place of httpx's own

    All methods raise ProblemError (its subclasses tell which) for refusals, Unreachable where the
    server is away.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: str | None = None,
        timeout: float = TIMEOUT,
        patience: float = PATIENCE,
        ssl_context: ssl.SSLContext | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.settings = Settings.of(url, api_key, timeout, patience, ssl_context)
        self._http = Http(self.settings, transport)
        self._models: dict[str, Model] = {}
        self._running: set[str] = set()  # jobs that end with the client
        self._streams: weakref.WeakSet[AsyncStream] = weakref.WeakSet()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Cancel what streams, and close the connections."""
        for stream in list(self._streams):
            with contextlib.suppress(RuntimeError):  # it is being read at this moment
                await stream.aclose()
        await asyncio.gather(*[cancel(self._http, job) for job in self._running])
        await self._http.aclose()

    async def models(self) -> list[Model]:
        """Every model of the store, in its default version."""
        answer = (await self._http.request("GET", "/models")).json()
        return [Model.of(each) for each in answer["models"]]

    async def model(self, name: str) -> Model:
        """One model: NAME, or NAME/VERSION."""
        name, _, version = name.partition("/")
        query = {"version": version} if version else {}
        return Model.of((await self._http.request("GET", f"/models/{name}", params=query)).json())

    async def load(self, name: str) -> Model:
        """Have every worker that serves a model load it; there once they hold it.

        NAME, or NAME/VERSION. Needs an admin's key where the server asks for keys.
        """
        return await self._control(name, "load")

    async def unload(self, name: str) -> Model:
        """Have every worker give a model up, once the jobs that run or wait are done.

        NAME, for the version that serves, or NAME/VERSION.
        """
        return await self._control(name, "unload")

    async def _control(self, name: str, action: str) -> Model:
        name, _, version = name.partition("/")
        query = {"version": version} if version else {}
        path = f"/models/{name}/{action}"
        return Model.of((await self._http.request("POST", path, params=query)).json())

    async def workers(self) -> Mapping[str, Any]:
        """`workers`: their slots and models; `waiting`: jobs in the queue, by NAME/VERSION."""
        found: Mapping[str, Any] = (await self._http.request("GET", "/workers")).json()
        return found

    async def metrics(self) -> str:
        """The server's figures in Prometheus' text format."""
        return (await self._http.request("GET", "/metrics")).text

    async def log_prob(
        self,
        model: str,
        inputs: Items,
        *,
        errors: Errors = "raise",
        progress: Progress = False,
        batch_size: int = BATCH_ITEMS,
        concurrency: int = CONCURRENCY,
        **options: Unpack[ScoreOptions],
    ) -> list[Score]:
        """Score items: one Score for each, in their order.

        `inputs` is an item or holds several, be it an array, a list, or an iterator. An item is an
        array of codes, a PIL image, a Sound, the path of a PNG, JPEG, WAV, MIDI or NPY file, the
        bytes of one, or, for a model of text, a string. `batch_size` of them travel in a request,
        `concurrency` requests at a time. `errors="return"` gives a bad item a Score with `error`
        in place of raising its ItemError. `progress` shows a bar, or is called with (items scored,
        items in all or None).
        """
        each = self.iter_log_prob(
            model,
            inputs,
            errors=errors,
            progress=progress,
            batch_size=batch_size,
            concurrency=concurrency,
            **options,
        )
        async with aclosing(each):
            return [score async for score in each]

    async def iter_log_prob(
        self,
        model: str,
        inputs: Items,
        *,
        errors: Errors = "raise",
        progress: Progress = False,
        batch_size: int = BATCH_ITEMS,
        concurrency: int = CONCURRENCY,
        **options: Unpack[ScoreOptions],
    ) -> AsyncGenerator[Score, None]:
        """As `log_prob`, but each Score as soon as it and those before it are there.

        An iterator is read no further ahead than the requests under way need, so that it may be
        endless.
        """
        scorer = await self._scorer("/log_prob", model, options, answers.scores)
        each = answered(scorer, inputs, options, errors, progress, batch_size, concurrency)
        async with aclosing(each):
            async for score in each:
                yield score

    async def embed(
        self,
        model: str,
        inputs: Items,
        *,
        errors: Errors = "raise",
        progress: Progress = False,
        batch_size: int = BATCH_ITEMS,
        concurrency: int = CONCURRENCY,
        **options: Unpack[EmbedOptions],
    ) -> list[Embedding]:
        """Represent items by a layer's hidden state; `inputs` and options as for `log_prob`."""
        scorer = await self._scorer("/embed", model, options, answers.embeddings)
        each = answered(scorer, inputs, options, errors, progress, batch_size, concurrency)
        async with aclosing(each):
            return [embedding async for embedding in each]

    async def sample(self, model: str, **options: Unpack[SampleOptions]) -> Samples:
        """Draw items and wait for them. Given up on, the job is canceled."""
        id = uuid.uuid4().hex
        self._running.add(id)
        try:
            body = sample_body(model, options)
            return Samples.of((await self._http.request("PUT", f"/sample/{id}", json=body)).json())
        except (asyncio.CancelledError, Unreachable):
            await cancel(self._http, id)
            raise
        finally:
            self._running.discard(id)

    def stream(
        self, model: str, *, format: Format = "codes", **options: Unpack[SampleOptions]
    ) -> AsyncStream:
        """Items while they are drawn: an async iterator of chunks, see AsyncStream.

        `format="pcm16"` gives a sound's samples as 16-bit integers in place of its codes.
        """
        stream = AsyncStream(self._http, sample_body(model, options), format, self._running)
        self._streams.add(stream)
        return stream

    async def submit(self, model: str, **options: Unpack[SampleOptions]) -> Job:
        """Draw items without waiting for them: see `job`, `wait`, `result`, `cancel`."""
        id = uuid.uuid4().hex
        headers = {"Prefer": "respond-async"}
        body = sample_body(model, options)
        await self._http.request("PUT", f"/sample/{id}", json=body, headers=headers)
        return await self.job(id)

    async def job(self, id: str) -> Job:
        """How a job stands. Raises NotFound for one that has expired."""
        return Job.of(id, (await self._http.request("GET", f"/jobs/{id}")).json())

    async def wait(self, id: str) -> Job:
        """The job once it has ended, well or not."""
        pause = 0.05
        while not (job := await self.job(id)).ended:
            await asyncio.sleep(pause)
            pause = min(2 * pause, 2.0)
        return job

    async def result(self, id: str) -> Samples | list[Score] | list[Embedding]:
        """What the job's request would have answered, for as long as the server keeps it.

        Raises Conflict while it runs, and the problem that it failed of.
        """
        return answers.result((await self._http.request("GET", f"/jobs/{id}/result")).json())

    async def download(self, id: str, media_type: str) -> bytes:
        """The result as a file: image/png, audio/wav, audio/midi, text/plain, application/x-npy.

        Raises as `result` does, and ProblemError (406) for what the model cannot be given as.
        """
        headers = {"Accept": media_type}
        return (await self._http.request("GET", f"/jobs/{id}/result", headers=headers)).content

    async def cancel(self, id: str) -> Job:
        """End a job; what it has published stays readable."""
        return Job.of(id, (await self._http.request("DELETE", f"/jobs/{id}")).json())

    async def batch(
        self, lines: Iterable[BatchLine], *, key: str | None = None
    ) -> AsyncGenerator[BatchAnswer, None]:
        """Many requests in one: the answers in the order in which they end.

        `custom_id`s tell them apart. Under a `key` of one's own, a batch that is sent again meets
        the jobs of the first time. A connection that breaks is made again.
        """
        waiting = {line["custom_id"]: line for line in lines}
        headers = {"Content-Type": "application/jsonl", "Idempotency-Key": key or uuid.uuid4().hex}
        content = "\n".join(json.dumps(line) for line in waiting.values()).encode()
        backoff = Backoff(self.settings.patience)
        while waiting:
            try:
                async with self._http.lines("/batches", content, headers) as found:
                    async for line in found:
                        answer = json.loads(line)
                        if waiting.pop(answer["custom_id"], None) is not None:
                            backoff.rest()
                            response = answer["response"]
                            yield BatchAnswer(
                                answer["custom_id"], response["status_code"], response["body"]
                            )
                if waiting:
                    raise httpx.RemoteProtocolError(f"{len(waiting)} lines were not answered")
            except (httpx.TransportError, ProblemError) as error:
                await self._http.recover(backoff, error)

    async def ready(self, patience: float = 60.0) -> None:
        """Wait until the server is there and every model that it should serve is loaded.

        Raises Unreachable after `patience` seconds.
        """
        why: Exception | None = None
        try:
            async with asyncio.timeout(patience):
                while True:
                    try:
                        await self._http.once("GET", "/health/ready")
                        return
                    except (ProblemError, httpx.TransportError) as error:
                        why = error
                    await asyncio.sleep(0.2)
        except TimeoutError as error:
            raise Unreachable(f"{self.settings.url} is not ready: {why}") from error

    async def _scorer(self, path: str, model: str, options: Any, read: Any) -> Scorer:
        if model not in self._models:
            self._models[model] = await self.model(model)
        return Scorer(self._http, path, self._models[model], fields(model, options), read)
