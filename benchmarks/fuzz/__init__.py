"""Fuzzing: all readers of files, on damaged and malicious input."""
