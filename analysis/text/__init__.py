"""Sentences about a study, and the format of numbers in them."""
