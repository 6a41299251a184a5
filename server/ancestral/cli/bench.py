"""`ancestral bench`: the cost of sampling beside the cost of scoring."""

from __future__ import annotations

from typing import Annotated

import typer

from ancestral.cli.output import Json, Models, RuntimeOption, emit, progress, say, settings


def bench(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[MODEL]…", help="All packages where none.")
    ] = None,
    batch: Annotated[
        list[int] | None, typer.Option(min=1, help="Batch size; repeatable [default: 1, 4, 16].")
    ] = None,
    sites: Annotated[int | None, typer.Option(min=1, help="Length of open-ended items.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of torch.")] = None,
    runtime: RuntimeOption = None,
    models: Models = None,
    json: Json = False,
) -> None:
    """Time sampling, scoring and the naive loop of the same items: ratios within one run."""
    import torch

    from ancestral.engine import bench as timing
    from ancestral.engine.model import load
    from ancestral.store import list_packages

    if threads is not None:
        torch.set_num_threads(threads)
    root = settings(models).models
    wanted = names or [entry.name for entry in list_packages(root)]
    sizes = batch or list(timing.BATCHES)
    rows = []
    with progress(json) as bar:
        task = bar.add_task("benchmark", total=len(wanted) * len(sizes))
        for name in wanted:
            loaded = load(name, root, runtime=runtime)
            length = sites if loaded.manifest.data.length is not None else None
            for row in timing.bench(loaded, sizes, sites=length):
                rows.append(row)
                bar.advance(task)
    if json:
        emit([row.to_json() for row in rows])
    else:
        say(timing.table(rows))
