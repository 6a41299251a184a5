"""`ancestral sample`: new items into a file."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import numpy.typing as npt
import typer
from rich.console import Console, Group
from rich.live import Live
from rich.progress import Progress

from ancestral.cli.output import (
    Conditions,
    Json,
    ModelName,
    Models,
    RuntimeOption,
    WeightsOption,
    condition,
    emit,
    people,
    say,
    settings,
    values,
)
from ancestral.cli.places import require_writable
from ancestral.progress import bar, rate, staged

if TYPE_CHECKING:
    from ancestral.cli.watch import Canvas
    from ancestral.engine.model import Model
    from ancestral.engine.sampling import Chunk, Samples

EVERY = 16  # sites between two movements of the progress bar
TOLD = 8  # items whose bits per dimension are printed
FRAMES = 12  # pictures a second of what is watched


def sample(
    model: ModelName,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="PNG (a grid), GIF (being painted), WAV, MID, TXT, NPY or JSON."
        ),
    ] = None,
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="Items.")] = 1,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same items.")] = None,
    first_item: Annotated[int, typer.Option(min=0, help="Number of the first item.")] = 0,
    conditions: Conditions = None,
    temperature: Annotated[float, typer.Option(min=0)] = 1.0,
    top_k: Annotated[int | None, typer.Option(min=1)] = None,
    top_p: Annotated[float | None, typer.Option(max=1)] = None,
    sites: Annotated[int | None, typer.Option(min=1, help="Length of an open-ended item.")] = None,
    seconds: Annotated[float | None, typer.Option(help="Length of a sound.")] = None,
    prefix: Annotated[
        Path | None, typer.Option(help="File whose first sites are kept; the rest is sampled.")
    ] = None,
    keep: Annotated[
        int | None, typer.Option(min=1, help="Sites kept of --prefix.", show_default="all")
    ] = None,
    fit: Annotated[
        bool, typer.Option(help="Resize, resample or round files that do not fit.")
    ] = False,
    order: Annotated[
        str | None, typer.Option(help="Of an ensemble: draw and score under this order.")
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Show the items in the terminal as they come.")
    ] = False,
    preview: Annotated[
        bool | None,
        typer.Option(help="Show the items in the terminal.", show_default="where output is one"),
    ] = None,
    runtime: RuntimeOption = None,
    weights: WeightsOption = None,
    models: Models = None,
    json: Json = False,
) -> None:
    """Draw new items: pixel by pixel, sample by sample."""
    given = condition(conditions)
    from ancestral.engine.model import load
    from ancestral.engine.sampling import fresh_seed

    loaded = load(model, settings(models).models, runtime=runtime, weights=weights)
    given, steps = values(given, loaded.manifest, fit=fit)
    target = output or Path(f"{loaded.name}.{_usual_suffix(loaded)}")
    _check_suffix(loaded, target)
    require_writable(target)
    seed = fresh_seed() if seed is None else seed
    length = loaded.sites_of(sites, seconds, loaded.conditions_from(given, count))
    known: dict[str, npt.NDArray[Any]] = {}
    if prefix is not None:
        known, taken = _given(loaded, prefix, keep, order, fit=fit)
        steps += taken
    with staged(f"loading {loaded.name}", quiet=json):
        stream = loaded.stream(
            count,
            seed,
            given,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            order=order,
            **known,
            sites=sites,
            seconds=seconds,
            first_item=first_item,
            every=EVERY,
        )
    start = time.perf_counter()
    canvas = _canvas(loaded, count, length, first_item) if watch else None
    chunks, times = [], []
    with _display(canvas, quiet=json) as display:
        task = display.add_task(f"sampling {count} of {loaded.name}", total=count * length)
        for chunk in stream:
            chunks.append(chunk)
            times.append(time.perf_counter())
            display.advance(task, len(chunk.values))
            if canvas is not None:
                canvas.add(chunk)
    samples = loaded.collect(chunks, seed, given, order)
    written = _write(loaded, samples, target, order)
    elapsed = time.perf_counter() - start
    speed = _speed(chunks, times) or count * length / elapsed
    if sys.stdout.isatty() and not json if preview is None else preview:
        _show(loaded, samples, people() if json else Console())
    if json:
        emit(
            {
                "model": loaded.label,
                "files": [str(path) for path in written],
                "seed": seed,
                "fit": steps,
                "fingerprint": samples.fingerprint,
                "derived": samples.derived,
                "log_prob": samples.log_prob,
                "bits_per_dim": samples.bits_per_dim,
                "seconds": elapsed,
                "sites_per_second": speed,
            }
        )
        return
    names = ", ".join(str(path) for path in written)
    bits = ", ".join(f"{value:.3f}" for value in samples.bits_per_dim[:TOLD])
    bits += " …" if count > TOLD else ""
    say(f"{names}: seed {seed}, {bits} bits/dim, {rate(speed, 'sites')}")
    if steps:
        say(f"fit: {'; '.join(steps)}")


def _speed(chunks: Sequence[Chunk], times: Sequence[float]) -> float:
    """Sites a second from the first chunk on, without the compilation that it waits for; or 0."""
    if len(times) < 2:
        return 0.0
    return sum(len(chunk.values) for chunk in chunks[1:]) / max(times[-1] - times[0], 1e-9)


def _canvas(model: Model, count: int, sites: int, first_item: int) -> Canvas:
    from ancestral.cli.watch import Canvas

    return Canvas(model, count, sites, first_item, people())


@contextmanager
def _display(canvas: Canvas | None, *, quiet: bool) -> Iterator[Progress]:
    """A progress bar, below the canvas where there is one."""
    display = bar("sites", quiet=quiet)
    if canvas is None:
        with display:
            yield display
        return
    both = Group(canvas, display)
    with Live(both, console=display.console, refresh_per_second=FRAMES, transient=True):
        yield display


def _show(model: Model, samples: Samples, console: Console) -> None:
    from ancestral.cli.preview import preview

    shown = preview(list(samples.items), model.manifest.data.media_codec, console)
    if shown is not None:
        console.print(shown)


def _usual_suffix(model: Model) -> str:
    from ancestral.media import Midi

    if model.manifest.data.media_codec is None:
        return "npy"
    if isinstance(model.manifest.data.media_codec, Midi):
        return "mid"
    return {"image": "png", "audio": "wav", "sequence": "txt"}.get(model.data.kind, "npy")


def _check_suffix(model: Model, target: Path) -> None:
    usual = _usual_suffix(model)
    fitting = {usual, "npy", "json"} | ({"gif"} if usual == "png" else set())
    if target.suffix.lstrip(".").lower() not in fitting:
        raise ValueError(
            f"--output {target}: {model.name} makes {model.data.kind} items; "
            f"a file name that ends in {', '.join(sorted(fitting))} is expected"
        )


def _given(
    model: Model, file: Path, keep: int | None, order: str | None, *, fit: bool
) -> tuple[dict[str, npt.NDArray[Any]], list[str]]:
    """The file's first sites as a prefix, and the steps that `fit` took.

    Of an ensemble without a named order they are known values.
    """
    import torch

    from ancestral.media import declared, decode

    codec = model.manifest.data.media_codec
    item, steps = decode(file.read_bytes(), declared(file), model.data, codec, fit=fit)
    values = model.data.to_sites(torch.from_numpy(item)[None])[0].numpy()
    if model.members and order is None:
        kept = np.zeros(values.shape, dtype=np.bool_)
        kept[:keep] = True
        mask = model.data.from_sites(torch.from_numpy(kept)[None])[0].numpy()
        return {"known": item, "known_mask": mask}, steps
    positions = model.under(order).order
    return {"prefix": (values if positions is None else values[positions])[:keep]}, steps


def _write(model: Model, samples: Samples, target: Path, order: str | None) -> list[Path]:
    """The items as files; sounds and music beyond the first get a number."""
    from ancestral import media

    codec = model.manifest.data.media_codec
    suffix = target.suffix.lower()
    if suffix == ".json":
        import json

        target.write_text(json.dumps(np.asarray(samples.items).tolist()))
    elif suffix == ".png" and isinstance(codec, media.Levels | media.Palette):
        target.write_bytes(media.encode_png(list(samples.items), codec))
    elif suffix == ".gif" and isinstance(codec, media.Levels | media.Palette):
        names = samples.orders or (order,) * len(samples.items)
        ranks = [_ranks(model, name) for name in names]
        target.write_bytes(media.encode_gif(list(samples.items), ranks, codec))
    elif suffix == ".txt" and isinstance(codec, media.Text):
        target.write_text("\n".join(codec.decode(item) for item in samples.items))
    elif suffix == ".mid" and isinstance(codec, media.Midi):
        return _write_each(target, [codec.decode(np.asarray(item)) for item in samples.items])
    elif suffix == ".wav" and isinstance(codec, media.MuLaw | media.Linear):
        rate = model.data.sample_rate or 0
        return _write_each(target, [media.encode_wav(i, codec, rate) for i in samples.items])
    else:
        target.write_bytes(media.encode_npy(samples.items))
    return [target]


def _ranks(model: Model, order: str | None) -> npt.NDArray[np.int64]:
    """When each pixel [H, W] is drawn: its rank in the generation order."""
    import torch

    _, rows, columns = model.data.shape or (0, 0, 0)
    positions = model.under(order).order
    ranks = torch.arange(rows * columns)
    if positions is not None:
        ranks[torch.as_tensor(positions)] = torch.arange(rows * columns)
    return ranks.reshape(rows, columns).numpy()


def _write_each(target: Path, bodies: Sequence[bytes]) -> list[Path]:
    """A file each; those beyond the first get a number."""
    names = [target] + [
        target.with_stem(f"{target.stem}-{index}") for index in range(1, len(bodies))
    ]
    for path, body in zip(names, bodies, strict=True):
        path.write_bytes(body)
    return names
