"""A figure a module: a function that returns numbers and one that draws them."""
