"""Run a model's sampler over a running batch of slots, and score finished items."""

from ancestral.runtimes.base import Advance, Runtime, Sampling, SlotRequest

__all__ = ["Advance", "Runtime", "Sampling", "SlotRequest"]
