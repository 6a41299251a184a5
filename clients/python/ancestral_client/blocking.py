"""`Client`: the methods of `AsyncClient`, run on an event loop in a thread of the client's own."""

from __future__ import annotations

import asyncio
import functools
import ssl
import threading
import weakref
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, Unpack

import httpx

from ancestral_client.asynchronous import AsyncClient
from ancestral_client.frames import Array, Chunk, Started
from ancestral_client.http import PATIENCE, TIMEOUT, Settings
from ancestral_client.options import SampleOptions
from ancestral_client.streaming import AsyncStream, Finished, Format

P = ParamSpec("P")
T = TypeVar("T")


class Loop:
    """An event loop in a thread, which ends with whatever holds this."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        stopped = asyncio.Event()
        self._thread = threading.Thread(
            target=_serve, args=(self._loop, stopped), name="ancestral-client", daemon=True
        )
        self._thread.start()
        stop = functools.partial(self._loop.call_soon_threadsafe, stopped.set)
        self._stop = weakref.finalize(self, stop)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`. An interrupt (Ctrl-C) cancels it."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def finish(self, work: Coroutine[Any, Any, None]) -> None:
        """Run what cleans up, which may be wanted at any time and from any thread."""
        if self._loop.is_closed():
            work.close()
        elif threading.current_thread() is self._thread:  # the garbage collector runs anywhere
            self._cleaning = self._loop.create_task(work)
        else:
            self.run(work)

    def stop(self) -> None:
        self._stop()
        self._thread.join()


def _serve(loop: asyncio.AbstractEventLoop, stopped: asyncio.Event) -> None:
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(stopped.wait())


def _waiting(
    method: Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Client, P], T]:
    """The same method, which blocks until its result is there."""

    def run(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._loop.run(method(self._client, *args, **kwargs))

    return _named(run, method)


def _iterating(
    method: Callable[Concatenate[AsyncClient, P], AsyncGenerator[T, None]],
) -> Callable[Concatenate[Client, P], Generator[T, None, None]]:
    """The same method, as a plain generator."""

    def run(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> Generator[T, None, None]:
        return _pull(self._loop, method(self._client, *args, **kwargs))

    return _named(run, method)


def _named(run: Callable[P, T], method: Callable[..., Any]) -> Callable[P, T]:
    functools.update_wrapper(run, method)
    run.__qualname__ = f"Client.{method.__name__}"
    return run


def _pull(loop: Loop, items: AsyncGenerator[T, None]) -> Generator[T, None, None]:
    try:
        while True:
            try:
                yield loop.run(_next(items))
            except StopAsyncIteration:
                return
    finally:
        loop.finish(items.aclose())


async def _next(items: AsyncGenerator[T, None]) -> T:
    return await anext(items)


class Stream:
    """Chunks of samples while they are drawn: `for chunk in stream`, once.

    Leaving the loop, by break or by an error, cancels the job. Raises and tells what AsyncStream
    does.
    """

    def __init__(self, loop: Loop, stream: AsyncStream) -> None:
        self._loop, self._stream = loop, stream

    @property
    def job(self) -> str:
        return self._stream.job

    @property
    def started(self) -> Started | None:
        return self._stream.started

    @property
    def finished(self) -> Finished | None:
        return self._stream.finished

    @property
    def connections(self) -> int:
        return self._stream.connections

    def item(self, index: int) -> Array:
        """An item as far as it has arrived, in its own shape; the rest is zero."""
        return self._stream.item(index)

    def pause(self) -> None:
        """Draw no more for now; see AsyncStream."""
        self._loop.run(self._stream.pause())

    def resume(self) -> None:
        """Go on where it was."""
        self._loop.run(self._stream.resume())

    def __iter__(self) -> Generator[Chunk, None, None]:
        return _pull(self._loop, aiter(self._stream))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the job, unless it has ended."""
        self._loop.run(self._stream.aclose())


class Client:
    """A server's models: AsyncClient (see there for what it is made of) for code that waits.

    Close it, or use it as `with Client(url) as client`. Several threads may share one. It can be
    pickled: the copy has connections of its own.
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
        self._client = AsyncClient(
            url,
            api_key=api_key,
            timeout=timeout,
            patience=patience,
            ssl_context=ssl_context,
            transport=transport,
        )
        self.settings = self._client.settings
        self._loop = Loop()

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self.settings,)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Cancel what streams, and close the connections."""
        self._loop.run(self._client.aclose())
        self._loop.stop()

    models = _waiting(AsyncClient.models)
    model = _waiting(AsyncClient.model)
    load = _waiting(AsyncClient.load)
    unload = _waiting(AsyncClient.unload)
    workers = _waiting(AsyncClient.workers)
    metrics = _waiting(AsyncClient.metrics)
    log_prob = _waiting(AsyncClient.log_prob)
    iter_log_prob = _iterating(AsyncClient.iter_log_prob)
    embed = _waiting(AsyncClient.embed)
    sample = _waiting(AsyncClient.sample)
    submit = _waiting(AsyncClient.submit)
    job = _waiting(AsyncClient.job)
    wait = _waiting(AsyncClient.wait)
    result = _waiting(AsyncClient.result)
    download = _waiting(AsyncClient.download)
    cancel = _waiting(AsyncClient.cancel)
    batch = _iterating(AsyncClient.batch)
    ready = _waiting(AsyncClient.ready)

    def stream(
        self, model: str, *, format: Format = "codes", **options: Unpack[SampleOptions]
    ) -> Stream:
        """Items while they are drawn: an iterator of chunks, see Stream.

        `format="pcm16"` gives a sound's samples as 16-bit integers in place of its codes.
        """
        return Stream(self._loop, self._client.stream(model, format=format, **options))


def _again(settings: Settings) -> Client:
    return Client(
        settings.url,
        api_key=settings.api_key,
        timeout=settings.timeout,
        patience=settings.patience,
        ssl_context=settings.ssl_context,
    )
