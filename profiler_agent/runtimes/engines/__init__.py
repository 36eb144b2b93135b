"""Engines of TensorRT and of TensorRT for RTX: built, kept, executed."""
