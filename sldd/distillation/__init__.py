"""Distilled images, soft labels and inner rates: the unroll and all that learns through it."""
