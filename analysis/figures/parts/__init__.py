"""What figures are made of: the theme, keys for filters, points of scores, and the shape of a figure itself."""
