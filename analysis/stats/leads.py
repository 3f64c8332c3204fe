"""What else goes along with the smallest count: traits of networks at their start, and how well they learn at all.

Traits are those that `study.yaml` has of each network (`networks`), measured before anything is learned. Every network
counts once, with what is shown of its smallest count, among the counts that all were offered. These are leads: many
traits are looked at, all of the same few networks, and none was varied by itself.
"""

from __future__ import annotations

import math

import pandas as pd

from analysis.records.cell_means import settings_apart
from analysis.records.records import Study, score_word
from analysis.stats.minimum import compared_minimum, judged, known_points, shown_points
from analysis.stats.ranks.partial import partial_spearman
from ledger.families import family

TRAITS = {
    "depth": "depth: layers of weights in a row",
    "width": "width: outputs of a layer",
    "receptive_field": "receptive field: share of the input",
    "batch_norm": "batch norm: share of its norms",
    "linearity": "linearity at the start",
    "steepness": "steepness at the start",
}
"""Of `study.yaml`, in words."""
SCHEMA = {
    "trait": "string",
    "label": "string",
    "networks": "Int64",
    "families": "Int64",
    "alone": "float64",
    "value": "float64",
    "low": "float64",
    "high": "float64",
}


def network_traits(study: Study) -> pd.DataFrame:
    """A row a network of `compared_minimum` of which something is known: backbone, parameters, `lower`, `upper`, a
    column a trait, and `trained`, the score of its ordinary training. Empty where settings are compared, each of which
    would have an answer of its own, no count is held against ordinary training, or the study has no traits."""
    answer = compared_minimum(study)
    measured = pd.DataFrame([each for each in study.networks if isinstance(each.get("backbone"), str)])
    if answer.empty or measured.empty or not judged(answer) or settings_apart(answer).nunique() > 1:
        return pd.DataFrame(columns=["backbone", "parameters", "lower", "upper", *TRAITS, "trained"])
    measured = measured.reindex(columns=["backbone", *TRAITS]).drop_duplicates("backbone")
    measured[list(TRAITS)] = measured[list(TRAITS)].apply(pd.to_numeric, errors="coerce")
    points = shown_points(answer).assign(trained=answer["trained_hm"].astype("float64"))
    return known_points(points).drop(columns="reason").merge(measured, on="backbone", how="left")


def leads(study: Study) -> pd.DataFrame:
    """A row a trait: its rank correlation with the smallest count, `alone` and given parameters (`value`, with the
    interval `low` to `high`, NaN where it is not known); by how far that is from zero. Empty where there are too few
    networks."""
    points = network_traits(study)
    families = points["backbone"].astype(str).map(family).tolist()
    sizes, lower, upper = (points[name] for name in ("parameters", "lower", "upper"))
    words = TRAITS | {"trained": f"{score_word(study.records)} of ordinary training"}
    rows = []
    for trait, label in words.items():
        found = partial_spearman(points[trait], sizes, lower, upper, families)
        if found is not None:
            rows.append({"trait": trait, "label": label} | vars(found))
    frame = pd.DataFrame(rows, columns=list(SCHEMA)).astype(SCHEMA)
    return frame.sort_values("value", key=abs, ascending=False, kind="stable").reset_index(drop=True)


def interval_words(low: float, high: float) -> str:
    """The interval of a row of `leads`."""
    return "not known" if math.isnan(low) else f"{low:+.2f} to {high:+.2f}"
