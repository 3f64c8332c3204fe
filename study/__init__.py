"""Many distillations: a grid of cells, Optuna inside each, Ray Tune to place the trials, a ledger that survives."""
