"""Analysis of a study: statistics, tables, figures and the page, from ledger files alone."""
