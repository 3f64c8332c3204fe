"""What the trials of a study mean: statistics, tables, figures and the page, from ledger files alone."""
