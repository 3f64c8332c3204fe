"""Benchmarks of packages in other hands: hospitals that put them together, and what they give away."""
