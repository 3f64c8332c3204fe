"""Records of a study, read from its ledger: trials, runs, means, packages."""
