"""Whether the smallest count grows with the parameters, by how much and how surely, in a sentence for those who skim.

Plain text; whoever puts it on a page escapes it.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.records.cell_means import settings_apart
from analysis.records.records import Study
from analysis.stats.minimum import WAITING, compared_minimum, judged, known_points, shown_points
from analysis.stats.ranks.rank_tests import SIGNIFICANT, spearman
from analysis.stats.regression import growth
from analysis.text.conclusion import WITHIN, why_alike
from analysis.text.words import parameters_word
from ledger.families import family

FEWEST = 3
"""Networks from which there is an order to speak of."""


def whether_it_grows(study: Study) -> str:
    """The sentence; empty where several settings are compared, or too few networks have counts that are judged.

    What it says is `analysis.text.conclusion`'s, in short: the rank test that keeps families together decides, and the
    fitted line says by how much.
    """
    answer = compared_minimum(study)
    if answer.empty or not judged(answer) or settings_apart(answer).nunique() > 1:
        return ""
    points = known_points(shown_points(answer))
    if len(points) < FEWEST:
        return ""
    sentence = _sentence(points, len(answer))
    unfinished = answer["outcome"].eq(WAITING).any()
    return f"So far: {sentence[0].lower()}{sentence[1:]}" if unfinished else sentence


def _sentence(points: pd.DataFrame, networks: int) -> str:
    families = points["backbone"].astype(str).map(family).tolist()
    columns = points["parameters"], points["lower"], points["upper"]
    found = spearman(*columns, families)
    kin = _families(len(set(families)))
    who = (
        f"{len(points)} networks of {kin}"
        if len(points) == networks
        else f"{len(points)} of {networks} networks ({kin})"
    )
    line = None if np.isinf(points["upper"]).all() else growth(*columns, families=families)
    how_much = "" if line is None else _times(line.slope, line.low, line.high)
    fitted = f"; the fitted line has {how_much}" if how_much else ""
    if found.p is None or found.p_two_sided is None:
        return f"Whether larger networks need more images is open: {who} {why_alike(points)[0]}{fitted}."
    if found.smallest_p is not None and found.smallest_p > SIGNIFICANT:
        best = f"in perfect order p would be {float(found.smallest_p):.2g}"
        return f"Whether larger networks need more images, {who} cannot show: {best}{fitted}."
    sizes = f"{parameters_word(points['parameters'].min())} to {parameters_word(points['parameters'].max())} parameters"
    by, p = f"{how_much}{', ' * bool(how_much)}by {who}, {sizes}", f"one-sided p = {float(found.p):.2g}"
    if found.grows:
        return f"Larger networks need more images: {by} ({p})."
    if (found.value or 0.0) < 0 and found.p_two_sided <= SIGNIFICANT < found.p:
        return f"Larger networks need fewer images: {by} (two-sided p = {float(found.p_two_sided):.2g})."
    within = f"; {WITHIN}" if found.p <= SIGNIFICANT else ""
    return f"It is not shown that larger networks need more images: {by} ({p}{within})."


def _times(slope: float, low: float, high: float) -> str:
    """Of doublings a tenfold of parameters."""
    middle, least, most = map(_digits, np.exp2([slope, low, high]))
    return f"{middle} times as many ({least} to {most}) a tenfold of parameters"


def _digits(value: float) -> str:
    """A positive number in two significant digits, which are never all zero; whole ones from ten on."""
    return f"{value:.2g}" if value < 10 else f"{value:,.0f}"


def _families(count: int) -> str:
    return "one family" if count == 1 else f"{count} families"
