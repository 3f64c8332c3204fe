"""Test score of each method against the core seconds that a trial of it took."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from analysis.figures.methods import methods_frame
from analysis.figures.parts.scores import hm_hover, score_axis, score_points, seed_bars
from analysis.figures.parts.spec import FigureSpec
from analysis.figures.parts.theme import figure, log_axis, look
from analysis.records.records import Study


def cost_frame(study: Study) -> pd.DataFrame:
    """The rows of `methods_frame` whose core seconds are known; empty where the study has one method only."""
    frame = methods_frame(study)
    return frame[frame["core_seconds"].gt(0) & frame["hm"].notna()]


def cost_figure(frame: pd.DataFrame) -> go.Figure:
    """Mean test score against core seconds, a colour a method and a symbol a network."""
    seconds = log_axis("core seconds of a trial", frame["core_seconds"].astype(float), _seconds)
    drawn = figure(xaxis=seconds, yaxis=score_axis(frame))
    networks = {name: place for place, name in enumerate(frame["backbone"].unique())}
    for place, (method, rows) in enumerate(frame.groupby("method", sort=False)):
        at = {"x": rows["core_seconds"].round(2).tolist(), "y": rows["hm"].tolist()}
        symbols = [look(place, networks[name])["marker"]["symbol"] for name in rows["backbone"]]
        marker = look(place, 0)["marker"] | {"symbol": symbols}
        drawn.add_trace(score_points(rows, method, hm_hover, **at, error_y=seed_bars(rows), marker=marker))
    return drawn


def _seconds(value: float) -> str:
    return f"{value:g} s"


FIGURE = FigureSpec(
    name="cost",
    title="{score} by what a trial costs",
    frame=cost_frame,
    draw=cost_figure,
    caption=lambda _: (
        "What a trial reaches on test patients, and what it costs; means over seeds. Core seconds are processor time "
        "of all threads, scoring included; experts count for the trial that made them."
    ),
)
