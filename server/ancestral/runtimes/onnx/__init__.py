"""Programs and forward passes as ONNX graphs, run by ONNX Runtime."""
