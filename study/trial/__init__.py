"""One trial on its machine: Ray's trainable, the run itself, its result and package."""
