"""How a graph is read and answered: told by flags, or inferred where only one way fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from ancestral.compile.graph_network import Ends
from ancestral.likelihoods import Likelihood
from ancestral.models.axes import Layout, inferred, input_layouts, params_layouts
from ancestral.models.data import DataSpec
from ancestral.models.network import Encoding
from ancestral.store.options import Options
from ancestral.store.pt2 import Meta


def ends_of(
    metas: Sequence[Meta],
    data: DataSpec,
    likelihood: Likelihood,
    options: Options,
    limits: Mapping[str, int],
) -> Ends:
    """What the graph reads and answers, of what is told and what follows from the shapes.

    `metas` are those of its first input and its output, `limits` the largest values of its
    symbols. Raises ValueError naming the flag for what does not fit, or must be told and is not.
    """
    read, answered = metas
    shape, output = (
        [None if isinstance(size, str) or i == 0 else size for i, size in enumerate(meta.sizes)]
        for meta in (read, answered)
    )
    longest = min(limits.values(), default=None) if not data.shape else None
    encoding = _encoding(options.encode, read, data)
    sizes = _sizes(data)
    if encoding in ("one-hot", "bits"):
        levels = data.levels or 2
        sizes["k"] = levels if encoding == "one-hot" else (levels - 1).bit_length()
    reads = _layout(
        "--input-layout", options.input_layout, input_layouts(data.kind), shape, sizes, "bchwtk"
    )
    vectors = 1 if likelihood.joint else data.dims_per_site
    answers = _layout(
        "--params-layout", options.params_layout, params_layouts(data.kind), output,
        _sizes(data) | {"c": vectors, "p": likelihood.n_params}, "bchwtp",
    )  # fmt: skip
    if options.predicts not in ("same", "next"):
        raise ValueError(f"--predicts: same or next, not {options.predicts!r}")
    predicts: Any = options.predicts
    start = _start(options)
    return Ends(reads, answers, encoding, predicts, start, options.length or longest)


def _sizes(data: DataSpec) -> dict[str, int | None]:
    if data.kind == "image":
        return dict(zip("chw", data.shape, strict=True))
    return {"c": 1, "t": data.shape[0] if data.shape else None}


def _layout(
    flag: str, told: str | None, usual: Sequence[str], shape: Sequence[int | None],
    sizes: Mapping[str, int | None], letters: str,
) -> Layout:  # fmt: skip
    if told is None:
        return inferred(flag, usual, shape, sizes)
    try:
        found = Layout.parse(told, letters)
    except ValueError as error:
        raise ValueError(f"{flag}: {error}") from error
    if set(found.letters) - {"b"} - set(sizes) or not found.fits(shape, sizes):
        raise ValueError(f"{flag} '{found}' does not give the shape {list(shape)} with {sizes}")
    return found


def _encoding(told: str | None, meta: Meta, data: DataSpec) -> Encoding:
    names = get_args(Encoding)
    if told is not None and told not in names:
        raise ValueError(f"--encode: give one of {', '.join(names)}, not {told!r}")
    floating = meta.dtype.is_floating_point
    if data.levels is None:
        if not floating:
            raise ValueError("--levels: give it; the module reads whole numbers")
        return "int"  # real values pass as they are
    if told is None:
        if floating:
            raise ValueError(
                "--encode: the module reads real numbers; give unit (x/(L-1)), signed "
                "(2x/(L-1)-1), one-hot or bits"
            )
        return "int"
    if (told == "int") == floating:
        raise ValueError(f"--encode {told}: the module reads {meta.dtype}")
    return told  # type: ignore[return-value]


def _start(options: Options) -> Any:
    if options.predicts == "same":
        if options.start is not None:
            raise ValueError("--start: is for --predicts next")
        return None
    if options.start in ("zeros", "unscored"):
        return options.start
    if options.start is None or not options.start.lstrip("-").isdecimal():
        raise ValueError(
            "--start: --predicts next needs what stands before the first value: a code (such as "
            "a start token), zeros (in place of its encoding) or unscored"
        )
    return int(options.start)
