"""A package's file format: header, tensors, signature."""
