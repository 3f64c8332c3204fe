"""HM against epsilon, over studies that differ in their noise."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from analysis.figures.parts.facets import FACETS
from analysis.figures.parts.scores import score_points
from analysis.figures.parts.spec import FigureSpec
from analysis.figures.parts.theme import figure, hover, log_axis, look, plain
from analysis.records.cell_means import confirm_rows, distilled, setting_labels
from analysis.records.records import Study
from analysis.text.words import images_word, number

COLUMNS = ["study", "label", "epsilon", "delta", "hm", "hm_low", "hm_high", "seeds"]


def hm_by_epsilon_frame(studies: Sequence[Study]) -> pd.DataFrame:
    """One row a study and distilled cell, over its confirm trials: epsilon (missing where it is not private), the delta
    that epsilon goes with, test HM (mean, lowest and highest), and its place on the axes of the grid. `label` names
    what is compared along epsilon. Empty where none of the studies is private."""
    rows = []
    for study in studies:
        confirmed = distilled(confirm_rows(study.records))
        settings = setting_labels(confirmed)
        for _, trials in confirmed.groupby("cell", sort=False):
            first = trials.iloc[0]
            parts = [first["backbone"], images_word(first["images"]), settings[trials.index[0]]]
            hm = trials["test_hm"]
            label = ", ".join(filter(None, parts))
            delta = (study.config.get("privacy") or {}).get("delta")
            spent = (trials["epsilon"].max(), delta)
            place = [first.get(name) for name in FACETS]
            rows.append((study.name, label, *spent, hm.mean(), hm.min(), hm.max(), len(trials), *place))
    frame = pd.DataFrame(rows, columns=[*COLUMNS, *FACETS])
    frame = frame.astype({"epsilon": "float64", "delta": "float64", "hm": "float64"})
    return frame if frame["epsilon"].notna().any() else frame.iloc[:0]


def hm_by_epsilon_figure(frame: pd.DataFrame) -> go.Figure:
    """Mean test HM against epsilon, a line a label, bars to the lowest and highest seed; dotted without privacy."""
    private = frame[frame["epsilon"].notna()].sort_values("epsilon", kind="stable")
    drawn = figure(
        xaxis=log_axis(
            "epsilon of a package (smaller is more private)", private["epsilon"], lambda value: f"{value:g}"
        ),
        yaxis={"title": {"text": "HM on test patients"}, "range": [0, 1.03]},
    )
    for place, (label, rows) in enumerate(frame.groupby("label", sort=False)):
        line = private[private["label"] == label]
        bars = {
            "array": (line["hm_high"] - line["hm"]).tolist(),
            "arrayminus": (line["hm"] - line["hm_low"]).tolist(),
        }
        at = {"x": line["epsilon"].tolist(), "y": line["hm"].tolist(), "error_y": bars}
        drawn.add_trace(score_points(line, label, _hover, mode="lines+markers", **at, **look(place)))
        for hm in rows.loc[rows["epsilon"].isna(), "hm"]:
            drawn.add_hline(y=float(hm), line={"dash": "dot"}, annotation={"text": plain(f"{label}, not private")})
    return drawn


def _hover(row: pd.Series) -> str:
    return hover(row["study"], HM=number(row["hm"]), epsilon=number(row["epsilon"]), delta=f"{row['delta']:g}")


FIGURE = FigureSpec(
    name="epsilon",
    title="What privacy costs",
    frame=hm_by_epsilon_frame,
    draw=hm_by_epsilon_figure,
    caption=lambda _: (
        "Mean test HM of a study's confirm trials, bars from the lowest to the highest seed, against the largest "
        "epsilon of one of its packages. Epsilon covers the distillation of one package, not the search before it nor "
        "validation patients."
    ),
)
