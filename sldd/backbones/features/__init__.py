"""Features of real images: what the layers before the last make of them, worked out once and kept."""
