"""Confidence intervals of a cell's mean score, and of how far it is under ordinary training.

Two sources of variance count. *Patients*: the bootstrap gives each cell a variance of its own
(`analysis.records.bootstrap`). *Seeds*: a cell has few, and two of them say next to nothing about how far seeds differ;
resampling them varies less than new seeds would. So the variance between seeds is pooled over the cells of the study.
Both variances are on the logit scale, where that between seeds is about the same at every score:

    logit(mean) +- t * sqrt(patients + between / seeds),   degrees of freedom of t by Satterthwaite (1946)

**Groups.** It is not the same in all cells: with one image, say, half of the runs may fail. Cells that differ in their
network alone form a group. Where groups differ by more than chance, the variance of each is shrunk towards the common
one, as Smyth (2004) does with genes. A single cell gets none of its own: one whose few runs all worked would look
steady.

**Noise that is counted twice.** A run's own noise, given its patients, is part of the spread between runs and of the
bootstrap's variance over patients. It is subtracted from the variance between seeds. The degrees of freedom stay those
of the spread as observed: subtracting leaves less variance, and as much doubt about it.

**Perfect scores.** Where every call is right the bootstrap has no variance, and yet the next patient may be called
wrong. So patients add at least the variance of half an error among n patients (a share of 1 / (2 (n + 1))), and a mean
counts as no nearer to 0 or 1 than that share.

Formulas: docs/statistics.md.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import expit, gammaln, logit
from scipy.stats import t

PARTS = ["patients_variance", "seeds_squares", "runs_squares", "seeds_freedom", "patients_covariance", "nearest"]
"""Columns of `parts`, one row a cell; the first three and the covariance are in logits squared.

