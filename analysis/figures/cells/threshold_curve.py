"""HM against the threshold delta, of one confirm trial a cell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from analysis.figures.parts.spec import FigureSpec
from analysis.figures.parts.theme import INK, PALETTE, figure, hover
from analysis.records.cell_means import confirm_rows, distilled, setting_labels
from analysis.records.patient_runs import PAPER_DELTA
from analysis.records.records import Study
from analysis.records.runs import folds_of
from analysis.text.words import images_word, number, protocol_mark
from ledger.schema import SETTING

SPLITS = {"validation": PALETTE[0], "test": PALETTE[1]}
CURVE_COLUMNS = ["trial", "cell", "label", "split", "kind", "delta", "hm"]


def shown_trials(study: Study) -> pd.DataFrame:
    """The confirm trial that stands for its cell where only one can be shown: the done one with the lowest index.

    Columns of `records`, and `label`: backbone, image count and whatever of the setting differs in the study. Cells
    that differ in nothing but their fold are shown once, by the first fold that is done; the label says which.
    """
    rows, folds = confirm_rows(study.records).drop_duplicates("cell"), folds_of(study)
    if folds is not None:
        first = rows.sort_values("fold", kind="stable").drop_duplicates([*SETTING, "backbone", "images"])
        rows = rows.loc[first.index.sort_values()]
    trained = rows.drop(index=distilled(rows).index)
    settings = pd.concat([setting_labels(part) for part in (distilled(rows), trained)]).reindex(rows.index)
    names = rows["backbone"] + " · " + rows["images"].map(images_word).astype("string")
    labels = names.where(settings == "", names + " · " + settings)
    if folds is not None:
        fold = " · fold " + (rows["fold"] + 1).astype("string") + f" of {folds}"
        labels += fold.fillna("")
    return rows.assign(label=labels)


def hm_by_delta_frame(study: Study) -> pd.DataFrame:
    """HM at every threshold, one row a point: trial, cell, label, split (`validation`, `test`), kind, delta, hm.

    `kind` is `curve` for the steps of HM(delta): hm holds for thresholds up to and including delta, down to the
    point before. The other kinds are one marked point a split: `chosen` (on validation patients), `papers` (0.4) and
    `best` (the curve's maximum, which on test patients is hindsight).
    """
    rows: list[tuple[Any, ...]] = []
    for _, trial in shown_trials(study).iterrows():
        result = study.result(trial["trial"])
        # Under the papers' protocol there are no validation patients: what was chosen was chosen on the test patients.
        for split in ["test"] if trial["protocol"] == "paper" else SPLITS:
            key = (trial["trial"], trial["cell"], trial["label"], split)
            try:
                points = list(_points(result.get(split), trial["delta"]))
            except (TypeError, ValueError, OverflowError, AttributeError):
                continue  # a damaged result costs its own curve, not the page
            fixed = trial["protocol"] == "paper"
            rows += [(*key, *point) for point in points if not (fixed and point[0] == "chosen")]
    return pd.DataFrame(rows, columns=CURVE_COLUMNS).astype({"delta": "float64", "hm": "float64"})


def _points(split: Any, chosen: float) -> Iterator[tuple[str, float, float]]:
    if not isinstance(split, dict):
        return
    curve = split.get("curve") or {}
    steps = [
        (float(delta), float(hm))
        for delta, hm in zip(curve.get("delta") or [], curve.get("hm") or [], strict=False)
        if delta is not None and hm is not None
    ]
    yield from (("curve", delta, hm) for delta, hm in steps)
    if split.get("hm") is not None and pd.notna(chosen):
        yield "chosen", float(chosen), float(split["hm"])
    if split.get("hm_at_0.4") is not None:
        yield "papers", PAPER_DELTA, float(split["hm_at_0.4"])
    if steps:
        yield "best", *max(steps, key=lambda step: step[1])


def hm_by_delta_figure(frame: pd.DataFrame) -> go.Figure:
    """HM(delta) on validation and on test patients of one cell, the rows of `hm_by_delta_frame` that are about it."""
    drawn = figure(
        xaxis={"title": {"text": "threshold δ"}, "range": [-0.02, 1.02]},
        yaxis={"title": {"text": "HM"}, "range": [0, 1.03]},
    )
    return drawn.add_traces(list(_curve_traces(frame)))


def _curve_traces(cell: pd.DataFrame) -> Iterator[go.Scatter]:
    marks = {
        "chosen": ("δ chosen on validation patients", "star", 17),
        "papers": ("δ = 0.4, as in the papers", "diamond", 12),
        "best": ("best δ of each curve", "circle-open", 17),
    }
    for split, colour in SPLITS.items():
        steps = cell[(cell["split"] == split) & (cell["kind"] == "curve")]
        if steps.empty:
            continue
        yield go.Scatter(
            x=steps["delta"].tolist(),
            y=steps["hm"].tolist(),
            mode="lines",
            # hm[k] holds on (delta[k-1], delta[k]]: up first, then along.
            line={"color": colour, "width": 2.5, "shape": "vh", "dash": "solid" if split == "test" else "dot"},
            name=f"{split} patients",
            hovertemplate="δ ≤ %{x:.3f}: HM %{y:.3f}<extra></extra>",
        )
    for kind, (name, symbol, size) in marks.items():
        points = cell[cell["kind"] == kind]
        if points.empty:
            continue
        colours = points["split"].map(SPLITS).tolist()
        yield go.Scatter(
            x=points["delta"].tolist(),
            y=points["hm"].tolist(),
            mode="markers",
            name=name,
            # One trace for both curves, so one entry in the legend; each point wears its curve's colour.
            marker={"symbol": symbol, "size": size, "color": colours, "line": {"width": 1.5, "color": INK}},
            hovertext=[
                hover(f"{name}, {row['split']} patients", δ=number(row["delta"]), HM=number(row["hm"]))
                for _, row in points.iterrows()
            ],
            hoverinfo="text",
        )


def _caption(study: Study) -> str:
    fixed = bool(protocol_mark(study))
    chosen = (
        "δ was fixed at 0.4 and the state chosen on test patients" if fixed else "δ was chosen on validation patients"
    )
    return (
        "HM by the threshold δ: the share of a patient's patches that must be positive for the patient to be. Of the "
        f"cell's first confirm trial. {chosen}; the best δ on test patients is hindsight, used nowhere."
    )


FIGURE = FigureSpec(
    name="hm-by-delta",
    title="One cell, looked into",
    frame=hm_by_delta_frame,
    draw=hm_by_delta_figure,
    caption=_caption,
    when=lambda study: study.task.cell_figure == "hm-by-delta",
)
