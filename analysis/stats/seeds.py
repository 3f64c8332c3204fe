"""How sure a cell's HM is: its patients' share of the doubt from the cell, its seeds' share pooled over all cells.

A cell has few seeds, and two of them say next to nothing about how far seeds differ; resampling them varies less than
seeds drawn anew would. So each cell takes its patients' variance from the bootstrap, and the variance between seeds is
pooled over the cells of the study, on the logit scale, where it is about the same at every HM. The interval is
logit(mean) +- t * sqrt(patients + between / seeds), with the degrees of freedom of Satterthwaite (1946).

Resampled patients differ from run to run in what a run made of them too, and so do seeds: that share of the variance is
in both, and is taken off the seeds'.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from scipy.stats import t

PARTS = ["patients_variance", "seeds_squares", "seeds_freedom"]
ENDS = (0.01, 0.99)  # a mean of 0 or 1 has no logit: it counts as this, and stays in its interval


def parts(scores: np.ndarray, resampled: np.ndarray, images: np.ndarray) -> pd.DataFrame:
    """What `intervals` needs to know of each image count, ascending: columns PARTS, in logits squared.

    Args:
        scores: (runs,) HM or AUC of all patients.
        resampled: (runs, resamples) the same of resampled patients, the same ones for every run.
        images: (runs,) each run's image count.
    """
    rows = []
    for count in np.unique(images):
        own = images == count
        # One step of Taylor's from HM to logits, since a run's own HM may be 0 or 1.
        mean = np.clip(scores[own].mean(), *ENDS)
        slope = mean * (1 - mean)
        freedom = int(own.sum()) - 1
        squares = 0.0
        if freedom:
            observed, noisy = scores[own].var(ddof=1), resampled[own].var(axis=0, ddof=1).mean()
            squares = freedom * (2 * observed - noisy) / slope**2  # noisy = observed + the runs' own noise
        rows.append((resampled[own].mean(axis=0).var() / slope**2, squares, float(freedom)))
    return pd.DataFrame(rows, columns=PARTS)


def intervals(cells: pd.DataFrame, level: float) -> pd.DataFrame:
    """Central interval of each cell's mean score: columns interval_low, interval_high, with the index of `cells`.

    Args:
        cells: a row a cell of a study: `hm` (the mean), `seeds` (how many) and PARTS.
        level: of confidence.

    Missing everywhere where no cell has two seeds, since nothing is known then of how far seeds differ; and where a
    cell was not resampled.
    """
    freedom = float(cells["seeds_freedom"].sum())
    if not freedom:
        return pd.DataFrame(np.nan, index=cells.index, columns=["interval_low", "interval_high"])
    between = max(float(cells["seeds_squares"].sum()) / freedom, 0.0) / cells["seeds"].astype("float64")
    variance = cells["patients_variance"] + between
    known = np.divide(variance, between, out=np.full(len(cells), np.inf), where=(between > 0).to_numpy())
    reach = t.ppf((1 + level) / 2, freedom * np.square(known)) * np.sqrt(variance)
    middle = logit(cells["hm"].clip(*ENDS))
    low, high = np.minimum(expit(middle - reach), cells["hm"]), np.maximum(expit(middle + reach), cells["hm"])
    resampled = cells["patients_variance"].notna()
    return pd.DataFrame({"interval_low": low.where(resampled), "interval_high": high.where(resampled)})
