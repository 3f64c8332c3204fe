"""Ray: machines, GPUs and what is sent to them."""
