"""How much a study's answers lean on its margin, on which networks are in it, and on how many are compared.

Plain text; whoever puts it on a page escapes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pandas as pd

from analysis.records.records import Study
from analysis.records.rule import Rule
from analysis.stats.counts import rule_bracket
from analysis.stats.dose_response import curves, related, relation_of
from analysis.stats.minimum import minimum_images, percent
from analysis.stats.ranks.rank_tests import spearman
from analysis.stats.shared_counts import alike, among, at_least_among, offered_counts
from analysis.text.words import listed
from ledger.schema import SETTING

MARGINS = (0.05, 0.10, 0.15, 0.20)
MOST_TOGETHER = 30  # networks whose intervals are worked out once more, for all of them at once


def leaning(study: Study) -> list[str]:
    """Sentences: without any one family, with other margins, and for all networks at once."""
    rule = Rule.of(study.config)
    return [
        *_each_series(related(study), _without_a_family),
        *_each_series(_with_counts(alike(study)), lambda rows: _by_margin(rows, rule)),
        *filter(None, [_together(study)]),
    ]


def _each_series(networks: pd.DataFrame, said: Callable[[pd.DataFrame], str]) -> Iterator[str]:
    """What is `said` of each series of the rows of `related`, where there is anything to say."""
    for series, rows in networks.groupby("series", sort=False):
        if line := said(rows):
            yield f"With {series!s}: {line}" if series else line


def _without_a_family(rows: pd.DataFrame) -> str:
    families = rows["family"].unique()
    if len(families) < 3 or relation_of(rows).p is None:
        return ""
    found = {name: relation_of(rows[rows["family"] != name]).p for name in families}
    known = {name: p for name, p in found.items() if p is not None}
    if not known:
        return ""
    low, high = min(known, key=known.__getitem__), max(known, key=known.__getitem__)
    ends = f"between {known[low]:.2g} (without {low}) and {known[high]:.2g} (without {high})"
    ends = f"{known[low]:.2g}" if known[low] == known[high] else ends
    return f"Without any one family the p of whole curves, {relation_of(rows).p:.2g} with all, is {ends}."


def _with_counts(study: Study) -> pd.DataFrame:
    """The rows of `curves` of known size, with the counts among which their smallest are compared as `shared`; NaN for
    all. The papers' rule asks for no ordinary training, so networks that have nothing to lose by it are among them."""
    by, offered = [*SETTING, "backbone"], offered_counts(study)
    rows = curves(study).dropna(subset="parameters")
    return rows.merge(offered[offered["searched"]][[*by, "shared"]], on=by, how="left")


def _by_margin(rows: pd.DataFrame, rule: Rule) -> str:
    if len(rows) < 3:
        return ""
    ps = []
    for margin in MARGINS:
        found = [rule_bracket(own, margin, rule.floor) for own in rows["scores"]]
        lower = pd.Series([least for least, _ in found], dtype="float64")
        upper = pd.Series([np.inf if count is None else count for _, count in found])
        counts = rows["shared"].iloc[0]
        if isinstance(counts, tuple) and counts:
            lower, upper = at_least_among(counts, lower), among(counts, upper, np.inf)
        p = spearman(rows["parameters"].to_numpy(np.float64), lower, upper, rows["family"].tolist()).p
        ps.append("undefined" if p is None else f"{float(p):.2g}")
    margins = listed([f"{margin:.2f}" for margin in MARGINS])
    return f"With margins of {margins} the p of smallest counts by the papers' rule is {listed(ps)}."


def _together(study: Study) -> str:
    """What is left of the smallest counts if all their intervals are to hold at once (Bonferroni)."""
    answer, rule = minimum_images(study), Rule.of(study.config)
    networks, shown = int(answer["at_least"].notna().sum()), int(answer["minimum_images"].notna().sum())
    if not 2 <= networks <= MOST_TOGETHER or not shown:
        return ""
    compared = sum(len(tried.split(",")) for tried in answer.loc[answer["at_least"].notna(), "tried"])
    level = 1 - (1 - rule.level) / compared
    config = study.config | {"minimum": (study.config.get("minimum") or {}) | {"level": level}}
    left = int(minimum_images(replace(study, config=config))["minimum_images"].notna().sum())
    return (
        f"Each interval is at {percent(rule.level)} by itself. To hold for all {compared} counts of {networks} "
        f"networks at once each would be at {100 * level:.4g} %: of {shown} networks with a count that is "
        f"shown to suffice {left} would still have one."
    )
