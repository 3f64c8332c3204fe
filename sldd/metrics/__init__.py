"""Metrics of patients and findings, and the evaluators that select a network's best state."""
