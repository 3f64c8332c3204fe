"""Benchmarks of time and memory: outer steps, scoring, reading, kept features, the page."""
