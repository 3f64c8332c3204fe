"""Test score of each method against the core seconds that a trial of it took."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from analysis.figures.methods import methods_frame
from analysis.figures.parts.scores import hm_hover, score_axis, score_points, seed_bars
from analysis.figures.parts.spec import FigureSpec
from analysis.figures.parts.theme import figure, log_axis, look, symbol_legend, symbols_of
from analysis.records.records import Study
from analysis.text.words import images_word


def cost_frame(study: Study) -> pd.DataFrame:
    """The rows of `methods_frame` whose core seconds are known, with `label`, their method in words; empty where the
    study has one method only."""
    frame = methods_frame(study)
    frame = frame[frame["core_seconds"].gt(0) & frame["hm"].notna()]
    trained = frame["images"].isna()
    labels = frame["method"].map(lambda name: study.method(str(name))["label"])
    return frame.assign(label=labels.mask(trained, images_word(None)))


def cost_figure(frame: pd.DataFrame) -> go.Figure:
    """Mean test score against core seconds, a colour a method and a symbol a network, as far as symbols go."""
    seconds = log_axis("core seconds of a trial", frame["core_seconds"].astype(float), _seconds)
    drawn = figure(xaxis=seconds, yaxis=score_axis(frame))
    symbols = symbols_of(frame.sort_values("parameters", kind="stable")["backbone"])
    for place, (method, rows) in enumerate(frame.groupby("label", sort=False)):
        at = {"x": rows["core_seconds"].round(2).tolist(), "y": rows["hm"].tolist()}
        marker = look(place, 0)["marker"] | {"symbol": [symbols[name] for name in rows["backbone"]]}
        drawn.add_trace(score_points(rows, method, hm_hover, **at, error_y=seed_bars(rows), marker=marker))
    return drawn.add_traces(symbol_legend(symbols))


def _seconds(value: float) -> str:
    return f"{value:g} s"


FIGURE = FigureSpec(
    name="cost",
    title="{score} by what a trial costs",
    frame=cost_frame,
    draw=cost_figure,
    caption=lambda _: (
        "What a trial reaches on test patients, and what it costs; means over seeds. Core seconds are processor time "
        "of all threads, scoring included; what several trials share counts for the one that made it."
    ),
)
