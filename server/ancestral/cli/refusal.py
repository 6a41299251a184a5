"""What is wrong with the input, in one line for people."""

from __future__ import annotations

from ancestral.broker.job import BrokerUnavailable


def refusal(error: Exception) -> str | None:
    """What an exception says of the input; None for a fault of ours, which has its traceback."""
    if isinstance(error, BrokerUnavailable):
        return f"the broker does not answer: {error}"
    if isinstance(error, OSError):
        return of_system(error)
    if isinstance(error, ValueError):  # PackageError, MediaError, ConditionError …
        return with_flags(str(error))
    from ancestral.compile import CompileError  # imports torch: only where something failed

    return f"{type(error).__name__}: {error}" if isinstance(error, CompileError) else None


def with_flags(text: str) -> str:
    """What a request would say to have an item fitted, as the command line says it."""
    return text.replace('"fit": true', "--fit")


def of_system(error: OSError) -> str:
    """'FILE: No such file or directory', without the number."""
    parts = [str(part) for part in (error.filename, error.strerror) if part]
    return ": ".join(parts) or str(error) or type(error).__name__
