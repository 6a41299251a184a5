"""The client against a real server: every verb, and what it raises."""

from __future__ import annotations

import asyncio
import inspect
import io
import itertools
import pickle
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image
from tests.api.server import Server
from tests.clients.conftest import ENDLESS

import ancestral
from ancestral_client import (
    AsyncClient,
    BatchLine,
    Client,
    Conflict,
    Invalid,
    ItemError,
    NotFound,
    Samples,
    Sound,
)

BITS = np.array(list(itertools.product((0, 1), repeat=6)))  # every item of tiny-made
NOISE = 1e-4  # nats: batches of other sizes are summed in another order
PIXELS = np.random.default_rng(0).integers(0, 4, (9, 1, 5, 4))


def expected(server: Server, model: str, inputs: Any, **options: Any) -> list[float]:
    body = {"model": model, "inputs": np.asarray(inputs).tolist(), **options}
    return [result["log_prob"] for result in server.post("/log_prob", body).json()["results"]]


def test_both_clients_have_the_same_methods() -> None:
    def public(kind: type) -> set[str]:
        return {name for name in dir(kind) if not name.startswith("_")}

    assert public(Client) - {"close"} == public(AsyncClient) - {"aclose"}
    for name in public(AsyncClient) - {"aclose", "stream"}:
        assert inspect.signature(getattr(Client, name)) == inspect.signature(
            getattr(AsyncClient, name)
        )


def test_models(client: Client) -> None:
    found = {model.name: model for model in client.models()}
    assert found["tiny-pixelcnn"].shape == (1, 5, 4)
    assert found["tiny-char-rnn"].text
    assert client.model("tiny-made/1").raw["manifest"]["name"] == "tiny-made"
    with pytest.raises(NotFound):
        client.model("absent")


def test_all_probabilities_sum_to_one(client: Client) -> None:
    calls: list[tuple[int, int | None]] = []
    scores = client.log_prob(
        "tiny-made", BITS, batch_size=7, concurrency=3, progress=lambda *n: calls.append(n)
    )
    assert [score.index for score in scores] == list(range(64))
    assert sum(np.exp(score.log_prob) for score in scores) == pytest.approx(1)
    assert calls == [(done, 64) for done in range(1, 65)]


def test_order_holds_over_batches(server: Server, client: Client, store: Path) -> None:
    model = ancestral.load("tiny-made", root=store)
    wanted = [score.log_prob for score in model.log_prob(BITS)]
    found = client.log_prob("tiny-made", iter(BITS), batch_size=5)
    assert [score.log_prob for score in found] == pytest.approx(wanted, abs=NOISE)


def test_kinds_of_items(server: Server, client: Client, tmp_path: Path) -> None:
    codes = PIXELS[0, 0].astype(np.uint8)
    picture = Image.fromarray(codes * 85)  # 4 levels: 0, 85, 170, 255
    picture.save(tmp_path / "a.png")
    np.save(tmp_path / "a.npy", codes)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    items = [codes, codes[None], codes.tolist(), picture, tmp_path / "a.png"]
    items += [str(tmp_path / "a.npy"), buffer.getvalue()]
    [wanted] = expected(server, "tiny-pixelcnn", [codes], condition={"label": 1})
    found = client.log_prob("tiny-pixelcnn", items, condition={"label": 1})
    assert [score.log_prob for score in found] == pytest.approx([wanted] * 7, abs=NOISE)
    for one in (codes, codes[None], picture, tmp_path / "a.png"):
        [score] = client.log_prob("tiny-pixelcnn", one, condition={"label": 1})
        assert score.log_prob == pytest.approx(wanted, abs=NOISE)


def test_sounds_and_text(server: Server, client: Client) -> None:
    sample = client.sample("tiny-wavenet", sites=40, seed=1, condition={"label": 0})
    wav = client.download(sample.job, "audio/wav")
    amplitudes = np.frombuffer(wav[44:], "<i2") / 32768
    sounds = [wav, Sound(amplitudes, 1000), sample[0].data]
    found = client.log_prob("tiny-wavenet", sounds, condition={"label": 0})
    assert [s.log_prob for s in found] == pytest.approx([sample[0].log_prob] * 3, abs=NOISE)
    text = client.sample("tiny-char-rnn", sites=9, seed=2, prefix="ab")
    assert text[0].text is not None
    assert text[0].text.startswith("ab")
    [score] = client.log_prob("tiny-char-rnn", text[0].text)
    assert score.log_prob == pytest.approx(text[0].log_prob, abs=NOISE)


