"""Sentences, and how numbers are spelled in them."""
