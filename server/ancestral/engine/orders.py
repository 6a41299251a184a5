"""Which order of an ensemble a request is met under."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]


class OrderError(ValueError):
    """An order that the model does not have."""

    field = "order"

    def __init__(self, order: str, known: Sequence[str]) -> None:
        names = ", ".join(known) if known else "this model has one order, which has no name"
        super().__init__(f"order: there is no order {order!r}; known: {names}")


def order_for_hole(orders: Mapping[str, Sequence[int]], kept: Mask) -> str:
    """The order that visits the unknown sites last, so that what is known is known before them.

    kept [S, C], by position: which values are given. The order with the longest run of given sites
    at its start; among equals the one with the most given sites before the others, on average.
    """
    whole: Mask = np.asarray(kept.all(axis=1), dtype=np.bool_)

    def known_before(name: str) -> tuple[int, int]:
        by_rank = whole[np.asarray(orders[name])]
        lead = int(np.argmin(by_rank)) if not by_rank.all() else len(by_rank)
        return lead, int(np.cumsum(by_rank)[~by_rank].sum())

    return max(orders, key=known_before)
