"""Twice differentiable tensor operations that PyTorch lacks or is slow at, memory counters, and types."""
