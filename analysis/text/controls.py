"""Whether distilled images beat real ones of the same number: the sentence that every table of methods owes."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from analysis.records.cell_means import cell_means
from analysis.records.controls import are_controls
from analysis.records.records import Study, score_word
from analysis.text.words import images_word, listed, number
from ledger.schema import SETTING

_ALIKE = ["backbone", "images", *(name for name in SETTING if name not in ("method", "distill_epochs", "label_init"))]
"""What cells have in common that are held against each other."""


def not_beaten(study: Study) -> pd.DataFrame:
    """One row a cell that does no better than the best of real images in the same setting: columns of `cell_means`,
    `control` (its method) and `control_hm`."""
    means = cell_means(study)
    means = means[means["hm"].notna()]
    control = are_controls(study, means["method"])
    best = means[control].sort_values("hm").drop_duplicates(_ALIKE, keep="last")
    best = best[[*_ALIKE, "method", "hm"]].rename(columns={"method": "control", "hm": "control_hm"})
    beside = means[~control].merge(best, on=_ALIKE, how="inner")
    return beside[beside["hm"] <= beside["control_hm"]]


def control_sentences(study: Study) -> Iterator[str]:
    """A sentence on each method that does not beat real images somewhere; one that there are none to hold it against,
    where a study has several methods."""
    means = cell_means(study)
    if means["method"].nunique() < 2:
        return
    labels = {str(name): study.method(str(name))["label"] for name in means["method"].unique()}
    if not any(study.method(name)["control"] for name in labels):
        yield "No real images beside them (grid.method=random_real, herding): what distilling adds is not shown."
        return
    for name, rows in not_beaten(study).groupby("method", sort=False):
        where = []
        for _, row in rows.iterrows():
            against = f"{number(row['hm'], 2)} against {number(row['control_hm'], 2)} of {labels[row['control']]}"
            where.append(f"{images_word(row['images'])} on {row['backbone']} ({against})")
        yield f"{labels[str(name)]} does not beat real images in {score_word(study.records)}: {listed(where)}."
