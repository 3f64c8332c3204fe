"""Scores of patients and findings, by which states of a network are compared."""
