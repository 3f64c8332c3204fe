"""The outer loop, ordinary training, losses, DP-SGD, and how a step is computed."""
