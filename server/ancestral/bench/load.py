"""`ancestral bench serve`: streams and scoring clients against a running server, for a while."""

from __future__ import annotations

import asyncio
import json
import random
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from rich.table import Table
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

from ancestral.api.connection import SUBPROTOCOL
from ancestral.api.wire import Frame

TELL_SECONDS = 0.25
_PERCENTILES = (50, 95, 99)
_TIMEOUT = 60.0  # seconds without an answer are an error


@dataclass(slots=True)
class Load:
    """What the clients saw; times in seconds.

    Sites a second are those of `steady` seconds, in which every stream had begun and none had been
    told to stop. `direct` are sites a second of the runtime alone, measured in turns with the
    server.
    """

    seconds: float = 0.0
    streams: int = 0
    scorers: int = 0
    sites: int = 0
    finished: int = 0
    scores: int = 0
    first: list[float] = field(default_factory=list)  # request to first frame
    gaps: list[float] = field(default_factory=list)  # between the frames of a stream
    score_seconds: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    direct: list[float] = field(default_factory=list)
    steady: float = 0.0
    steady_sites: int = 0
    _begun: set[int] = field(default_factory=set)
    _since: float | None = None

    def arrived(self, stream: int, sites: int, now: float, until: float) -> None:
        """A frame of so many sites came over one of the streams."""
        self.sites += sites
        self._begun.add(stream)
        if self._since is None:
            if len(self._begun) == self.streams:
                self._since = now
        elif now <= until:
            self.steady, self.steady_sites = now - self._since, self.steady_sites + sites

    def __iadd__(self, other: Load) -> Load:
        """What was seen in another round."""
        self.seconds += other.seconds
        self.sites += other.sites
        self.steady += other.steady
        self.steady_sites += other.steady_sites
        self.finished += other.finished
        self.scores += other.scores
        self.first += other.first
        self.gaps += other.gaps
        self.score_seconds += other.score_seconds
        self.errors += other.errors
        return self

    @property
    def sites_per_second(self) -> float:
        return self.steady_sites / self.steady if self.steady else self.sites / self.seconds

    @property
    def over_direct(self) -> float | None:
        """The server's rate over that of the runtime alone, where that was measured."""
        return self.sites_per_second / fmean(self.direct) if self.direct else None

    def to_json(self) -> dict[str, Any]:
        return {
            "seconds": self.seconds,
            "streams": self.streams,
            "scorers": self.scorers,
            "sites_per_second": self.sites_per_second,
            "direct_sites_per_second": fmean(self.direct) if self.direct else None,
            "server_over_direct": self.over_direct,
            "streams_finished": self.finished,
            "scores_per_second": self.scores / self.seconds,
            "first_frame_seconds": percentiles(self.first),
            "gap_seconds": percentiles(self.gaps),
            "score_seconds": percentiles(self.score_seconds),
            "errors": dict(self.errors),
        }


