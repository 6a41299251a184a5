"""How properties are searched whose every example compiles a network."""

from __future__ import annotations

from hypothesis import Phase, settings


def search(examples: int) -> settings:
    """So many examples, without shrinking, which costs minutes."""
    return settings(max_examples=examples, phases=[Phase.explicit, Phase.generate])
