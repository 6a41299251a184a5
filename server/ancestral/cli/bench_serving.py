"""`ancestral bench serve`, `batching`, `start` and `package`: what a server makes of a runtime."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ancestral.cli.output import FAILED, Json, Models, emit, people, say, settings
from ancestral.progress import bar
from ancestral.settings import RUNTIMES

if TYPE_CHECKING:
    from ancestral.engine.model import Model

ROUNDS = 3  # in which the server and the runtime alone take turns


def serve(
    url: Annotated[str, typer.Argument(help="Of a running server, such as http://127.0.0.1:8000.")],
    model: Annotated[str, typer.Option(help="Which one to stream and score.")] = "wavenet-digits",
    streams: Annotated[int, typer.Option(min=0, help="WebSocket streams at a time.")] = 16,
    scorers: Annotated[int, typer.Option(min=0, help="Clients that score at a time.")] = 0,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long.")] = 10.0,
    sites: Annotated[
        int | None, typer.Option(min=1, help="Length of items of open length.")
    ] = None,
    key: Annotated[
        str | None, typer.Option(envvar="ANCESTRAL_KEY", help="API key, where one is needed.")
    ] = None,
    direct: Annotated[
        bool,
        typer.Option(
            "--direct",
            help="Also call the runtime here, in turns with the server, which is then idle: with "
            "as many slots as streams and one thread.",
        ),
    ] = False,
    runtime: Annotated[
        str | None, typer.Option(help="Of --direct: the server's.", show_default="the settings'")
    ] = None,
    models: Models = None,
    json: Json = False,
) -> None:
    """Drive a running server with streams and scores; status 1 where a request failed."""
    from ancestral.bench.load import Load, drive_server, load_table

    url = url.rstrip("/")
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"{url}: the address of a server is expected, as http://127.0.0.1:8000")
    beside = _beside(model, models, runtime, streams) if direct else None
    rounds = ROUNDS if direct else 1
    found = Load(streams=streams, scorers=scorers)
    with bar(None, quiet=json) as display:
        task = display.add_task("", total=seconds * (2 if direct else 1))

        def tell(passed: float, words: str) -> None:
            display.update(task, advance=passed, description=words)

        for _ in range(rounds):
            if beside is not None:
                tell(0, "the runtime alone")
                found.direct.append(_direct(beside, streams, sites, seconds / rounds))
                tell(seconds / rounds, "the server")
            found += asyncio.run(
                drive_server(
                    url,
                    model,
                    streams=streams,
                    scorers=scorers,
                    seconds=seconds / rounds,
                    sites=sites,
                    key=key,
                    tell=tell,
                )
            )
    if json:
        emit(found.to_json())
    else:
        say(load_table(found))
    if found.errors:
        raise typer.Exit(FAILED)


def _beside(name: str, models: Path | None, runtime: str | None, streams: int) -> Model:
    import torch

    from ancestral.engine.model import load

    if not streams:
        raise ValueError("--direct compares streams: --streams must be at least 1")
    torch.set_num_threads(1)
    return load(name, settings(models).models, runtime=runtime, cores=1)


def _direct(model: Model, slots: int, sites: int | None, seconds: float) -> float:
    from ancestral.bench.batching import direct, length_of
    from ancestral.bench.machine import CLOCKS

    return direct(model, slots, length_of(model, sites), seconds, CLOCKS["wall"])


def batching(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[MODEL]…", show_default="wavenet-digits")
    ] = None,
    runtime: Annotated[str, typer.Option(help=f"One of {', '.join(RUNTIMES)}.")] = "native",
    slots: Annotated[int, typer.Option(min=1, help="Of the running batch.")] = 16,
    load: Annotated[float, typer.Option(min=0.01, max=1.0, help="Share of what it can do.")] = 0.8,
    jobs: Annotated[int, typer.Option(min=1, help="How many arrive.")] = 200,
    sites: Annotated[
        int | None, typer.Option(min=1, help="Length of items of open length.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="Of each measurement of sites/s.")] = 5.0,
    models: Models = None,
    json: Json = False,
) -> None:
    """How full the running batch is kept, and what the engine costs, by the processor's time."""
    import torch

    from ancestral.bench.batching import batching as measured
    from ancestral.bench.batching import batching_table
    from ancestral.bench.machine import CLOCKS
    from ancestral.engine.model import load as load_model

    torch.set_num_threads(1)
    wanted = names or ["wavenet-digits"]
    with bar("jobs", quiet=json) as display:
        task = display.add_task("", total=jobs * len(wanted))
        rows = [
            measured(
                load_model(name, settings(models).models, runtime=runtime),
                slots=slots,
                load=load,
                jobs=jobs,
                sites=sites,
                seconds=seconds,
                clock=CLOCKS["cpu"],
                tell=lambda ended, words: display.update(task, advance=ended, description=words),
            )
            for name in wanted
        ]
    if json:
        emit([row.to_json() for row in rows])
    else:
        say(batching_table(rows))


def start(
    model: Annotated[str, typer.Option(help="Which one to stream first.")] = "wavenet-digits",
    runtime: Annotated[str | None, typer.Option(help=f"One of {', '.join(RUNTIMES)}.")] = None,
    models: Models = None,
    json: Json = False,
) -> None:
    """Start a server: seconds until it is up, streams, and has loaded every package."""
    from ancestral.bench.start import start as started
    from ancestral.bench.start import start_table
    from ancestral.store import find

    root = settings(models).models
    find(model, root)  # before a server is started in vain
    with people().status("starting") as status:
        found = started(root, model, runtime, status.update)
    if json:
        emit(found.to_json())
    else:
        say(start_table(found))


def package(
    network: Annotated[str, typer.Argument(help="Such as wavenet-30: see `ancestral bench -h`.")],
    folder: Annotated[Path, typer.Argument(help="NETWORK/1 is written into it.")],
    json: Json = False,
) -> None:
    """Write a package of published size with random weights, to be served and timed."""
    from ancestral.bench import network as random_network
    from ancestral.store import save_package

    built = random_network(network)
    state = built.network.module.state_dict()
    card = f"# {network}\n\nRandom weights, for timing.\n"
    path = save_package(folder, built.manifest, state, card)
    if json:
        emit({"model": built.manifest.label, "path": path})
    else:
        say(f"{path}: random weights, for timing")
