"""Benchmarks of speed, memory, accuracy, scale, reliability and hostile input, on the machine at hand."""
