"""Step programs in compiled code (Numba): a flat table of operations, many sites per call."""
