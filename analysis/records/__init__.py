"""A study read from its ledger: records, runs, means, packages."""
