"""Step parity of randomly built networks: odd sizes, dilations, kernels, channels, orders."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, Phase, given, settings
from tests.packages import LABEL, TINY, publish

import ancestral
from ancestral.engine.verify import verify

SEARCH = settings(
    max_examples=8,
    derandomize=True,
    phases=[
        Phase.explicit,
        Phase.generate,
    ],  # shrinking costs minutes: each example compiles a network
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def check(folder: Path, name: str, **changes: Any) -> None:
    publish(folder, name, replace=True, **changes)
    model = ancestral.load(name, root=folder)
    for kind in ("reference", "native"):
        report = verify(model, kind)
        assert [check for check in report.checks if not check.ok] == []
        assert report.runtime == kind


def image(channels: int, height: int, width: int) -> dict[str, Any]:
    return {"kind": "image", "shape": [channels, height, width], "levels": 4}


@SEARCH
@given(
    channels=st.sampled_from([1, 2, 3]),
    height=st.integers(1, 6),
    width=st.integers(1, 6),
    dilations=st.lists(st.integers(1, 3), min_size=1, max_size=3),
    kernel=st.sampled_from([3, 5]),
    first_kernel=st.sampled_from([3, 5, 7]),
    final=st.lists(st.just(6), max_size=2),
    labelled=st.booleans(),
)
def test_gated_pixelcnn(
    tmp_path: Path, channels: int, height: int, width: int, labelled: bool, **options: Any
) -> None:
    check(
        tmp_path,
        "tiny-pixelcnn",
        data=image(channels, height, width),
        hyperparameters={"channels": 6, **options},
        conditions=[LABEL] if labelled else [],
    )


@SEARCH
@given(
    dilations=st.lists(st.integers(1, 7), min_size=1, max_size=4),
    kernel=st.integers(2, 4),
    residual=st.integers(1, 7),
    gate=st.integers(1, 7),
    skip=st.integers(1, 9),
    final=st.lists(st.integers(1, 6), max_size=2),
    bias=st.booleans(),
    conditions=st.sampled_from([[], [LABEL], [{"name": "pitch", "kind": "series", "channels": 3}]]),
)
def test_wavenet(tmp_path: Path, conditions: list[dict[str, Any]], **options: Any) -> None:
    check(tmp_path, "tiny-wavenet", hyperparameters=options, conditions=conditions)


@SEARCH
@given(
    width=st.integers(1, 9),
    hidden=st.integers(1, 9),
    features=st.integers(1, 7),
    blocks=st.integers(0, 2),
    scales=st.lists(st.integers(1, 4), max_size=2),
    head=st.sampled_from(
        [{"kind": "categorical", "levels": 16},
         {"kind": "mixture-of-logistics", "components": 3, "levels": 16}]
    ),
)  # fmt: skip
def test_wavernn(tmp_path: Path, scales: list[int], head: dict[str, Any], **options: Any) -> None:
    mel = {"name": "mel", "kind": "series", "channels": 3, "hop": prod(scales)}
    check(
        tmp_path,
        "tiny-wavernn",
        hyperparameters={"scales": scales, **options},
        conditions=[mel],
        likelihood=head,
    )


@SEARCH
@given(
    cell=st.sampled_from(["rnn", "gru", "lstm"]),
    width=st.integers(1, 9),
    layers=st.integers(1, 3),
    embedding=st.none() | st.integers(1, 7),
)
def test_char_rnn(tmp_path: Path, **options: Any) -> None:
    check(tmp_path, "tiny-char-rnn", hyperparameters=options)


@SEARCH
@given(
    order=st.permutations(range(7)),
    hidden=st.lists(st.integers(1, 15), min_size=1, max_size=4),
    degree_seed=st.none() | st.integers(0, 9),
    direct=st.booleans(),
)
def test_made(tmp_path: Path, order: list[int], **options: Any) -> None:
    check(
        tmp_path,
        "tiny-made",
        data={**TINY["tiny-made"]["data"], "shape": [7]},
        hyperparameters={"order": order, **options},
        order=order,
    )


@SEARCH
@given(dims=st.integers(1, 9), hidden=st.integers(1, 9), levels=st.sampled_from([None, 2, 3]))
def test_nade(tmp_path: Path, dims: int, hidden: int, levels: int | None) -> None:
    kind = "mixture-of-gaussians" if levels is None else "categorical"
    likelihood = {"kind": kind} | ({"components": 2} if levels is None else {"levels": levels})
    data = {"kind": "vector", "shape": [dims]} | ({} if levels is None else {"levels": levels})
    common = {"data": data, "likelihood": likelihood, "order": "raster"}
    family = "rnade" if levels is None else "nade"
    check(tmp_path, "tiny-made", family=family, hyperparameters={"hidden": hidden}, **common)
    if levels is not None:
        check(tmp_path, "tiny-made", family="fvsbn", hyperparameters={}, **common)


@SEARCH
@given(
    height=st.integers(2, 5),
    width=st.integers(2, 5),
    layers=st.integers(1, 3),
    heads=st.sampled_from([1, 2, 4]),
    mlp_ratio=st.integers(1, 3),
    positions=st.sampled_from(["learned", "row-column"]),
    attention=st.sampled_from(["fused", "explicit"]),
)
def test_image_gpt(tmp_path: Path, height: int, width: int, **options: Any) -> None:
    data = {**TINY["tiny-gpt"]["data"], "shape": [1, height, width]}
    check(tmp_path, "tiny-gpt", data=data, hyperparameters={"width": 8, **options})
