"""Backbones: the model registry, initial weights, and norm layers."""
