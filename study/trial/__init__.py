"""One trial on its machine, from its configuration to its result and package."""
