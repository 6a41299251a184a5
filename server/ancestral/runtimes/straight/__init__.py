"""A site of a step program as a straight line of tensor operations: positions are data.

`runtimes.lattice` decides in Python which place of a ring is read next. Here clocks, columns and
ranks are tensors, so that the same operators in the same order serve every site: a line that can be
recorded once and repeated, as a CUDA graph or as an ONNX graph.
"""
