"""Einsum and tensordot as permutations and one matrix product, in a captured graph.

The product is the one that the rules know: of a computed value and a matrix of constants, or of
two computed values with the same leading axes.
"""

from __future__ import annotations

from collections.abc import Sequence

from ancestral.compile.graph import Ref
from ancestral.compile.rewriter import Rewriter

Labels = tuple[str, ...]


def einsum(r: Rewriter, equation: str, operands: Sequence[Ref]) -> Ref:
    """`torch.einsum`, operands joined from left to right. Raises ValueError for diagonals."""
    inputs, output = _labels(equation, [len(r.shape(o)) for o in operands])
    values = list(zip(operands, inputs, strict=True))
    value, labels = values.pop(0)
    while values:
        other, own = values.pop(0)
        kept = {*output, *(label for _, rest in values for label in rest)}
        value, labels = _pair(r, value, labels, other, own, kept)
    value, labels = _summed(r, value, labels, set(output))
    return r.permute(value, [labels.index(label) for label in output])


def tensordot(r: Rewriter, a: Ref, b: Ref, of_a: Sequence[int], of_b: Sequence[int]) -> Ref:
    """The sum over pairs of axes, as an einsum."""
    rank_a, rank_b = len(r.shape(a)), len(r.shape(b))
    left = [f"a{i}" for i in range(rank_a)]
    right = [f"b{i}" for i in range(rank_b)]
    for i, j in zip(of_a, of_b, strict=True):
        right[j % rank_b] = left[i % rank_a]
    shared = set(left) & set(right)
    kept = {*left, *right} - shared
    value, labels = _pair(r, a, tuple(left), b, tuple(right), kept)
    output = [label for label in (*left, *right) if label in kept]
    return r.permute(value, [labels.index(label) for label in output])


def _labels(equation: str, ranks: Sequence[int]) -> tuple[list[Labels], Labels]:
    """The labels of every operand and of the result; an ellipsis becomes labels of its own."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    ellipsis = max(
        (rank - len(term.replace("...", "")) for term, rank in zip(terms, ranks, strict=True)
         if "..." in term), default=0,
    )  # fmt: skip

    def expand(term: str, count: int) -> Labels:
        before, dots, after = term.partition("...")
        middle = [f"...{i}" for i in range(ellipsis - count, ellipsis)] if dots else []
        return (*before, *middle, *after)

    inputs = [
        expand(term, rank - len(term.replace("...", "")) if "..." in term else 0)
        for term, rank in zip(terms, ranks, strict=True)
    ]
    if any(len(set(labels)) != len(labels) for labels in inputs):
        raise ValueError("an index twice in one operand")
    if arrow:
        return inputs, expand(right, ellipsis)
    every = [label for labels in inputs for label in labels]
    once = sorted(label for label in set(every) if every.count(label) == 1 and "." not in label)
    return inputs, (*(f"...{i}" for i in range(ellipsis)), *once)


def _summed(r: Rewriter, x: Ref, labels: Labels, kept: set[str]) -> tuple[Ref, Labels]:
    gone = [i for i, label in enumerate(labels) if label not in kept]
    if not gone:
        return x, labels
    return r.emit("aten.sum.dim_IntList", x, gone), tuple(lb for lb in labels if lb in kept)


def _pair(
    r: Rewriter, a: Ref, of_a: Labels, b: Ref, of_b: Labels, kept: set[str]
) -> tuple[Ref, Labels]:
    """Two operands as one: labels that neither the other nor `kept` has are summed over."""
    a, of_a = _summed(r, a, of_a, kept | set(of_b))
    b, of_b = _summed(r, b, of_b, kept | set(of_a))
    both = [label for label in of_a if label in of_b]
    summed = [label for label in both if label not in kept]
    shared = [label for label in both if label in kept]
    if r.is_constant(a) and not r.is_constant(b):
        a, of_a, b, of_b = b, of_b, a, of_a
    if not summed:
        return _outer(r, a, of_a, b, of_b)
    own = [label for label in of_a if label not in both]
    other = [label for label in of_b if label not in both]
    if not shared and r.is_constant(b):
        left = _arranged(r, a, of_a, [*([o] for o in own), summed])
        right = _arranged(r, b, of_b, [summed, other])
        product = r.emit("aten.matmul.default", left, right)
    else:
        left = _arranged(r, a, of_a, [*([s] for s in shared), own, summed])
        right = _arranged(r, b, of_b, [*([s] for s in shared), summed, other])
        product = r.emit("aten.matmul.default", left, right)
        product = _split(r, product, len(shared), a, of_a, own)
        own = own or ["one"]
    product = _split(r, product, -1, b, of_b, other)
    return _without(r, product, (*shared, *own, *(other or ["another"])))


def _without(r: Rewriter, x: Ref, labels: Labels) -> tuple[Ref, Labels]:
    """Axes of size one that stood for no label at all are taken out."""
    for name in ("one", "another"):
        if name in labels:
            x = r.emit("aten.squeeze.dim", x, labels.index(name))
            labels = tuple(label for label in labels if label != name)
    return x, labels


def _split(r: Rewriter, x: Ref, dim: int, source: Ref, labels: Labels, own: list[str]) -> Ref:
    if len(own) <= 1:
        return x
    sizes = [r.shape(source)[labels.index(label)] for label in own]
    return r.emit("aten.unflatten.int", x, dim, sizes)


def _arranged(r: Rewriter, x: Ref, labels: Labels, groups: Sequence[list[str]]) -> Ref:
    """x permuted into groups of labels, each group flattened to one axis."""
    x = r.permute(x, [labels.index(label) for group in groups for label in group])
    for at, group in enumerate(groups):
        if not group:
            x = r.emit("aten.unsqueeze.default", x, at)
        elif len(group) > 1:
            x = r.emit("aten.flatten.using_ints", x, at, at + len(group) - 1)
    return x


def _outer(r: Rewriter, a: Ref, of_a: Labels, b: Ref, of_b: Labels) -> tuple[Ref, Labels]:
    """Nothing to sum over: an elementwise product with axes of size one put in."""
    labels = (*of_a, *(label for label in of_b if label not in of_a))
    for _ in range(len(labels) - len(of_a)):
        a = r.emit("aten.unsqueeze.default", a, -1)
    b = r.permute(b, sorted(range(len(of_b)), key=lambda i: labels.index(of_b[i])))
    for at, label in enumerate(labels):
        if label not in of_b:
            b = r.emit("aten.unsqueeze.default", b, at)
    return r.emit("aten.mul.Tensor", a, b), labels
