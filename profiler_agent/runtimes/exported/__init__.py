"""From a module to ONNX, and what executes it on a CPU."""
