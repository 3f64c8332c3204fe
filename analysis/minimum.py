"""The question of the study: how few distilled images suffice, for which network, as its parameters grow.

The rule is the source paper's, worked out from its Tables 5 and 6 (method.md section 4): the smallest image count
whose HM is within 0.10 of the best HM of that backbone. Ours: the HM is the mean over confirm seeds, and a backbone
whose best mean is under a floor is censored instead of credited, since a network that never works has no minimum.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from analysis.confirmed import SETTING, cell_means, distilled, setting_labels
from analysis.records import SCHEMA

MARGIN = 0.10
FLOOR = 0.5  # the HM of calling patients at random
SIGNIFICANT = Fraction(1, 20)
MINIMUM_SCHEMA = {
    **{name: SCHEMA[name] for name in SETTING},
    "backbone": "string",
    "parameters": "Int64",
    "minimum_images": "Int64",
    "hm_at_minimum": "float64",
    "best_images": "Int64",
    "best_hm": "float64",
    "tried": "string",
    "censored": "bool",
    "reason": "string",
}


@dataclass(frozen=True)
class Trend:
    """How the smallest image count goes with the parameters, over the backbones that have one.

    `rho` is Spearman's rank correlation; `p` the share of all orders with a correlation at least as high (exact,
    one-sided); `smallest_p` the share for the most favourable order of these same values. All None where either
    side does not vary, so that no order can be told from another.
    """

    backbones: int
    rho: float | None = None
    p: Fraction | None = None
    smallest_p: Fraction | None = None


def minimum_images(records: pd.DataFrame, margin: float = MARGIN, floor: float = FLOOR) -> pd.DataFrame:
    """The smallest sufficient image count of every backbone, within each setting.

    Columns: SETTING, backbone, parameters, minimum_images, hm_at_minimum, best_images, best_hm (mean test HM),
    tried (image counts confirmed so far), censored, reason. `censored` rows have no minimum: either no confirm trial
    is done, or the best mean HM is under `floor`; `reason` says which.
    """
    by = [*SETTING, "backbone"]
    records = distilled(records)
    known = records.groupby(by, sort=False, dropna=False)["parameters"].max().reset_index()
    means = known.merge(cell_means(records).drop(columns="parameters"), on=by, how="left")
    rows = [_minimum(group, margin, floor) for _, group in means.groupby(by, sort=False, dropna=False)]
    return pd.DataFrame(rows, columns=list(MINIMUM_SCHEMA)).astype(MINIMUM_SCHEMA)


def _minimum(backbone: pd.DataFrame, margin: float, floor: float) -> dict[str, object]:
    """One row of the answer from one backbone's image counts."""
    means = backbone[backbone["hm"].notna()].sort_values("images")
    row: dict[str, object] = {name: backbone[name].iloc[0] for name in [*SETTING, "backbone", "parameters"]}
    row |= {"tried": ", ".join(map(str, means["images"])), "censored": True}
    if means.empty:
        return row | {"reason": "no confirm trial is done"}
    best = means.iloc[means["hm"].argmax()]
    row |= {"best_images": best["images"], "best_hm": best["hm"]}
    if best["hm"] < floor:
        return row | {"reason": f"best HM {best['hm']:.2f} is under {floor:g}"}
    # The published HMs have three decimals; a difference of exactly the margin must not fall to rounding.
    smallest = means[means["hm"] >= best["hm"] - margin - 1e-9].iloc[0]
    found = {"minimum_images": smallest["images"], "hm_at_minimum": smallest["hm"]}
    return row | found | {"censored": False, "reason": ""}


def trend(frame: pd.DataFrame) -> Trend:
    """Rank correlation of parameters and smallest image count; `frame` is one setting of `minimum_images`."""
    usable = frame[~frame["censored"] & frame["parameters"].notna()]
    parameters, images = usable["parameters"].tolist(), usable["minimum_images"].tolist()
    if len(set(parameters)) < 2 or len(set(images)) < 2:
        return Trend(len(usable))
    rho = float(np.corrcoef(rankdata(parameters), rankdata(images))[0, 1])
    return Trend(len(usable), rho, *exact_p(parameters, images))


def exact_p(x: Sequence[float], y: Sequence[float]) -> tuple[Fraction, Fraction]:
    """One-sided permutation p-value of Spearman's correlation of `x` and `y`, and the smallest one they could give.

    Exact for ties on either side. Correlation grows with the sum of rank products alone, and equal `y` are
    interchangeable, so this counts the arrangements by that sum, point after point, instead of listing them all.
    """
    # Twice the average rank is a whole number: sums compare exactly.
    x_ranks, y_ranks = ([round(2 * rank) for rank in rankdata(values)] for values in (x, y))
    levels = sorted(set(y_ranks))
    arrangements = {tuple(y_ranks.count(level) for level in levels): Counter({0: 1})}
    for x_rank in x_ranks:
        extended: dict[tuple[int, ...], Counter[int]] = {}
        for left, sums in arrangements.items():
            for place, level in enumerate(levels):
                if left[place]:
                    rest = (*left[:place], left[place] - 1, *left[place + 1 :])
                    target = extended.setdefault(rest, Counter())
                    for total, ways in sums.items():
                        target[total + x_rank * level] += ways
        arrangements = extended
    (sums,) = arrangements.values()
    observed = sum(a * b for a, b in zip(x_ranks, y_ranks, strict=True))
    at_least = sum(ways for total, ways in sums.items() if total >= observed)
    return Fraction(at_least, sums.total()), Fraction(sums[max(sums)], sums.total())


def verdict(frame: pd.DataFrame) -> str:
    """What the points of `minimum_images` can and cannot show, in plain English; a sentence or two a setting."""
    if frame.empty:
        return "No backbone has been tried, so nothing can be said about parameters."
    labels = setting_labels(frame)
    said = [(label, _verdict(frame[labels == label])) for label in labels.unique()]
    return " ".join(f"With {label}: {words}" if label else words for label, words in said)


def _verdict(frame: pd.DataFrame) -> str:
    found, usable = trend(frame), frame[~frame["censored"]]
    censored = [f"{row['backbone']} ({row['reason']})" for _, row in frame[frame["censored"]].iterrows()]
    left_out = f" Left out: {', '.join(censored)}." if censored else ""
    count = f"{found.backbones} backbone{'' if found.backbones == 1 else 's'}"
    if found.backbones == 0:
        return "No backbone has a sufficient image count, so nothing can be said about parameters." + left_out
    if found.backbones == 1:
        return f"{count} is a single point, which cannot show how the image count goes with parameters." + left_out
    if found.rho is None or found.p is None or found.smallest_p is None:
        if usable["minimum_images"].nunique() == 1:
            why = f"need the same number of images ({usable['minimum_images'].iloc[0]})"
        else:
            why = "have the same number of parameters"
        return (
            f"All {count} {why}, so their rank correlation is undefined; the study neither shows nor rules out "
            f"that larger networks need more images.{left_out}"
        )
    measured = f"{count} give Spearman's rank correlation {found.rho:+.2f} (exact one-sided p = {_share(found.p)})"
    if found.smallest_p > SIGNIFICANT:
        return (
            f"{measured}; even a perfect order of these points has p ≥ {found.smallest_p}, so they cannot "
            f"show at the 5 % level that larger networks need more images.{left_out}"
        )
    shown = "show" if found.p <= SIGNIFICANT else "do not show"
    return f"{measured}; at the 5 % level they {shown} that larger networks need more images.{left_out}"


def _share(p: Fraction) -> str:
    return f"{p} = {float(p):.2g}" if 1 < p.denominator <= 10_000 else f"{float(p):.2g}"
