"""Figures of one cell: the first that a study can have is drawn for every cell."""
