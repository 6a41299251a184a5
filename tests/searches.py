"""How properties are searched whose every example compiles a network."""

from __future__ import annotations

from hypothesis import Phase, settings


def search(examples: int) -> settings:
    """The same examples each time, and without shrinking, which costs minutes."""
    return settings(
        max_examples=examples, derandomize=True, phases=[Phase.explicit, Phase.generate]
    )