def percentiles(values: list[float]) -> dict[str, float]:
    """The nearest-rank percentiles p50, p95 and p99; none of no values."""
    ordered = sorted(values)
    return {
        f"p{p}": ordered[max(0, -(-p * len(ordered) // 100) - 1)] for p in _PERCENTILES if ordered
    }


async def drive_server(
    url: str,
    model: str,
    *,
    streams: int,
    scorers: int,
    seconds: float,
    sites: int | None = None,
    key: str | None = None,
    tell: Callable[[float, str], None] = lambda passed, words: None,
) -> Load:
    """Keep so many streams and scoring clients busy for a while, each with one request at a time.

    `tell` is called every quarter of a second: how many seconds have passed, and what is seen.
    Raises ValueError where the server does not answer or has no such model.
    """
    known = await asyncio.to_thread(get, f"{url}/models/{model}", key)
    load = Load(streams=streams, scorers=scorers)
    start = time.monotonic()
    until = start + seconds
    await asyncio.gather(
        *(_stream(url, known, sites, key, until, load, n) for n in range(streams)),
        *(_scorer(url, known, sites, key, until, load, n) for n in range(scorers)),
        _progress(until, load, tell),
    )
    load.seconds = time.monotonic() - start
    return load


async def _progress(until: float, load: Load, tell: Callable[[float, str], None]) -> None:
    start = last = time.monotonic()
    while last < until:
        await asyncio.sleep(min(TELL_SECONDS, until - last))
        now = time.monotonic()
        done = f"{load.sites / (now - start):,.0f} sites/s, {load.scores} scores"
        tell(min(now, until) - last, f"{done}, {load.errors.total()} errors")
        last = now


async def _stream(
    url: str, known: Any, sites: int | None, key: str | None, until: float, load: Load, number: int
) -> None:
    wanted = {"type": "generate", "model": known["name"], **condition_of(known, number)}
    if sites is not None and known.get("length"):
        wanted["sites"] = sites
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    address = url.replace("http", "ws", 1) + "/stream"
    round_ = 0
    while time.monotonic() < until:
        try:
            async with connect(
                address,
                subprotocols=[Subprotocol(SUBPROTOCOL)],
                additional_headers=headers,
                max_size=None,
            ) as socket:
                while time.monotonic() < until:
                    round_ += 1
                    seed = number + 1000 * round_
                    await socket.send(json.dumps({**wanted, "seed": seed}))
                    if not await _read(socket, until, load, number):
                        break
        except (OSError, WebSocketException, TimeoutError) as error:
            load.errors[type(error).__name__] += 1
            await asyncio.sleep(0.1)


async def _read(socket: Any, until: float, load: Load, number: int) -> bool:
    """Follow one job to its end; whether the socket is good for another."""
    start, last = time.monotonic(), None
    while True:
        message = await asyncio.wait_for(socket.recv(), _TIMEOUT)
        now = time.monotonic()
        if isinstance(message, bytes):
            if last is None:
                load.first.append(now - start)
            else:
                load.gaps.append(now - last)
            last = now
            load.arrived(number, Frame.decode(message).count, now, until)
            if now > until:
                return False
            continue
        event = json.loads(message)
        if event["type"] == "done":
            load.finished += 1
            return True
        if event["type"] in ("failed", "error", "canceled"):
            load.errors[str(event.get("title") or event.get("detail") or event["type"])] += 1
            await asyncio.sleep(0.1)
            return True


async def _scorer(
    url: str, known: Any, sites: int | None, key: str | None, until: float, load: Load, number: int
) -> None:
    body = {
        "model": known["name"],
        "inputs": [_item(known, sites, number)],
        **condition_of(known, number),
    }
    while time.monotonic() < until:
        start = time.monotonic()
        try:
            await asyncio.to_thread(get, f"{url}/log_prob", key, body)
        except ValueError as error:
            load.errors[str(error)] += 1
            await asyncio.sleep(0.1)
            continue
        load.scores += 1
        load.score_seconds.append(time.monotonic() - start)


def _item(known: Any, sites: int | None, seed: int) -> Any:
    """A random item in its own shape, as nested lists."""
    draw = random.Random(seed)
    length = known.get("length")
    shape = known["shape"] or [sites or length["default"]]

    def nested(sizes: list[int]) -> Any:
        if sizes:
            return [nested(sizes[1:]) for _ in range(sizes[0])]
        return draw.gauss(0, 1) if known["levels"] is None else draw.randrange(known["levels"])

    return nested(shape)


def condition_of(known: Any, number: int) -> dict[str, Any]:
    """Labels in turn. Raises ValueError for models that need more than a label."""
    found = {}
    for spec in known["conditions"]:
        if spec["kind"] != "label":
            raise ValueError(f"{known['name']} needs a {spec['kind']}: choose another model")
        found[spec["name"]] = number % spec["classes"]
    return {"condition": found} if found else {}


def get(url: str, key: str | None, body: Any = None) -> Any:
    """The JSON at an address, or the answer to a body. Raises ValueError: what the server said."""
    headers = {"Content-Type": "application/json"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    data = None if body is None else json.dumps(body).encode()
    try:
        request = urllib.request.Request(url, data, headers)
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        with error:  # it holds the connection
            raise ValueError(f"{url}: {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        raise ValueError(f"{url}: no server answers: {error.reason}") from error
    except OSError as error:
        raise ValueError(f"{url}: {error}") from error


def _ratio(load: Load) -> str:
    if load.over_direct is None:
        return ""
    return f", {load.over_direct:.2f} of the runtime alone ({fmean(load.direct):,.0f} sites/s)"


def load_table(load: Load) -> Table:
    """What was seen, for a terminal."""
    found = Table(
        title=f"{load.streams} streams and {load.scorers} scoring clients, {load.seconds:.0f} s",
        caption=f"{load.sites_per_second:,.0f} sites/s{_ratio(load)}, {load.finished} streams "
        "finished; "
        f"{load.scores / load.seconds:,.1f} scores/s; "
        + ("no errors" if not load.errors else f"errors: {dict(load.errors)}"),
    )
    found.add_column("milliseconds")
    for p in _PERCENTILES:
        found.add_column(f"p{p}", justify="right")
    for name, values in (
        ("first frame", load.first),
        ("between frames", load.gaps),
        ("score", load.score_seconds),
    ):
        if values:
            found.add_row(name, *(f"{1000 * v:.1f}" for v in percentiles(values).values()))
    return found
