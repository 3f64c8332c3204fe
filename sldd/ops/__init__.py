"""Tensor operations that PyTorch lacks or is slow at, twice differentiable, and the names of types."""
