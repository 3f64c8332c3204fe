"""Networks by name, their first weights, and their norm layers."""
