"""Whether larger networks lose more of what ordinary training reaches, over all image counts at once.

A model of the whole dose-response (HM against images), not of the smallest count alone:

    logit HM of network i at m images = reference_i - level_i + steepness_i (log2 m - centre) + seeds and patients
    level_i = a + b log10(parameters_i) + what its family adds + what is its own

The curves share their shape, a line in log2 m over the counts that *all* networks were run at, so that a network that
was tried at more counts is not measured otherwise. The reference is the network's own ordinary training; where one has
none, the line's steepness is compared instead of its level: what more images add. Families and networks may add
anything, in any distribution, if only networks of a family are exchangeable, and families of equal size: the tests are
permutations that keep families together (`analysis.stats.ranks.block_orders`), of Spearman's correlation, and the
interval of `b` ends where such a test begins to reject values (Sen 1968), sought from zero on, where the test is that
of p itself: so p and interval cannot disagree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.special import logit

from analysis.records.cell_means import distilled, full_training, run_rows, settings_apart, trained_beside, usual_epochs
from analysis.records.controls import without_controls
from analysis.records.records import Study, score
from analysis.records.rule import Rule
from analysis.stats.ranks.block_orders import block_orders
from analysis.stats.ranks.rank_tests import SIGNIFICANT, centred_ranks
from analysis.stats.shared_counts import shared
from ledger.families import family
from ledger.schema import SCHEMA, SETTING

LEVEL, STEEPNESS = "level", "steepness"
ENDS = (0.01, 0.99)  # a mean of 0 or 1 has no logit: it counts as this


@dataclass(frozen=True)
class Relation:
    """How networks' curves go with parameters.

    `correlation` is Spearman's, `p` one-sided (larger networks lose more, or gain more from more images), `smallest_p`
    the smallest that any order of these networks has. `slope` with its 90 % interval `low` to `high` is b, in logits a
    tenfold of parameters: the middle of the values that half of all orders are on either side of. None where nothing
    can be said: fewer than two networks, or no two that differ.
    """

    measure: str
    networks: int
    families: int
    counts: tuple[int, ...]
    correlation: float | None = None
    p: float | None = None
    smallest_p: float | None = None
    slope: float | None = None
    low: float = -np.inf
    high: float = np.inf

    @property
    def grows(self) -> bool:
        """Whether it is shown at the 5 % level that larger networks lose more: as of `RankTest`."""
        return self.p is not None and self.correlation is not None and self.p <= SIGNIFICANT and self.correlation > 0


def summaries(scores: np.ndarray, counts: Sequence[int], reference: np.ndarray | None) -> np.ndarray:
    """(..., networks): how far each curve is under its reference, in logits; without one, how much a doubling adds.

    Args:
        scores: (..., networks, counts) mean HM or AUC.
        reference: (..., networks) the same of ordinary training.

    Rounded to nine places: flat curves differ in the last digit else, and would be ranked by it.
    """
    curves = logit(np.clip(scores, *ENDS))
    if reference is not None:
        return np.round(logit(np.clip(reference, *ENDS)) - curves.mean(axis=-1), 9)
    doses = np.log2(counts) - np.log2(counts).mean()
    return np.round(curves @ doses / max(float(doses @ doses), 1e-9), 9)


def curves(study: Study) -> pd.DataFrame:
    """One row a network and setting: series (the setting in words, see `settings_apart`), backbone, family, parameters,
    `scores` (mean test score by image count) and `reference`, that of its ordinary training (NaN without)."""
    study = without_controls(study)
    by, runs = [*SETTING, "backbone"], run_rows(study)
    runs = runs.assign(score=score(runs, "test").astype("float64"))[[*by, "images", "parameters", "score"]]
    beside, rows = trained_beside(full_training(runs), usual_epochs(study)), []
    for names, own in distilled(runs).groupby(by, sort=False, dropna=False):
        setting = dict(zip(by, names, strict=True))
        scores = own.groupby(own["images"].astype(int))["score"].mean().to_dict()
        facts = {"scores": scores, "parameters": own["parameters"].max(), "family": family(str(setting["backbone"]))}
        rows.append(setting | facts | {"reference": beside(setting)["score"].mean()})
    found = pd.DataFrame(rows, columns=[*by, "scores", "parameters", "family", "reference"])
    found = found.astype({name: SCHEMA[name] for name in by})
    return found.assign(series=settings_apart(found))


def lose_nothing(study: Study, rows: pd.DataFrame) -> pd.Series:
    """Which rows of `curves` are of networks that have nothing to lose: whatever works at all comes within the margin
    of their ordinary training."""
    rule = Rule.of(study.config)
    return rows["reference"].lt(rule.floor + rule.margin)


def relations(study: Study) -> dict[str, Relation]:
    """`relation` of every series of `related`, over the counts that all of its networks have."""
    return {str(series): relation_of(own) for series, own in related(study).groupby("series", sort=False)}


def related(study: Study) -> pd.DataFrame:
    """The rows of `curves` that are related to parameters: of networks of known size, without those that
    `lose_nothing`."""
    rows = curves(study).dropna(subset="parameters")
    return rows[~lose_nothing(study, rows)]


def relation_of(rows: pd.DataFrame) -> Relation:
    """`relation` of rows of `curves`."""
    counts = shared(rows["scores"])
    scores = np.array([[own[count] for count in counts] for own in rows["scores"]])
    reference = None if rows["reference"].isna().any() else rows["reference"].to_numpy(np.float64)
    return relation(rows["parameters"].to_numpy(np.float64), scores, counts, reference, rows["family"].tolist())


def relation(
    parameters: np.ndarray,
    scores: np.ndarray,
    counts: Sequence[int],
    reference: np.ndarray | None,
    families: Sequence[str],
) -> Relation:
    """The relation of networks' parameters (networks,) and curves; arguments as in `summaries`.

    Without a reference it takes two counts at least.
    """
    measure = STEEPNESS if reference is None else LEVEL
    found = Relation(measure, len(parameters), len(set(families)), tuple(counts))
    fewest = 2 if reference is None else 1  # counts: a slope takes two
    if len(counts) < fewest or len(np.unique(parameters)) < 2:
        return found
    x, values = np.log10(parameters), summaries(scores, counts, reference)
    if len(np.unique(values)) < 2:
        return found
    orders, exact = block_orders(tuple(families))
    size_ranks, value_ranks = centred_ranks(x), centred_ranks(values)
    placed = _placed(size_ranks, orders)
    larger = x[:, None] > x[None, :]
    slopes = np.sort((values[:, None] - values[None, :])[larger] / (x[:, None] - x[None, :])[larger])
    low, high = (_slope_bound(x, values, slopes, placed, exact, sign) for sign in (1, -1))
    # The estimate is the middle of the values at which p is a half from either side.
    middle = [_slope_bound(x, values, slopes, placed, exact, sign, 0.5) for sign in (1, -1)]
    slope = np.mean(middle) if np.isfinite(middle).all() else np.median(slopes)
    rho = float(size_ranks @ value_ranks / np.sqrt((size_ranks @ size_ranks) * (value_ranks @ value_ranks)))
    return replace(
        found,
        correlation=rho,
        p=_one_sided_p(size_ranks, value_ranks, placed, exact),
        smallest_p=_one_sided_p(size_ranks, size_ranks, placed, exact),
        slope=float(np.clip(slope, low, high)),
        low=low,
        high=high,
    )


def smallest_p(parameters: Sequence[int], families: Sequence[str]) -> float:
    """The smallest one-sided p that networks of these sizes and families can have, if all of them stand in order."""
    sizes = centred_ranks(np.array(parameters))
    return p_value(sizes, sizes, *block_orders(tuple(families)))


def p_value(x: np.ndarray, y: np.ndarray, orders: np.ndarray, exact: bool) -> float:
    """One-sided permutation p of sum(x y), centred ranks or scores (networks,).

    Args:
        orders: (orders, networks) of `block_orders`: permutations of `y` to compare with.
        exact: whether these are all; of a sample, the order that was seen is counted as well.
    """
    return _one_sided_p(x, y, _placed(x, orders), exact)


def _placed(x: np.ndarray, orders: np.ndarray) -> np.ndarray:
    """(orders, networks): `x` rearranged so that `_placed(x, orders) @ y` is sum(x y) in every order of `y`.

    Worked out once for all values whose slope is tried.
    """
    placed = np.empty(orders.shape)
    np.put_along_axis(placed, orders, x[None], axis=1)
    return placed


def _one_sided_p(x: np.ndarray, y: np.ndarray, placed: np.ndarray, exact: bool) -> float:
    """`p_value`, with `placed` worked out before."""
    more = 0 if exact else 1
    # Ranks are halves at most, so that sums are exact but for rounding in the last place.
    return float((np.sum(placed @ y >= x @ y - 1e-9) + more) / (len(placed) + more))


def _slope_bound(
    x: np.ndarray,
    values: np.ndarray,
    slopes: np.ndarray,
    placed: np.ndarray,
    exact: bool,
    sign: int,
    level: float = SIGNIFICANT,
) -> float:
    """One end of the interval of slopes that the permutation test does not reject (Sen 1968); infinite where it
    rejects none on that side.

    The ranks of values - slope * x change at the slopes of pairs alone. So p is the same between two of these, and
    bisection over the gaps between them finds the end. Where families are kept together p need not rise with the slope,
    and rejection may end at several gaps. Bisection begins at zero, so that the end is on the side of zero that p says.

    Args:
        x: (networks,) log10 parameters.
        values: (networks,) of `summaries`.
        slopes: (pairs,) of any two networks of different size, ascending.
        placed: `_placed` of the ranks of `x`.
        exact: as in `p_value`.
        sign: 1 for the lower end, -1 for the upper.
        level: of the one-sided test.
    """
    slopes = slopes if sign == 1 else slopes[::-1]
    between = np.concatenate([[slopes[0] - sign], (slopes[1:] + slopes[:-1]) / 2, [slopes[-1] + sign]])
    zero = int(np.searchsorted(sign * slopes, 0.0, side="right"))
    between[zero] = 0.0
    size_ranks, rejected, kept, middle = centred_ranks(x), -1, len(slopes), zero
    while kept - rejected > 1:
        p = _one_sided_p(size_ranks, sign * centred_ranks(values - between[middle] * x), placed, exact)
        rejected, kept = (middle, kept) if p <= level else (rejected, middle)
        middle = (kept + rejected) // 2
    return float(slopes[rejected]) if rejected >= 0 else -sign * np.inf
