"""`/v2` as Triton's own client uses it, against the scores of the library."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from tests.api.server import Server

import ancestral

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # gevent's, about what was imported before it
    import tritonclient.http as triton
    from tritonclient.utils import InferenceServerException

PIXELS = np.array([[[[0, 1, 1, 0]] * 4], [[[1, 0, 0, 1]] * 4]], dtype=np.uint8)  # [2, 1, 4, 4]
SOUND = np.array([[1, 2, 3, 15, 0], [4, 4, 4, 4, 4]], dtype=np.int32)  # [2, 5]


@pytest.fixture
def client(server: Server) -> Iterator[triton.InferenceServerClient]:
    found = triton.InferenceServerClient(server.url.removeprefix("http://"))
    yield found
    found.close()


def tensor(
    name: str, values: npt.NDArray[Any], datatype: str, *, binary: bool = True
) -> triton.InferInput:
    found = triton.InferInput(name, list(values.shape), datatype)
    found.set_data_from_numpy(values, binary_data=binary)
    return found


def wishes(*names: str, binary: bool = True) -> list[triton.InferRequestedOutput]:
    return [triton.InferRequestedOutput(name, binary_data=binary) for name in names]


def test_health_and_metadata(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("tiny-gpt")
    assert client.is_model_ready("tiny-gpt", "1")
    assert not client.is_model_ready("no-such-model")
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    about = client.get_model_metadata("tiny-gpt")
    assert about["name"] == "tiny-gpt"
    assert about["versions"] == ["1"]
    assert about["inputs"] == [{"name": "x", "datatype": "UINT8", "shape": [-1, 1, 4, 4]}]
    assert [output["name"] for output in about["outputs"]] == [
        "log_prob", "bits_per_dim", "per_dim"
    ]  # fmt: skip
    sound = client.get_model_metadata("tiny-wavenet", "1")["inputs"]
    assert [(found["name"], found["datatype"]) for found in sound] == [
        ("x", "UINT8"), ("label", "INT64")
    ]  # fmt: skip
    assert client.get_model_metadata("tiny-char-rnn")["inputs"][0]["datatype"] == "BYTES"


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
def test_images(
    client: triton.InferenceServerClient, store: Path, binary_in: bool, binary_out: bool
) -> None:
    expected = ancestral.load("tiny-gpt", root=store).log_prob(PIXELS)
    found = client.infer(
        "tiny-gpt",
        [tensor("x", PIXELS, "UINT8", binary=binary_in)],
        outputs=wishes("log_prob", "bits_per_dim", "per_dim", binary=binary_out),
        request_id="mine",
    )
    answer = found.get_response()
    assert (answer["id"], answer["model_name"], answer["model_version"]) == (
        "mine", "tiny-gpt", "1"
    )  # fmt: skip
    np.testing.assert_allclose(found.as_numpy("log_prob"), [s.log_prob for s in expected], 1e-6)
    np.testing.assert_allclose(
        found.as_numpy("bits_per_dim"), [-s.log_prob / 16 / np.log(2) for s in expected], 1e-6
    )
    per_dim = found.as_numpy("per_dim")
    assert per_dim.shape == (2, 1, 4, 4)
    np.testing.assert_allclose(per_dim.sum(axis=(1, 2, 3)), [s.log_prob for s in expected], 1e-6)


def test_what_is_given_where_nothing_is_asked_for(client: triton.InferenceServerClient) -> None:
    found = client.infer("tiny-gpt", [tensor("x", PIXELS, "UINT8")])
    assert {output["name"] for output in found.get_response()["outputs"]} == {
        "log_prob", "bits_per_dim"
    }  # fmt: skip
    assert found.as_numpy("log_prob").shape == (2,)
    assert found.as_numpy("per_dim") is None


@pytest.mark.parametrize(
    ("datatype", "dtype"), [("INT64", np.int64), ("UINT16", np.uint16), ("FP32", np.float32)]
)
def test_conditions_and_datatypes(
    client: triton.InferenceServerClient, store: Path, datatype: str, dtype: type[Any]
) -> None:
    model = ancestral.load("tiny-wavenet", root=store)
    expected = [s.log_prob for s in model.log_prob(SOUND, condition={"label": [0, 2]})]
    label = tensor("label", np.array([0, 2]), "INT64")
    if datatype == "FP32":  # codes are integers
        with pytest.raises(InferenceServerException):
            client.infer("tiny-wavenet", [tensor("x", SOUND.astype(dtype) + 0.5, datatype), label])
        return
    found = client.infer("tiny-wavenet", [tensor("x", SOUND.astype(dtype), datatype), label])
    np.testing.assert_allclose(found.as_numpy("log_prob"), expected, 1e-6)


def test_parameters(client: triton.InferenceServerClient, store: Path) -> None:
    model = ancestral.load("tiny-wavenet", root=store)
    expected = [s.log_prob for s in model.log_prob(SOUND, marginal=True)]
    x = tensor("x", SOUND, "INT32")
    found = client.infer(
        "tiny-wavenet", [x], model_version="1", parameters={"marginal": True}, timeout=10**7
    )
    np.testing.assert_allclose(found.as_numpy("log_prob"), expected, 1e-6)
    with pytest.raises(InferenceServerException, match="label"):
        client.infer("tiny-wavenet", [x])


def test_texts_and_files(client: triton.InferenceServerClient, store: Path) -> None:
    texts = ["ab", "bé\n"]  # of the alphabet "\n abé["
    model = ancestral.load("tiny-char-rnn", root=store)
    expected = [score.log_prob for score in model.log_prob([[2, 3], [3, 4, 0]])]
    for binary in (True, False):
        x = tensor("x", np.array(texts, dtype=np.object_), "BYTES", binary=binary)
        found = client.infer("tiny-char-rnn", [x])
        np.testing.assert_allclose(found.as_numpy("log_prob"), expected, 1e-6)
    from ancestral.media import encode_npy

    files = np.array([encode_npy(item) for item in PIXELS], dtype=np.object_)
    found = client.infer("tiny-gpt", [tensor("x", files, "BYTES")])
    direct = client.infer("tiny-gpt", [tensor("x", PIXELS, "UINT8")])
    assert (found.as_numpy("log_prob") == direct.as_numpy("log_prob")).all()


def test_errors_are_the_protocols(client: triton.InferenceServerClient, server: Server) -> None:
    for name, inputs, said in [
        ("no-such-model", [tensor("x", PIXELS, "UINT8")], "no-such-model"),
        ("tiny-gpt", [tensor("y", PIXELS, "UINT8")], "x is needed"),
        ("tiny-gpt", [tensor("x", PIXELS[:, :, :2], "UINT8")], r"x\[0\]"),
        ("tiny-gpt", [tensor("x", PIXELS + 7, "UINT8")], r"x\[0\]"),
        ("tiny-gpt", [tensor("x", PIXELS[:0], "UINT8")], "no item"),
        ("tiny-gpt", [tensor("x", np.repeat(PIXELS, 200, 0), "UINT8")], "256"),
        ("tiny-gpt", [tensor("x", PIXELS, "UINT8"), tensor("z", PIXELS, "UINT8")], "z"),
    ]:
        with pytest.raises(InferenceServerException, match=said):
            client.infer(name, inputs)
    with pytest.raises(InferenceServerException, match=r"outputs\[0\]"):
        client.infer("tiny-gpt", [tensor("x", PIXELS, "UINT8")], outputs=wishes("loud"))
    answer = server.client.get("/v2/nowhere")
    assert (answer.status_code, list(answer.json())) == (404, ["error"])
    server.assert_alive()


def one(**changes: Any) -> bytes:
    """A request of one input with something wrong."""
    given = {"name": "x", "shape": [1], "datatype": "UINT8", "data": [1], **changes}
    kept = {name: value for name, value in given.items() if value is not None}
    return json.dumps({"inputs": [kept]}).encode()


HUGE = one(shape=[2**47, 2**47], data=None, parameters={"binary_data_size": 8})
SMALL = one(datatype="INT8")


@pytest.mark.parametrize(
    ("body", "header", "status"),
    [
        (b"{", None, 400),
        (b"{}", "99", 400),
        (b"{}", "-1", 400),
        (b"{}", "x", 400),
        (b"[]", None, 422),
        (b'{"inputs": []}', None, 422),
        (one(data=None), None, 422),
        (one(datatype="U8"), None, 422),
        (one(data=[256]), None, 422),
        (one(data=["a"]), None, 422),
        (one(data=[None]), None, 422),
        (one(data=[2**70]), None, 422),
        (one(data=[[1], 2], shape=[2]), None, 422),
        (one(data=[1, 2]), None, 422),
        (one(shape=[]), None, 422),
        (one(shape=[-1]), None, 422),
        (one(datatype="BYTES"), None, 422),
        (HUGE + b"12345678", str(len(HUGE)), 422),
        (HUGE, str(len(HUGE)), 400),
        (SMALL + b"yy", str(len(SMALL)), 400),
    ],
)
def test_what_is_no_request(server: Server, body: bytes, header: str | None, status: int) -> None:
    headers = {"content-type": "application/json"}
    if header is not None:
        headers["Inference-Header-Content-Length"] = header
    answer = server.client.post("/v2/models/tiny-gpt/infer", content=body, headers=headers)
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["error"]
