"""The invariants of random small networks of odd sizes: the families that compile element by
element, and those of local or sparse attention. The others are in `test_random_networks`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, Phase, given, settings
from tests.packages import LABEL, publish

import ancestral
from ancestral.engine.verify import verify

SEARCH = settings(
    max_examples=2,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
COLOURS = st.sampled_from([1, 2, 3])
ROWS, COLUMNS = st.integers(1, 5), st.integers(4, 6)
CONDITIONS = st.sampled_from([[], [LABEL]])
LOGISTICS = {"kind": "discretized-logistic-mixture", "components": 2, "levels": 4}


def check(folder: Path, name: str, **changes: Any) -> None:
    publish(folder, name, replace=True, **changes)
    model = ancestral.load(name, root=folder)
    for kind in ("reference", "native"):
        report = verify(model, kind)
        assert [check for check in report.checks if not check.ok] == []
        assert report.derived
        assert report.runtime == kind


def image(folder: Path, family: str, sizes: list[int], options: dict[str, Any], **how: Any) -> None:
    check(
        folder,
        "tiny-pixelcnn",
        family=family,
        hyperparameters=options,
        data={"kind": "image", "shape": sizes, "levels": 4},
        **{"conditions": [], **how},
    )


@SEARCH
@given(
    sizes=st.tuples(COLOURS, ROWS, COLUMNS),
    channels=st.integers(1, 2),
    blocks=st.integers(0, 2),
    kernel=st.sampled_from([1, 3, 5]),
    conditions=CONDITIONS,
)
def test_pixelcnn(
    tmp_path: Path, sizes: tuple[int, ...], channels: int, conditions: Any, **options: Any
) -> None:
    options = {**options, "channels": channels * sizes[0], "first_kernel": 5}
    image(tmp_path, "pixelcnn", list(sizes), options, conditions=conditions)


@SEARCH
@given(
    sizes=st.tuples(COLOURS, ROWS, COLUMNS),
    channels=st.integers(1, 3),
    layers=st.integers(1, 2),
    scales=st.integers(1, 3),
    weight_norm=st.booleans(),
    conditions=CONDITIONS,
)
def test_pixelcnn_pp(tmp_path: Path, sizes: Any, conditions: Any, **options: Any) -> None:
    sizes = (2 * (sizes[0] // 2) + 1, *sizes[1:])  # such mixtures are of one colour or three
    likelihood = {**LOGISTICS, "channels": sizes[0]}
    how = {"conditions": conditions, "likelihood": likelihood}
    image(tmp_path, "pixelcnn-pp", list(sizes), options, **how)


@SEARCH
@given(
    sizes=st.tuples(st.just(1), ROWS, COLUMNS),
    channels=st.integers(1, 4),
    layers=st.integers(1, 2),
    heads=st.integers(1, 2),
    conditions=CONDITIONS,
)
def test_pixelsnail(tmp_path: Path, sizes: Any, conditions: Any, **options: Any) -> None:
    options = {**options, "blocks": 1, "keys": 4}
    image(tmp_path, "pixelsnail", list(sizes), options, conditions=conditions)


@SEARCH
@given(
    family=st.sampled_from(["row-lstm", "diagonal-bilstm"]),
    sizes=st.tuples(COLOURS, ROWS, COLUMNS),
    width=st.integers(1, 2),
    hidden=st.none() | st.integers(1, 2),
    layers=st.integers(1, 2),
)
def test_pixel_rnn(
    tmp_path: Path, family: str, sizes: Any, width: int, hidden: int | None, layers: int
) -> None:
    groups = sizes[0]
    options = {"channels": width * groups, "layers": layers, "first_kernel": 3}
    image(tmp_path, family, list(sizes),
          options | ({} if hidden is None else {"hidden": hidden * groups}))  # fmt: skip


@SEARCH
@given(
    sizes=st.tuples(COLOURS, ROWS, COLUMNS),
    block=st.integers(1, 4),
    memory=st.integers(0, 5),
    flat=st.booleans(),
    joint=st.booleans(),
)
def test_image_transformer(
    tmp_path: Path, sizes: Any, block: int, memory: int, flat: bool, joint: bool
) -> None:
    local = {"attention": "local-1d", "block": block, "memory": memory}
    square = {"attention": "local-2d", "block": [block, 2], "memory": [memory, 1]}
    sizes = (2 * (sizes[0] // 2) + 1, *sizes[1:]) if joint else sizes
    head = {"likelihood": {**LOGISTICS, "channels": sizes[0]}, "input_encoding": "signed"}
    image(
        tmp_path,
        "image-transformer",
        list(sizes),
        {"layers": 2, "width": 4, "heads": 2, **(local if flat else square)},
        params_layout="channels-last",
        **(head if joint else {"input_encoding": "int"}),
    )


@SEARCH
@given(
    stride=st.integers(2, 9),
    pattern=st.sampled_from(["strided", "fixed"]),
    factorise=st.sampled_from(["interleaved", "merged", "heads"]),
    rows=st.integers(1, 3),
)
def test_sparse_transformer(tmp_path: Path, **options: Any) -> None:
    sizes = {"layers": 2, "width": 4, "heads": 2, "summary": 2}
    check(tmp_path, "tiny-chorales", hyperparameters={**sizes, **options})


@SEARCH
@given(
    channels=st.integers(1, 7),
    layers=st.integers(1, 4),
    kernel=st.integers(2, 4),
    conditions=CONDITIONS,
)
def test_causal_conv(tmp_path: Path, conditions: Any, **options: Any) -> None:
    check(
        tmp_path, "tiny-wavenet", family="causal-conv", hyperparameters=options,
        conditions=conditions,
    )  # fmt: skip


@SEARCH
@given(
    sizes=st.tuples(COLOURS, ROWS, COLUMNS),
    layers=st.integers(1, 3),
    labelled=st.booleans(),
)
def test_distaug(tmp_path: Path, sizes: Any, layers: int, labelled: bool) -> None:
    turn = {"name": "transformation", "kind": "label", "classes": 3}
    image(
        tmp_path, "distaug", list(sizes), {"layers": layers, "width": 4, "heads": 2},
        conditions=[turn, LABEL] if labelled else [turn], input_encoding="int",
        params_layout="channels-last",
    )  # fmt: skip


@SEARCH
@given(
    sizes=st.tuples(st.just(1), st.integers(2, 4), st.integers(2, 4)),
    name=st.sampled_from(["raster", "s-curve-v", "diagonal-t", "hilbert"]),
    kernel=st.sampled_from([3, 5]),
    conditions=CONDITIONS,
)
def test_lmconv(tmp_path: Path, sizes: Any, name: str, kernel: int, conditions: Any) -> None:
    from ancestral.models.orders import all_named

    orders = {key: o.tolist() for key, o in all_named([name, "raster"][: 1 + (name != "raster")],
                                                      *sizes[1:]).items()}  # fmt: skip
    options = {"hidden": 3, "inner": 2, "dilations": [1, 2], "kernel": kernel}
    image(
        tmp_path, "lmconv", list(sizes), {**options, "orders": list(orders)}, order="ensemble",
        orders=orders, conditions=conditions,
    )  # fmt: skip
