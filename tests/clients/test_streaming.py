"""Streams through broken connections: the values are those of one plain request."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
from pathlib import Path

import numpy as np
import pytest
from tests.api.conftest import running
from tests.api.server import Server
from tests.clients.conftest import ENDLESS
from tests.clients.proxy import Proxy

from ancestral_client import (
    AncestralError,
    AsyncClient,
    Client,
    Invalid,
    JobCanceled,
    NotFound,
    StreamBroken,
    Unreachable,
)
from ancestral_client.frames import Ledger, Started, decode

GOLDEN = Path(__file__).parents[1] / "api" / "golden" / "frames.json"
LONG = {"model": "tiny-wavenet", "sites": 800, "condition": {"label": 1}, "seed": 5}


def drawn(server: Server, **body: object) -> np.ndarray:
    """What a plain request draws, [count, …]."""
    answer = server.post("/sample", body).json()
    return np.array([item["data"] for item in answer["items"]])


def test_chunks_are_typed_and_add_up(server: Server, client: Client) -> None:
    stream = client.stream("tiny-pixelcnn", count=2, seed=7, condition={"label": [0, 2]})
    chunks = list(stream)
    assert stream.started is not None
    assert stream.finished is not None
    assert stream.started.seed == 7
    assert stream.started.shape == (1, 5, 4)
    assert stream.connections == 1
    items = [[c for c in chunks if c.item == item] for item in range(2)]
    for item, found in enumerate(items):
        flat = np.concatenate([chunk.values for chunk in found])
        assert flat.shape == (20, 1)
        assert [chunk.last for chunk in found] == [False] * (len(found) - 1) + [True]
        np.testing.assert_array_equal(stream.item(item), flat.reshape(1, 5, 4))
    body = {"model": "tiny-pixelcnn", "count": 2, "seed": 7, "condition": {"label": [0, 2]}}
    answer = server.post("/sample", body).json()
    np.testing.assert_array_equal(
        [stream.item(0), stream.item(1)], [item["data"] for item in answer["items"]]
    )
    scores = [item["log_prob"] for item in answer["items"]]
    by_item = sorted(stream.finished.items, key=lambda score: score.item)
    assert [score.log_prob for score in by_item] == pytest.approx(scores, abs=1e-5)


def test_positions_follow_the_order(server: Server, client: Client) -> None:
    stream = client.stream("tiny-made", seed=3)
    for _ in stream:
        pass
    np.testing.assert_array_equal([stream.item(0)], drawn(server, model="tiny-made", seed=3))


def test_pcm(server: Server, client: Client) -> None:
    options = {"condition": {"label": 1}, "seed": 5, "sites": 50}
    stream = client.stream("tiny-wavenet", format="pcm16", **options)
    samples = np.concatenate([chunk.values[:, 0] for chunk in stream])
    answer = server.post("/sample", {"model": "tiny-wavenet", **options}, accept="audio/pcm")
    assert samples.astype("<i2").tobytes() == answer.content


def test_resumes_where_it_was(server: Server, proxy: Proxy) -> None:
    long = {**LONG, "sites": 200_000}
    proxy.cuts = [30_000, 20_000]  # bytes, of some 200,000
    with Client(proxy.url) as client:
        stream = client.stream(**long)
        sites = [(chunk.first_site, chunk.first_site + chunk.count) for chunk in stream]
        assert stream.connections >= 3
    ends = [end for _, end in sites]
    assert [first for first, _ in sites] == [0, *ends[:-1]]
    np.testing.assert_array_equal([stream.item(0)], drawn(server, **long))


def test_gives_up_when_patience_ends(proxy: Proxy) -> None:
    with Client(proxy.url, patience=0.5) as client:
        stream = client.stream(**LONG)
        for _ in stream:
            proxy.away = True
            proxy.drop()
            break
        other = client.stream(**LONG)
        with pytest.raises(Unreachable):
            list(other)


def test_leaving_the_loop_cancels(server: Server, client: Client) -> None:
    stream = client.stream(**{**LONG, "sites": ENDLESS})
    for _ in stream:
        break
    assert client.wait(stream.job).state == "canceled"
    with pytest.raises(AncestralError, match="once"):
        list(stream)

    def fails() -> str:
        stream = client.stream(**{**LONG, "sites": ENDLESS})
        with contextlib.suppress(ZeroDivisionError):
            for _ in stream:
                raise ZeroDivisionError
        return stream.job

    assert client.wait(fails()).state == "canceled"


def test_leaving_the_loop_cancels_in_asyncio(server: Server) -> None:
    async def run() -> None:
        async with AsyncClient(server.url) as client:
            stream = client.stream(**{**LONG, "sites": ENDLESS})
            async for _ in stream:
                break
            job = await client.wait(stream.job)
            assert job.state == "canceled"

            async with client.stream(**{**LONG, "sites": ENDLESS}) as inside:
                async for chunk in inside:
                    assert chunk.first_site == 0
                    break
            assert (await client.wait(inside.job)).state == "canceled"

            task = asyncio.ensure_future(anext(aiter(client.stream(**LONG))))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(run())


def test_closing_the_client_cancels(server: Server, client: Client) -> None:
    other = Client(server.url)
    stream = other.stream(**{**LONG, "sites": ENDLESS})
    chunks = iter(stream)
    next(chunks)
    other.close()
    assert client.wait(stream.job).state == "canceled"
    del chunks
    gc.collect()


def test_refusals(client: Client) -> None:
    with pytest.raises(NotFound):
        list(client.stream("absent"))
    with pytest.raises(Invalid) as caught:
        list(client.stream("tiny-pixelcnn", condition={"label": 9}))
    assert caught.value.errors[0].field == "condition.label"


def test_canceled_by_another(server: Server, client: Client) -> None:
    stream = client.stream(**{**LONG, "sites": ENDLESS})
    chunks = iter(stream)
    next(chunks)
    server.client.delete(f"/jobs/{stream.job}")
    with pytest.raises(JobCanceled):
        list(chunks)


@pytest.mark.slow
def test_a_server_that_forgot_draws_the_same(store: Path) -> None:
    with running(store) as (first, process), Proxy(first.url) as proxy, Client(proxy.url) as client:
        stream = client.stream(**{**LONG, "sites": 2_000_000})
        chunks = iter(stream)
        next(chunks)
        process.kill()
        process.wait()
        with running(store) as (second, _):
            proxy.target = second.url
            proxy.drop()
            list(chunks)
            np.testing.assert_array_equal(
                [stream.item(0)], drawn(second, **{**LONG, "sites": 2_000_000})
            )
        process.returncode = 0


@pytest.mark.parametrize("golden", json.loads(GOLDEN.read_text()), ids=lambda each: each["name"])
def test_golden_frames(golden: dict) -> None:
    chunk = decode(bytes.fromhex(golden["hex"]))
    assert (chunk.item, chunk.first_site) == (golden["item"], golden["first_site"])
    assert (chunk.count, chunk.last) == (golden["count"], golden["last"])
    assert chunk.values.dtype == np.dtype(golden["dtype"])
    assert chunk.values.ravel().tolist() == golden["values"]


@pytest.mark.parametrize(
    "broken",
    [
        "01000000 07000000 00000000 03000000 00000000000000",  # cut off in the header
        "02000000 07000000 00000000 01000000 0000000000000000 00",  # version 2
        "01010000 07000000 00000000 01000000 0000000000000000 00",  # kind 1
        "01000400 07000000 00000000 01000000 0000000000000000 00",  # dtype 4
        "01000002 07000000 00000000 01000000 0000000000000000 00",  # flag 2
        "01000000 07000000 00000000 00000000 0000000000000000",  # no sites
        "01000100 07000000 00000000 01000000 0000000000000000 000000",  # half a value
    ],
)
def test_broken_frames(broken: str) -> None:
    with pytest.raises(StreamBroken):
        decode(bytes.fromhex(broken))


def test_sites_come_without_gap_or_overlap() -> None:
    started = Started(
        "", "", "audio", (1,), 16, "uint8", 1, 5, 8000, "time", 2, 0, 0, "", None, True, (), {}
    )

    def frame(item: int, first: int, count: int, last: int = 0, dtype: int = 0) -> bytes:
        head = bytes([1, 0, dtype, last, 0, 0, 0, 0])
        numbers = b"".join(n.to_bytes(4, "little") for n in (item, count))
        return head + numbers + first.to_bytes(8, "little") + bytes(count * (1 + dtype))

    ledger = Ledger(started)
    ledger.book(decode(frame(0, 0, 3)))
    wrong = [frame(0, 2, 2), frame(0, 4, 1, 1), frame(0, 3, 3, 1), frame(0, 3, 1, 1)]
    wrong += [frame(0, 3, 2, 0), frame(2, 0, 1), frame(0, 3, 2, 1, 1)]
    for each in wrong:
        with pytest.raises(StreamBroken):
            ledger.book(decode(each))
    ledger.book(decode(frame(0, 3, 2, 1)))
    assert ledger.next == [5, 0]
    assert not ledger.complete
