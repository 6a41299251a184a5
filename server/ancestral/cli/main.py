"""`ancestral`: serve, score, sample, train, import and check autoregressive models."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from ancestral import __version__
from ancestral.cli import (
    batch,
    bench,
    doctor,
    embed,
    export,
    imports,
    keys,
    models,
    sample,
    score,
    serve,
    settings,
    train,
    verify,
)
from ancestral.cli.output import FAILED, REFUSED, people
from ancestral.cli.refusal import refusal

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ancestral {__version__}")
        raise typer.Exit


@app.callback()
def ancestral(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Serve, score and sample autoregressive models of images, audio and other sequences."""


app.command()(serve.serve)
app.command()(serve.worker)
app.command()(settings.settings)
app.add_typer(models.app, name="models")
app.add_typer(keys.app, name="keys")
app.command()(score.score)
app.command()(sample.sample)
app.command()(embed.embed)
app.command()(batch.batch)
app.command()(train.train)
app.command()(train.calibrate)
app.command("import")(imports.import_)
app.command()(export.export)
app.command()(verify.verify)
app.command()(doctor.doctor)
app.add_typer(bench.app, name="bench")


def main() -> None:
    """The console script: what is wrong with the input is one line on standard error, status 2."""
    try:
        app()
    except BrokenPipeError:  # whoever read standard output has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(FAILED) from None
    except Exception as error:
        told = refusal(error)
        if told is None:
            raise
        people().print("[bold red]error:[/] ", end="")
        people().print(told, markup=False, highlight=False, soft_wrap=True)
        raise SystemExit(REFUSED) from None


if __name__ == "__main__":
    main()
