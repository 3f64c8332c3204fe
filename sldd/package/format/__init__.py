"""A package's file: header, tensors, signature."""
