"""Planning before the first trial: patients, cells that can be run, cost, budget, resuming."""
