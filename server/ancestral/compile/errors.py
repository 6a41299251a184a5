"""What can be wrong with a model: it reads its future, or it uses an operator without a rule."""

from __future__ import annotations


class CompileError(Exception):
    """A model cannot be turned into a step program; the message says why."""


class CausalityError(CompileError):
    """An output depends on its own or a later input.

    `path` lists the operators from that input to the output, each with its line in the model.
    """

    def __init__(self, summary: str, path: list[str]) -> None:
        self.path = path
        super().__init__("\n".join([summary, *(f"  {step}" for step in path)]))


class UnsupportedOperator(CompileError):
    """No rule is known for an operator, or for the way it is used here."""

    def __init__(self, operator: str, source: str, reason: str = "no rule is known for it") -> None:
        self.operator = operator
        self.source = source
        where = f" (at {source})" if source else ""
        super().__init__(f"operator {operator}: {reason}{where}")


class ParityError(CompileError):
    """The step program's params differ from the forward pass's: a defect of the compiler."""
