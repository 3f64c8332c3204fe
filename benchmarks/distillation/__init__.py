"""Benchmarks of what is distilled: ablations, digits, films, every method side by side."""
