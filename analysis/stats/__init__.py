"""Intervals, tests and regressions over a study's records."""
