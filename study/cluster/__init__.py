"""Ray cluster: connecting, checks of its nodes, shares of GPUs, broadcast of data."""
