"""Derivation by elements: for items of fixed size, whatever the data movement.

Where `tracer` places whole values on a lattice, this package follows every element on its own. All
values of an item lie in one arena; a tensor is an array of addresses. Data movement of any kind
(strides, rolls, unfolding, slice assignment, skewing, an order other than raster) is the operator
itself applied to the addresses; what remains are products, norms and pointwise arithmetic on rows
of elements. The program's tables grow with the item; its arithmetic is still one forward pass's.
"""

from ancestral.compile.elements.derive import derive_elements
from ancestral.compile.elements.program import ElementProgram, ElementStep, Rows, Weight

__all__ = ["ElementProgram", "ElementStep", "Rows", "Weight", "derive_elements"]
