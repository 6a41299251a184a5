"""From what a caller asks of a model to what a runtime takes: orders, conditions, known values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch

from ancestral.engine import conditions as conditioning
from ancestral.engine.known import KnownError, known_by_site
from ancestral.engine.length import sites_of
from ancestral.engine.loaded import Loaded
from ancestral.engine.orders import OrderError, order_for_hole
from ancestral.runtimes.base import Sampling, SlotRequest
from ancestral.runtimes.ensemble import chosen_member

Condition = Mapping[str, Any]


class Addressed(Loaded):
    """A loaded package that knows how it may be asked."""

    def under(self, order: str | None) -> Self:
        """The member under the order of that name; this model for None. Raises OrderError."""
        if order is None:
            return self
        names = list(self.manifest.orders)
        if order not in names:
            raise OrderError(order, names)
        return self.members[names.index(order)]

    def order_of(self, known: Any, known_mask: Any, sites: int) -> str | None:
        """The order of an ensemble that suits the known values; None where all suit."""
        if not self.members or known is None:
            return None
        _, kept = known_by_site(self.data, None, sites, known=known, known_mask=known_mask)
        if kept is None or not kept.any():
            return None
        return order_for_hole(self.manifest.orders, kept)

    def member_of(self, order: str | None, seed: int, item: int) -> int:
        """Which member draws an item: that of the order, else one chosen by the item's noise."""
        if order is not None:
            return self.members.index(self.under(order))
        return chosen_member(seed, item, len(self.members)) if self.members else 0

    def conditions_from(
        self, condition: Condition | None, count: int | None = None
    ) -> tuple[torch.Tensor, ...]:
        """The condition's tensors in the manifest's order, of one row, or `count` where listed.

        Raises ConditionError (a ValueError) whose `field` names the one at fault.
        """
        found = conditioning.tensors(self.conditions, condition, count)
        return tuple(tensor for tensor in found if tensor is not None)

    def sites_of(
        self,
        sites: int | None = None,
        seconds: float | None = None,
        conditions: Sequence[torch.Tensor] = (),
    ) -> int:
        """Sites of an item: as asked, as a series covers, or the default. Raises LengthError."""
        if sites is None and seconds is None and conditions:
            sites = conditioning.sites_of(self.conditions, conditions)
        return sites_of(self.data, self.manifest.data.length, sites, seconds)

    def slot_request(
        self,
        *,
        seed: int,
        item: int,
        sites: int,
        conditions: tuple[torch.Tensor, ...] = (),
        sampling: Sampling | None = None,
        prefix: Any = None,
        known: Any = None,
        known_mask: Any = None,
        replay: npt.NDArray[Any] | None = None,
        order: str | None = None,
    ) -> SlotRequest:
        """One item's request; `prefix`, `known`: see `known_by_site`.

        Of an ensemble: `order` names the member, else the known values choose it, or the noise.
        Raises KnownError and OrderError.
        """
        order = order or self.order_of(known, known_mask, sites)
        if self.members and order is None and prefix is not None:
            raise KnownError("prefix", "is in generation order: name the order, or give known")
        member = self.member_of(order, seed, item)
        ranks = self.members[member].order if self.members else self.order
        values, mask = known_by_site(
            self.data, ranks, sites, prefix=prefix, known=known, known_mask=known_mask
        )
        return SlotRequest(
            seed=seed,
            item=item,
            sites=sites,
            conditions=conditions,
            sampling=sampling or Sampling(),
            known=values,
            known_mask=mask,
            replay=replay,
            member=member,
        )

    def item_of(self, values: npt.NDArray[Any], member: int = 0) -> npt.NDArray[Any]:
        """An item in its own shape from its values [S, C] in (the member's) generation order."""
        if self.members:
            return self.members[member].item_of(values)
        by_position = np.empty_like(values)
        by_position[slice(None) if self.order is None else self.order] = values
        item = self.data.from_sites(torch.from_numpy(by_position)[None])[0]
        return np.asarray(item)