def test_a_condition_for_each_item(server: Server, client: Client) -> None:
    labels = [index % 3 for index in range(9)]
    wanted = expected(server, "tiny-pixelcnn", PIXELS, condition={"label": labels})
    found = client.log_prob(
        "tiny-pixelcnn", PIXELS, condition={"label": np.array(labels)}, batch_size=4
    )
    assert [score.log_prob for score in found] == pytest.approx(wanted, abs=NOISE)
    for wrong in (labels[:-1], [*labels, 0]):
        with pytest.raises(ValueError, match="condition label"):
            client.log_prob("tiny-pixelcnn", PIXELS, condition={"label": wrong})


def test_a_recording_of_another_rate_is_a_condition(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "fast.wav"
    sound = 0.5 * np.sin(2 * np.pi * 50 * np.arange(1600) / 8000)
    soundfile.write(path, sound, 8000, subtype="PCM_16")
    with pytest.raises(Invalid, match='"fit": true resamples it'):
        client.sample("tiny-wavernn", condition={"mel": path})
    drawn = client.sample("tiny-wavernn", seed=2, condition={"mel": path}, fit=True)
    assert drawn.notes == ("mel: resampled 8000 Hz to 1000 Hz",)
    assert drawn[0].data.shape == (204,)  # every hop begun, of 6
    stream = client.stream("tiny-wavernn", seed=2, condition={"mel": path}, fit=True)
    streamed = np.concatenate([chunk.values for chunk in stream])
    np.testing.assert_array_equal(streamed.reshape(-1), drawn[0].data)
    (score,) = client.log_prob("tiny-wavernn", [drawn[0].data], condition={"mel": path}, fit=True)
    assert score.fit == drawn.notes
    assert score.log_prob == pytest.approx(drawn[0].log_prob, abs=NOISE)


def test_maps_and_marginals(client: Client) -> None:
    returned = ["log_prob", "per_dim", "heat_map"]
    [score] = client.log_prob("tiny-pixelcnn", PIXELS[0], marginal=True, returned=returned)
    assert score.marginalised
    assert score.per_dim is not None
    assert score.per_dim.shape == (1, 5, 4)
    assert score.per_dim.sum() == pytest.approx(score.log_prob)
    assert Image.open(io.BytesIO(score.heat_map or b"")).format == "PNG"


def test_a_bad_item_fails_alone(client: Client) -> None:
    items = [BITS[0], BITS[0] + 7, BITS[1], np.zeros(3), np.zeros(2)]
    with pytest.raises(ItemError) as caught:
        client.log_prob("tiny-made", items, batch_size=2)
    assert caught.value.index == 1
    scores = client.log_prob("tiny-made", items, errors="return", batch_size=3)
    assert [score.error is None for score in scores] == [True, False, True, False, False]
    assert [score.error.index for score in scores if score.error] == [1, 3, 4]
    with pytest.raises(Invalid) as refused:
        client.log_prob("tiny-pixelcnn", PIXELS, condition={"label": 5}, errors="return")
    assert refused.value.errors[0].field == "condition.label"
    with pytest.raises(Invalid, match="0 to 2 is expected, not 'cat'"):  # a name, not a file
        client.log_prob("tiny-pixelcnn", PIXELS, condition={"label": "cat"})
    with pytest.raises(TypeError):
        client.log_prob("tiny-made", [object()])


def test_requests_fit_the_server(client: Client) -> None:
    long = [np.zeros(900_000, dtype=np.uint8)] * 2  # together beyond its limit of 1 MiB
    scores = client.log_prob("tiny-char-rnn", long, errors="return")
    assert all(score.error and "60 are scored at most" in score.error.detail for score in scores)


def test_endless_iterators(client: Client) -> None:
    read = 0

    def endless() -> Iterator[Any]:
        nonlocal read
        for item in itertools.cycle(BITS):
            read += 1
            yield item

    scores = client.iter_log_prob("tiny-made", endless(), batch_size=4, concurrency=2)
    assert [score.index for score in itertools.islice(scores, 10)] == list(range(10))
    scores.close()
    assert read <= 10 + 4 * 3


def test_embed(server: Server, client: Client) -> None:
    item = np.eye(4, dtype=int)
    body = {"model": "tiny-gpt", "inputs": [item.tolist()], "layer": 1}
    [wanted] = server.post("/embed", body).json()["results"]
    [found] = client.embed("tiny-gpt", item, layer=1)
    np.testing.assert_array_equal(found.embedding, wanted["embedding"])


def test_sample(server: Server, client: Client) -> None:
    known = np.full((1, 5, 4), np.nan)
    known[0, 0] = 3
    found = client.sample(
        "tiny-pixelcnn", count=2, seed=2**64 - 1, condition={"label": [0, 1]}, known=known
    )
    assert found.seed == 2**64 - 1
    assert found.data.shape == (2, 1, 5, 4)
    assert (found.data[:, 0, 0] == 3).all()
    again = client.sample("tiny-made", seed=4)
    body = {"model": "tiny-made", "seed": 4}
    assert again[0].data.tolist() == server.post("/sample", body).json()["items"][0]["data"]


def test_jobs(client: Client) -> None:
    job = client.wait(client.submit("tiny-pixelcnn", condition={"label": 1}, seed=1).id)
    assert job.state == "done"
    result = client.result(job.id)
    assert isinstance(result, Samples)
    assert result.seed == 1
    assert client.download(job.id, "image/png").startswith(b"\x89PNG")
    long = client.submit("tiny-wavenet", condition={"label": 0}, sites=ENDLESS)
    with pytest.raises(Conflict):
        client.result(long.id)
    client.cancel(long.id)
    assert client.wait(long.id).state == "canceled"
    with pytest.raises(NotFound):
        client.job("absent")


def test_batches(client: Client) -> None:
    lines: list[BatchLine] = [
        {"custom_id": "a", "url": "/sample", "body": {"model": "tiny-made", "seed": 1}},
        {"custom_id": "b", "url": "/log_prob", "body": {"model": "tiny-made", "inputs": [[0] * 6]}},
        {"custom_id": "c", "url": "/sample", "body": {"model": "absent"}},
    ]
    answers = {answer.custom_id: answer for answer in client.batch(lines)}
    assert answers["a"].samples()[0].data.shape == (6,)
    [score] = client.log_prob("tiny-made", [0] * 6)
    assert answers["b"].scores()[0].log_prob == pytest.approx(score.log_prob, abs=NOISE)
    with pytest.raises(NotFound):
        answers["c"].samples()


def test_problems_are_carried(client: Client) -> None:
    with pytest.raises(Invalid) as caught:
        client.sample("tiny-made", temperature=-1)
    error = caught.value
    assert (error.status, error.title) == (422, "Unprocessable Content")
    assert error.errors[0].field == "temperature"
    assert error.request_id
    assert error.type.startswith("urn:ancestral:problem:")
    again = pickle.loads(pickle.dumps(error))
    assert again.document == error.document


def test_asyncio(server: Server) -> None:
    async def items() -> AsyncIterator[Any]:
        for item in BITS:
            yield item

    async def run() -> None:
        async with AsyncClient(server.url) as client:
            await client.ready()
            scores = [s async for s in client.iter_log_prob("tiny-made", items(), batch_size=9)]
            assert sum(np.exp(score.log_prob) for score in scores) == pytest.approx(1)
            results = await asyncio.gather(*[client.sample("tiny-made", seed=1) for _ in range(3)])
            assert len({result[0].data.tobytes() for result in results}) == 1

    asyncio.run(run())


def test_clients_can_be_pickled(client: Client) -> None:
    with pickle.loads(pickle.dumps(client)) as again:
        assert again.settings == client.settings
        assert again.models() == client.models()


def test_models_are_loaded_and_unloaded(client: Client) -> None:
    assert client.unload("tiny-char-rnn").state == "unloaded"
    with pytest.raises(Conflict):
        client.sample("tiny-char-rnn", sites=4)
    assert client.load("tiny-char-rnn/1").state == "ready"
    assert client.sample("tiny-char-rnn", sites=4).data.shape == (1, 4)
    with pytest.raises(NotFound):
        client.load("tiny-char-rnn/2")


def test_workers_and_metrics(client: Client) -> None:
    found = client.workers()
    (worker,) = found["workers"]
    assert "tiny-made/1" in worker["models"]
    assert found["waiting"]["tiny-made/1"] == 0
    assert "\nancestral_build_info{" in "\n" + client.metrics()


def test_the_environment_says_where_and_who(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANCESTRAL_URL", "http://elsewhere:9000/")
    monkeypatch.setenv("ANCESTRAL_KEY", "secret")
    with Client() as found:
        assert found.settings.url == "http://elsewhere:9000"
        assert found.settings.headers == {"Authorization": "Bearer secret"}
    with Client("http://here", api_key="mine") as found:
        assert (found.settings.url, found.settings.api_key) == ("http://here", "mine")
