"""Distilled images beside what they are measured against: ordinary training, hard labels, real patches.

As in `figures`, two functions: one returns numbers, one draws them.
"""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from analysis.figures.facets import keyed
from analysis.figures.hm import hm_hover, score_axis
from analysis.figures.theme import INK, figure, look, plain
from analysis.records.cell_means import cell_means, setting_labels, training_means
from analysis.records.records import Study
from analysis.text.words import images_word

_WORDS = {"sldd": "SLDD", "dd": "DD", "random_real": "random real patches"}


def methods_frame(study: Study) -> pd.DataFrame:
    """One row a confirmed cell, columns of `cell_means`, and `series`: its method, image count and whatever else of the
    setting differs among cells of that method. Empty where the study has one method only."""
    parts = []
    for means in (cell_means(study), training_means(study)):
        for method, rows in means.groupby("method", sort=False):
            words = [_WORDS.get(str(method), "")] * len(rows)
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
        bars = {"array": rows["hm_high"] - rows["hm"], "arrayminus": rows["hm"] - rows["hm_low"]}
        marker = look(place, place // 7)["marker"]
        if rows["images"].isna().all():
            marker = marker | {"symbol": "x-thin-open", "size": 13, "color": INK}
        drawn.add_trace(
            go.Scatter(
                x=rows["hm"].tolist(),
                y=[plain(name) for name in rows["backbone"]],
                error_x={name: bar.clip(lower=0).tolist() for name, bar in bars.items()}
                | {"thickness": 1.2, "width": 4},
                mode="markers",
                marker=marker,
                name=plain(series),
                hovertext=[hm_hover(row) for _, row in rows.iterrows()],
                hoverinfo="text",
                meta=keyed(rows),
            )
        )
    return drawn