patients_variance: bootstrap variance of the cell's mean score over patients.
seeds_squares: sum of squares between seeds, without the runs' own noise; may be negative.
runs_squares: sum of squares between runs as observed, with that noise.
seeds_freedom: degrees of freedom of both sums, seeds - 1.
patients_covariance: bootstrap covariance with the mean score of ordinary training; NaN where there is none.
nearest: how near to 0 or 1 a mean score counts at most, before its logit is taken.
"""
NEAREST = 0.01  # at least: a mean of 0 or 1 has no logit, and counts as so near; its interval holds it nonetheless
LENT = (1, 2, 4, 8, 16, 32, 64)
"""Degrees of freedom that all groups may lend to one (Smyth's d0); more are as good as one pool."""
DIFFERS = 1.35  # log likelihood that groups must gain over one pool: half of 2.71, which chance passes in 5 % of cases


def parts(scores: np.ndarray, resampled: np.ndarray, images: np.ndarray, patients: float) -> pd.DataFrame:
    """What `intervals` and `shortfalls` need to know of each image count, ascending: columns PARTS and `images`.

    Args:
        scores: (runs,) HM or AUC of all patients.
        resampled: (runs, resamples) the same of resampled patients, the same ones for every run.
        images: (runs,) each run's image count, 0 for ordinary training.
        patients: how many a score is worth (`analysis.records.bootstrap.worth`).
    """
    rows, trained = [], None
    error = 0.5 / (patients + 1)
    least, nearest = error * (1 - error) / max(patients, 1), max(NEAREST, error)
    for count in np.unique(images):
        own = images == count
        # One step of Taylor's from the score to logits, since a run's own score may be 0 or 1.
        mean = np.clip(scores[own].mean(), nearest, 1 - nearest)
        slope = mean * (1 - mean)
        freedom = int(own.sum()) - 1
        squares = seen = 0.0
        if freedom:
            observed, noisy = scores[own].var(ddof=1), resampled[own].var(axis=0, ddof=1).mean()
            seen = freedom * observed / slope**2
            # Resampling adds the runs' own noise once more: noisy - observed, which is taken off what was observed.
            squares = freedom * (2 * observed - noisy) / slope**2
        drawn = resampled[own].mean(axis=0)
        if count == 0:
            trained = (drawn - drawn.mean()) / slope
        together = np.nan if trained is None else float(np.mean(trained * drawn) / slope)
        rows.append((max(drawn.var(), least) / slope**2, squares, seen, float(freedom), together, nearest))
    return pd.DataFrame(rows, columns=PARTS).assign(images=np.unique(images))


def intervals(cells: pd.DataFrame, level: float, pool: pd.DataFrame | None = None) -> pd.DataFrame:
    """Central interval of each cell's mean score: columns interval_low, interval_high and `variance` (of the mean, in
    logits squared), with the index of `cells`.

    Args:
        cells: a row a cell of a study: `hm` (the mean), `seeds` (how many) and PARTS; `group` unless all are of one.
        level: of confidence.
        pool: the cells over which the variance between seeds is pooled, where it is not these: PARTS and `group`.

    Missing everywhere where none of these has two seeds, since nothing is known then of how far seeds differ; and where
    a cell was not resampled.
    """
    pool = cells if pool is None else pool
    if not pool["seeds_freedom"].sum():
        return pd.DataFrame(np.nan, index=cells.index, columns=["interval_low", "interval_high", "variance"])
    pooled = _pooled(pool, cells.get("group", pd.Series(0, cells.index)))
    seeds = cells["seeds"].astype("float64")
    between, seen = pooled["between"] / seeds, pooled["seen"] / seeds
    variance = cells["patients_variance"] + between.clip(lower=0)
    known = np.divide(variance, seen, out=np.full(len(cells), np.inf), where=(seen > 0).to_numpy())
    reach = t.ppf((1 + level) / 2, pooled["freedom"] * np.square(known)) * np.sqrt(variance)
    middle = logit(cells["hm"].clip(cells["nearest"], 1 - cells["nearest"]))
    low, high = np.minimum(expit(middle - reach), cells["hm"]), np.maximum(expit(middle + reach), cells["hm"])
    resampled = cells["patients_variance"].notna()
    found = {"interval_low": low.where(resampled), "interval_high": high.where(resampled), "variance": variance}
    return pd.DataFrame(found)


def _pooled(pool: pd.DataFrame, groups: pd.Series) -> pd.DataFrame:
    """Variance of a run's score between seeds, with the index of `groups`, each cell's group: columns `between`, `seen`
    (patients' share included) and `freedom`, the degrees by which they are known.

    Where groups differ, the variance seen in one is that of all times a scaled inverse chi-square with the degrees of
    freedom that all lend it, found by maximum likelihood (Smyth 2004 by moments, which a variance of 0 upsets).
    """
    columns = ["seeds_squares", "runs_squares", "seeds_freedom"]
    sums = pool[columns].groupby(pool.get("group", pd.Series(0, pool.index))).sum()
    total = sums.sum()
    own, all_freedom = sums[sums["seeds_freedom"] > 0], float(total["seeds_freedom"])
    lent, seen = _lent((own["runs_squares"] / own["seeds_freedom"]).to_numpy(), own["seeds_freedom"].to_numpy())
    if not lent:
        whole = {"between": total["seeds_squares"] / all_freedom, "seen": total["runs_squares"] / all_freedom}
        return pd.DataFrame(whole | {"freedom": all_freedom}, index=groups.index)
    patients = (total["runs_squares"] - total["seeds_squares"]) / all_freedom
    squares, runs, freedom = (sums[name].reindex(groups).fillna(0.0).set_axis(groups.index) for name in columns)
    both = lent + freedom
    between, seen_here = (lent * (seen - patients) + squares) / both, (lent * seen + runs) / both
    return pd.DataFrame({"between": between, "seen": seen_here, "freedom": both.clip(upper=all_freedom)})


def _lent(seen: np.ndarray, freedom: np.ndarray) -> tuple[int, float]:
    """Degrees of freedom that all groups lend to each, and the variance that they lend; none where one pool will do.

    Args:
        seen: (groups,) variance seen in each.
        freedom: (groups,) its degrees of freedom, 1 or more.
    """
    whole = float(np.average(seen, weights=freedom))
    if len(seen) < 2 or whole <= 0:
        return 0, whole
    found = (float(-(freedom / 2 * (np.log(whole) + seen / whole)).sum()) + DIFFERS, 0, whole)
    for lent in LENT:
        scale = max(float(np.median(seen)), 1e-6 * whole)
        for _ in range(200):  # each step is towards the likeliest scale
            weights = freedom * (freedom + lent) / (lent + freedom * seen / scale)
            scale, before = float((weights * seen).sum() / freedom.sum()), scale
            if abs(scale - before) <= 1e-6 * before:
                break
        fall = freedom * np.log(scale) + (freedom + lent) * np.log1p(freedom * seen / (lent * scale))
        chances = gammaln((freedom + lent) / 2) - gammaln(lent / 2) - freedom / 2 * np.log(lent / 2) - fall / 2
        found = max(found, (float(chances.sum()), lent, scale))
    return found[1:]


def shortfalls(cells: pd.DataFrame, trained: pd.DataFrame) -> pd.DataFrame:
    """How far each cell's score is under that of ordinary training, and the central interval of that: columns
    shortfall, shortfall_low and shortfall_high.

    The interval is put together from the two scores' own, with their correlation over the same patients (method of
    variance estimates recovery, Zou and Donner 2008); so it is as lopsided as these are near 1, and at their level.

    Args:
        cells: `hm`, `patients_covariance` and the columns of `intervals`.
        trained: `hm` and the columns of `intervals` of each cell's ordinary training, row by row.
    """
    spread = (cells["variance"] * trained["variance"]) ** 0.5
    correlation = (cells["patients_covariance"] / spread.where(spread > 0)).clip(-1, 1)
    correlation = correlation.where(spread.ne(0), 0.0)  # one of the two is known for sure

    def reach(first: pd.Series, second: pd.Series) -> pd.Series:
        return np.sqrt((first**2 + second**2 - 2 * correlation * first * second).clip(lower=0))

    shortfall = trained["hm"] - cells["hm"]
    low = reach(trained["hm"] - trained["interval_low"], cells["interval_high"] - cells["hm"])
    high = reach(trained["interval_high"] - trained["hm"], cells["hm"] - cells["interval_low"])
    return pd.DataFrame({"shortfall": shortfall, "shortfall_low": shortfall - low, "shortfall_high": shortfall + high})
