"""Whether the smallest count grows with the parameters, by how much and how surely, in a sentence for those who skim.

Plain text; whoever puts it on a page escapes it.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.records.cell_means import settings_apart
from analysis.records.records import Study
from analysis.stats.minimum import judged, minimum_images, shown_points
from analysis.stats.ranks.rank_tests import spearman
from analysis.stats.regression import growth
from analysis.stats.shared_counts import alike
from analysis.text.conclusion import SIGNIFICANT, known_points, why_alike
from analysis.text.words import parameters_word
from ledger.families import family

FEWEST = 3
"""Networks from which there is an order to speak of."""


def whether_it_grows(study: Study) -> str:
    """The sentence; empty where several settings are compared, or too few networks have counts that are judged.

    What it says is `analysis.text.conclusion`'s, in short: the rank test that keeps families together decides, and the
    fitted line says by how much.
    """
    answer = minimum_images(alike(study))
    if answer.empty or not judged(answer) or settings_apart(answer).nunique() > 1:
        return ""
    points = known_points(shown_points(answer))
    if len(points) < FEWEST:
        return ""
    families = points["backbone"].astype(str).map(family).tolist()
    columns = points["parameters"], points["lower"], points["upper"]
    found = spearman(*columns, families)
    who = f"{len(points)} networks of {_families(len(set(families)))}"
    if found.p is None or found.p_two_sided is None:
        return f"Whether larger networks need more images is open: {who} {why_alike(points)[0]}."
    if found.smallest_p is not None and found.smallest_p > SIGNIFICANT:
        best = f"in perfect order p would be {float(found.smallest_p):.2g}"
        return f"Whether larger networks need more images, {who} cannot show: {best}."
    line = growth(*columns, families=families)
    sizes = f"{parameters_word(points['parameters'].min())} to {parameters_word(points['parameters'].max())} parameters"
    how_much = "" if line is None or np.isinf(points["upper"]).all() else f"{_times(line.slope, line.low, line.high)}, "
    by = f"{how_much}by {who}, {sizes}"
    if found.p <= SIGNIFICANT:
        return f"Larger networks need more images: {by} (one-sided p = {float(found.p):.2g})."
    if (found.value or 0.0) < 0 and found.p_two_sided <= SIGNIFICANT:
        return f"Larger networks need fewer images: {by} (two-sided p = {float(found.p_two_sided):.2g})."
    return f"It is not shown that larger networks need more images: {by} (one-sided p = {float(found.p):.2g})."


def _times(slope: float, low: float, high: float) -> str:
    """Of doublings a tenfold of parameters."""
    middle, least, most = (2.0 ** pd.Series([slope, low, high])).round(1).tolist()
    return f"{middle:g} times as many ({least:g} to {most:g}) a tenfold of parameters"


def _families(count: int) -> str:
    return "one family" if count == 1 else f"{count} families"
