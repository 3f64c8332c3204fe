"""Hostile input: everything that reads a file, given files that somebody damaged or made to do harm."""
