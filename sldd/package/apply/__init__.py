"""A package's network on a receiver's radiographs: scores, pictures, sensitivity."""
