"""Rank statistics of networks: tests and correlations that keep families together."""
