"""What a shell offers for a word that is begun: asked at every press of Tab, so without torch."""

from __future__ import annotations

from pathlib import Path

import typer

from ancestral.settings import RUNTIMES, Settings


def model_names(context: typer.Context, incomplete: str) -> list[str]:
    """The packages of the store that --models or the settings name."""
    try:
        root = Path(context.params.get("models") or Settings.from_env().models)
        return sorted(
            {
                file.parents[1].name
                for file in root.glob("*/*/model.json")
                if file.parents[1].name.startswith(incomplete)
            }
        )
    except (OSError, ValueError):  # such as a setting that does not parse
        return []


def runtimes(incomplete: str) -> list[str]:
    """The names of runtimes."""
    return [name for name in RUNTIMES if name.startswith(incomplete)]
