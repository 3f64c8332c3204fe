"""Studies: a grid of cells, an Optuna search in each, Ray Tune to place the trials, a ledger to resume from."""
