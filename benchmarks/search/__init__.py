"""Benchmarks of the search: simulated cells, recorded truth and what searches reach on it, cost of suggestions."""
