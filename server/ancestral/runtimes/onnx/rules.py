"""Importing this registers every rule."""

from ancestral.runtimes.onnx import elementwise, indexing, layers, reductions, shapes

__all__ = ["elementwise", "indexing", "layers", "reductions", "shapes"]
