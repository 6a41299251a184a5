"""Step programs in compiled code (Numba): a flat table of operations, many sites per call."""

VERSION = "3"  # of its arithmetic: raised with every change that rounds differently
