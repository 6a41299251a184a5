"""`ancestral bench`: the cost of sampling beside the cost of scoring, and a server under load."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from ancestral.cli import bench_serving
from ancestral.cli.complete import model_names, runtimes
from ancestral.cli.output import Json, Models, WeightsOption, emit, people, say, settings
from ancestral.cli.profile import profile
from ancestral.cli.weights import weights as weights_
from ancestral.progress import bar
from ancestral.settings import RUNTIMES, Settings

if TYPE_CHECKING:
    from ancestral.bench.machine import Machine
    from ancestral.bench.peers import Contest
    from ancestral.bench.row import Row

_DEFAULT = "models"


class _Group(TyperGroup):
    """`ancestral bench NAME …` is short for `ancestral bench models NAME …`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in ("-h", "--help")):
            args = [_DEFAULT, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(cls=_Group, help="Time sampling beside scoring, or a server under load.")


@app.command(_DEFAULT)
def models_(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL]…",
            help="All packages where neither model nor network.",
            autocompletion=model_names,
        ),
    ] = None,
    network: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Random weights, no package: wavenet-30, gated-pixelcnn-28, pixelcnn-pp-32, "
            "image-gpt-512; repeatable.",
        ),
    ] = None,
    runtime: Annotated[
        list[str] | None,
        typer.Option(
            help=f"{', '.join(RUNTIMES)}; repeatable.",
            show_default="the settings'",
            autocompletion=runtimes,
        ),
    ] = None,
    batch: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Size; repeatable.", show_default="1, 4, 16, 64"),
    ] = None,
    sites: Annotated[
        int | None, typer.Option(min=1, help="Length of items of open length.", show_default="4000")
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=0.01, help="Sampling is timed so long; the rest is multiplied up.")
    ] = 5.0,
    weights: WeightsOption = None,
    threads: Annotated[
        int, typer.Option(min=1, help="Threads of torch and of the native runtime.")
    ] = 1,
    clock: Annotated[
        str,
        typer.Option(help="wall, or cpu: processor time, where others use the machine."),
    ] = "wall",
    peers: Annotated[
        bool,
        typer.Option("--peers", help="Also what others run on the same network, where installed."),
    ] = False,
    plot: Annotated[
        Path | None, typer.Option(help="Draw sample/score into a PNG, SVG or PDF file.")
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the table as the documentation has it.")
    ] = False,
    models: Models = None,
    json: Json = False,
) -> None:
    """Time sampling, scoring and the naive loop of the same items: ratios within one run."""
    import torch

    from ancestral.bench import NETWORKS
    from ancestral.bench import network as random_network
    from ancestral.bench.machine import CLOCKS, machine
    from ancestral.bench.measure import BATCHES, measure
    from ancestral.engine.model import load
    from ancestral.store import list_packages

    kinds, networks = runtime or [settings(models).runtime], network or []
    for kind in kinds:
        if kind not in RUNTIMES:
            raise ValueError(f"--runtime {kind}: known are {', '.join(RUNTIMES)}")
    for name in networks:
        if name not in NETWORKS:
            raise ValueError(f"--network {name}: known are {', '.join(NETWORKS)}")
    if clock not in CLOCKS:
        raise ValueError(f"--clock {clock}: known are {', '.join(CLOCKS)}")
    if peers and not networks:
        raise ValueError("--peers is for --network")
    torch.set_num_threads(threads)
    precision: Any = Settings.from_env(weights=weights).weights or "float32"
    root, sizes, found = settings(models).models, batch or list(BATCHES), machine(clock)
    wanted = list(names or ())
    if not wanted and not networks:
        wanted = [entry.name for entry in list_packages(root)]
    rows: list[Row] = []
    contests: list[Contest] = []
    with bar("timings", quiet=json) as display:
        task = display.add_task("", total=(len(wanted) + len(networks)) * len(sizes) * len(kinds))
        for name in [*wanted, *networks]:
            display.update(task, description=name)
            random = name in networks
            loaded = (
                random_network(name, precision) if random else load(name, root, weights=weights)
            )
            length = loaded.manifest.data.length
            most = None if length is None else min(sites or 4000, length.maximum)
            for row in measure(loaded, found, sizes, kinds, sites=most, window=seconds):
                rows.append(row)
                display.advance(task)
            if peers and random:
                display.update(task, description=f"{name}: peers")
                contests += _contests(name, loaded, kinds, sizes, clock, precision, seconds)
    if plot is not None:
        from ancestral.bench.plot import plot as draw

        draw(rows, plot)
    _print(rows, contests, found, json=json, markdown=markdown)


def _contests(
    name: str,
    model: Any,
    kinds: list[str],
    sizes: list[int],
    clock: str,
    weights: Any,
    window: float,
) -> list[Contest]:
    from ancestral.bench.peers import contest, peers

    found = []
    for peer in peers(name, model):
        found += list(contest(name, peer, kinds, sizes, clock, weights, window))
    if not found:
        people().print(f"{name}: no peer is installed (pip install 'ancestral\\[bench]')")
    return found


def _print(
    rows: list[Row], contests: list[Contest], found: Machine, *, json: bool, markdown: bool
) -> None:
    from dataclasses import asdict

    from ancestral.bench.row import markdown as as_markdown
    from ancestral.bench.row import table

    if json:
        emit(
            {
                "machine": asdict(found),
                "rows": [row.to_json() for row in rows],
                "peers": [row.to_json() for row in contests],
            }
        )
        return
    if markdown:
        typer.echo(as_markdown(rows, found))
    else:
        say(table(rows, found))
    if contests:
        from ancestral.bench.peers import contests_table

        say(contests_table(contests))


for command in (
    bench_serving.serve,
    bench_serving.batching,
    bench_serving.start,
    bench_serving.package,
    profile,
):
    app.command()(command)
app.command("weights")(weights_)
