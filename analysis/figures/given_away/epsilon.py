"""Test score against epsilon, over studies that differ in their noise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from analysis.figures.parts.facets import FACETS
from analysis.figures.parts.scores import score_points
from analysis.figures.parts.spec import FigureSpec
from analysis.figures.parts.theme import figure, hover, log_axis, look, plain
from analysis.records.cell_means import distilled, run_rows, setting_labels
from analysis.records.records import Study, score, score_word
from analysis.text.words import images_word, number
from ledger.schema import SETTING

COLUMNS = ["study", "label", "epsilon", "delta", "hm", "hm_low", "hm_high", "seeds"]


def hm_by_epsilon_frame(studies: Sequence[Study]) -> pd.DataFrame:
    """One row a study and distilled cell, over its runs: epsilon, the largest of one of their packages (missing where
    none is private), the delta that it goes with, the test score (`hm`: mean, lowest and highest seed), and its place
    on the axes of the grid. `label` names what is compared along epsilon, `score` what `hm` is of. Empty where none of
    the studies is private."""
    rows = [row for study in studies for row in _rows(study)]
    frame = pd.DataFrame(rows, columns=[*COLUMNS, "score", *FACETS])
    frame = frame.astype(dict.fromkeys(("epsilon", "delta", "hm", "hm_low", "hm_high"), "float64"))
    return frame if frame["epsilon"].notna().any() else frame.iloc[:0]


def _rows(study: Study) -> Iterator[dict[str, Any]]:
    runs = distilled(run_rows(study))
    runs = runs.assign(hm=score(runs, "test").astype("float64"), setting=setting_labels(runs))
    spent = study.records.set_index("trial")["epsilon"]  # of a trial: a run that is pooled over folds has several
    told = {"study": study.name, "delta": (study.config.get("privacy") or {}).get("delta"), "score": score_word(runs)}
    for _, seeds in runs.groupby([*SETTING, "backbone", "images"], sort=False, dropna=False):
        first, hm = seeds.iloc[0], seeds["hm"]
        label = ", ".join(filter(None, [first["backbone"], images_word(first["images"]), first["setting"]]))
        known = {"label": label, "epsilon": spent.loc[[name for each in seeds["trials"] for name in each]].max()}
        known |= {"hm": hm.mean(), "hm_low": hm.min(), "hm_high": hm.max(), "seeds": len(seeds)}
        yield told | known | {name: first.get(name) for name in FACETS}


def hm_by_epsilon_figure(frame: pd.DataFrame) -> go.Figure:
    """Mean test score against epsilon, a line a label, bars to the lowest and highest seed; dotted without privacy."""
    private = frame[frame["epsilon"].notna()].sort_values("epsilon", kind="stable")
    scores = frame["score"].unique()
    drawn = figure(
        xaxis=log_axis(
            "epsilon of a package (smaller is more private)", private["epsilon"], lambda value: f"{value:g}"
        ),
        yaxis={
            "title": {"text": f"{scores[0] if len(scores) == 1 else 'score'} on test patients"},
            "range": [0, 1.03],
        },
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
    spent = {"epsilon": number(row["epsilon"]), "delta": f"{row['delta']:g}"}
    return hover(row["study"], **{row["score"]: number(row["hm"])}, **spent)


FIGURE = FigureSpec(
    name="epsilon",
    title="What privacy costs",
    frame=hm_by_epsilon_frame,
    draw=hm_by_epsilon_figure,
    caption=lambda _: (
        "Mean test score over a study's seeds, each of all its test patients, bars from the lowest to the highest "
        "seed, against the largest epsilon of one of its packages. Epsilon covers the distillation of one package, not "
        "the search before it nor validation patients."
    ),
)
