"""What a setting's backbones can and cannot show about parameters and image counts, in plain English.

Everything works on one row a backbone: backbone (name), parameters, lower and upper, the bounds in images within which
its minimum lies (`analysis.stats.ranks.rank_tests`). Plain text; whoever puts it on a page escapes it.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache

import numpy as np
import pandas as pd

from analysis.published import footprints
from analysis.records.cell_means import setting_labels, settings_apart
from analysis.stats.minimum import judged, known_points, percent, rule_points, shown_points
from analysis.stats.ranks.block_orders import all_orders
from analysis.stats.ranks.rank_tests import SIGNIFICANT, RankTest, kendall, spearman
from analysis.stats.regression import Priors, growth
from analysis.text.words import listed
from ledger.families import family

MOST_NAMED = 4  # backbones known in part that are spelled out
WITHIN = "larger ones of a family need more, but over all families larger ones do not"
NEITHER = "the study neither shows nor rules out that larger networks need more images"


def published_points() -> pd.DataFrame:
    """The six points of Li et al. (2022), Tables 4 and 6: backbone, parameters, lower, upper."""
    table = footprints()
    points = table[["backbone", "parameters"]]
    return points.assign(lower=table["minimum_images"], upper=table["minimum_images"])


@lru_cache(maxsize=1)
def describe_published() -> str:
    """`describe` of the published points."""
    return f"Li et al. (2022): {describe(published_points())}"


def verdict(answer: pd.DataFrame) -> str:
    """What the backbones of `minimum.minimum_images` show about parameters, setting by setting.

    What the intervals leave open is open here too; where they leave much, the papers' rule on means is added, as such.
    """
    if answer.empty:
        return describe(answer)
    labels, settings = settings_apart(answer), setting_labels(answer).unique()
    verdicts: dict[str, list[str]] = {}
    for label in labels.unique():
        verdicts.setdefault(_verdict(answer[labels == label]), []).append(label)
    words = " ".join(f"With {'; '.join(alike)}: {words}" if any(alike) else words for words, alike in verdicts.items())
    if labels.nunique() == 1 and len(settings) > 1:
        words += f" These networks differ in more than parameters: {' or '.join(settings)}."
    return words


def _verdict(answer: pd.DataFrame) -> str:
    bounds = shown_points(answer)
    if len(answer) == 1 and np.isfinite(bounds["upper"]).all():
        return describe(bounds)  # the papers' rule could not say more of a single point
    by_target = not judged(answer) and bounds["lower"].notna().any()
    of = f"Of counts for a score of {answer['target'].iloc[0]:g}: " if by_target else ""
    means = rule_points(answer)
    if np.isinf(bounds["upper"]).all() and means["lower"].notna().any():
        unknown = f"At the {percent(answer['level'].iloc[0])} level no backbone's count is known"
        return f"{unknown}; by the papers' rule, on means alone: {describe(means)}"
    if (bounds["lower"].isna() | (bounds["lower"] == bounds["upper"])).all():
        return of + describe(bounds)
    described, means = of + describe(bounds), means.dropna(subset=["parameters", "lower"])
    if NEITHER in described and len(means) > 1 and spearman(*_columns(means)).p is None:
        return f"{described} By the papers' rule, on means alone, they {why_alike(means)[0]}."
    return f"{described} By the papers' rule, on means alone: {_ranked(means)}"


def describe(points: pd.DataFrame) -> str:
    """Two to four sentences on one setting: rank correlations, what they show, the slope, what was left out.

    Beside the columns above, `reason` says, where there is one, why nothing is known of a backbone. Rows without
    parameters or without a bound (1 image or more) are left out and named.
    """
    if points.empty:
        return "No backbone has been tried, so nothing can be said about parameters."
    kept = known_points(points)
    sentences = [_ranked(kept), _sloped(kept), _left_out(points.drop(kept.index))]
    return " ".join(sentence for sentence in sentences if sentence)


def _columns(points: pd.DataFrame) -> tuple[pd.Series, pd.Series, pd.Series]:
    return points["parameters"], points["lower"], points["upper"]


def _ranked(points: pd.DataFrame) -> str:
    count = f"{len(points)} backbone{'' if len(points) == 1 else 's'}"
    if points.empty:
        return "No backbone has an image count that is known at all, so nothing can be said about parameters."
    if len(points) == 1:
        return f"{count} is a single point, which cannot show how the image count goes with parameters."
    families = points["backbone"].astype(str).map(family).tolist()
    rho, tau = spearman(*_columns(points), families), kendall(*_columns(points), families)
    if rho.p is None or tau.p is None:
        return (
            f"{'Both backbones' if len(points) == 2 else f'All {count}'} {', so '.join(why_alike(points))}; {NEITHER}."
        )
    apart = "" if rho.p == tau.p else f" ({_p(rho)})"
    together = "" if all_orders(families) else ", families kept together"
    unrelated = f"; {_share(spearman(*_columns(points)))} if all were of different families" if together else ""
    measured = (
        f"{count}{_in_part(points)} give Spearman's rank correlation {rho.value:+.2f}{apart} "
        f"and Kendall's {tau.value:+.2f} ({_p(tau)}{'' if apart else ' for both'}{together}{unrelated})"
    )
    if rho.smallest_p is not None and rho.smallest_p > SIGNIFICANT:
        return (
            f"{measured}; even a perfect order of these points{together}{',' * bool(together)} has p ≥ "
            f"{rho.smallest_p}, so they cannot show at the 5 % level that larger networks need more images."
        )
    shown = "show" if rho.grows else "do not show"
    alone = "" if len(set(families)) > 1 else f", of the family {families[0]} alone"
    within = f": {WITHIN}" if rho.p <= SIGNIFICANT and not rho.grows else ""
    return f"{measured}; at the 5 % level they {shown} that larger networks need more images{alone}{within}."


def why_alike(points: pd.DataFrame) -> tuple[str, str]:
    """Why no order of these points can be told from another, and what follows."""
    undefined = "their rank correlation is undefined"
    if points["parameters"].nunique() == 1:
        return "have the same number of parameters", undefined
    if np.isinf(points["upper"]).all():
        return "need more images than were shown to suffice", "nobody knows which of them needs most"
    if (points["lower"] == points["upper"]).all():
        return f"need the same number of images ({points['lower'].iloc[0]:g})", undefined
    return "may need the same number of images for all that is known", undefined


def _in_part(points: pd.DataFrame) -> str:
    partly = points[points["lower"] < points["upper"]]
    if partly.empty:
        return ""
    if len(partly) > MOST_NAMED:
        return f", {len(partly)} of them known within bounds only,"
    ends = ["or more" if np.isinf(upper) else f"to {upper:g}" for upper in partly["upper"]]
    named = zip(partly["backbone"], partly["lower"], ends, strict=True)
    return f" ({', '.join(f'{name} {lower:g} {end}' for name, lower, end in named)} images)"


def _p(test: RankTest) -> str:
    if test.p is None:
        return ""
    if not test.exact:
        return f"one-sided p = {float(test.p):.2g} from {test.orders:,} random orders"
    return f"exact one-sided p = {_share(test)}"


def _share(test: RankTest) -> str:
    p = test.p or 0
    return f"{p} = {float(p):.2g}" if test.exact and 1 < p.denominator <= 10_000 else f"{float(p):.2g}"


def _sloped(points: pd.DataFrame) -> str:
    if np.isinf(points["upper"]).all():
        return ""  # only bounds from below: the slope would be the prior's
    families = points["backbone"].astype(str).map(family).tolist()
    line, wider = (growth(*_columns(points), Priors().scaled(width), families) for width in (1, 2))
    if line is None or wider is None:
        return ""
    slope, leaning = _signed(line.slope), _signed(wider.slope)
    caution = "" if slope == leaning else f"; {leaning} with priors twice as wide"
    return (
        f"A line through them, with weakly informative priors, has {slope} doublings of the image count "
        f"per tenfold parameters (95 % interval {_signed(line.low)} to {_signed(line.high)}{caution})"
        f"{_by_model_alone(line.low, spearman(*_columns(points), families).p)}."
    )


def _by_model_alone(low: float, p: Fraction | None) -> str:
    """What to make of an interval above zero beside a test that shows nothing."""
    apart = low > 0 and (p is None or p > SIGNIFICANT)
    return ": that it lies above zero rests on the model, not on the test" if apart else ""


def _signed(doublings: float) -> str:
    return f"{round(doublings, 1) + 0.0:+.1f}"  # adding zero turns -0.0 into 0.0


def _named(backbones: list[str]) -> str:
    return listed(backbones) if len(backbones) <= 2 * MOST_NAMED else f"{len(backbones)} backbones"


def _left_out(points: pd.DataFrame) -> str:
    if points.empty:
        return ""
    reasons = points["reason"] if "reason" in points else pd.Series("nothing known", index=points.index)
    named = [
        _named(names.astype(str).tolist()) + (f" ({reason})" if reason else "")
        for reason, names in points["backbone"].groupby(reasons.fillna(""), sort=False)
    ]
    return f"Left out: {'; '.join(named)}."
