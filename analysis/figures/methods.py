"""HM of distilled images beside the controls: ordinary training, hard labels, real patches."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from analysis.figures.parts.scores import TRAINED, hm_hover, score_axis, score_points, seed_bars, seeds_caption
from analysis.figures.parts.spec import FigureSpec
from analysis.figures.parts.theme import figure, look, plain
from analysis.records.cell_means import cell_means, setting_labels, training_means
from analysis.records.records import Study
from analysis.text.controls import control_sentences
from analysis.text.words import images_word


def methods_frame(study: Study) -> pd.DataFrame:
    """One row a confirmed cell, columns of `cell_means`, and `series`: its method, image count and whatever else of the
    setting differs among cells of that method. Empty where the study has one method only."""
    parts = []
    for means in (cell_means(study), training_means(study)):
        for method, rows in means.groupby("method", sort=False):
            label = study.method(str(method))["label"] if rows["images"].notna().any() else ""
            words = [label] * len(rows)
            counts = [images_word(count) for count in rows["images"]]
            settings = setting_labels(rows)
            series = [", ".join(filter(None, parts)) for parts in zip(words, counts, settings, strict=True)]
            parts.append(rows.assign(series=series))
    frame = pd.concat(parts, ignore_index=True) if parts else cell_means(study).assign(series="")
    return frame if frame["method"].nunique() > 1 else frame.iloc[:0]


def methods_figure(frame: pd.DataFrame) -> go.Figure:
    """Mean test HM, a row a network (the smallest at the bottom) and a symbol a series; bars from the lowest to the
    highest seed."""
    frame = frame.sort_values("parameters", kind="stable")
    names = [plain(name) for name in frame["backbone"].unique()]
    drawn = figure(
        xaxis=score_axis(frame),
        yaxis={"type": "category", "categoryorder": "array", "categoryarray": names, "range": [-0.6, len(names) - 0.4]},
        height=180 + 70 * len(names),
    )
    for place, (series, rows) in enumerate(frame.sort_values("images", kind="stable").groupby("series", sort=False)):
        at = {"x": rows["hm"].tolist(), "y": [plain(name) for name in rows["backbone"]]}
        bars = seed_bars(rows) | {"thickness": 1.2, "width": 4}
        marker = look(place, place // 7)["marker"] | (TRAINED if rows["images"].isna().all() else {})
        drawn.add_trace(score_points(rows, series, hm_hover, **at, error_x=bars, marker=marker))
    return drawn


FIGURE = FigureSpec(
    name="methods",
    title="Beside ordinary training and other methods",
    frame=methods_frame,
    draw=methods_figure,
    caption=lambda study: " ".join([seeds_caption(study), *control_sentences(study)]),
    wide=True,
)
