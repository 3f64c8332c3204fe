"""Parts of figures: theme, keys for filters, points of scores, and the specification of a figure."""
