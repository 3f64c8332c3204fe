"""How much each searched setting mattered, by method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from analysis.figures.parts.facets import keyed
from analysis.figures.parts.spec import FigureSpec
from analysis.figures.parts.theme import FAINT, PALETTE, figure, hover, plain
from analysis.records.records import Study
from analysis.stats.importance import BEST, FEWEST
from analysis.stats.minimum import percent
from analysis.stats.searched import searched_settings, setting_word
from analysis.text.words import number


def importance_frame(study: Study) -> pd.DataFrame:
    """The rows of `searched_settings` about all networks of a method, and `label`, its setting in words; empty where
    all methods have too few trials."""
    frame = searched_settings(study)
    frame = frame[frame["third"].eq(0)]
    labels = [study.method(name)["label"] for name in frame["method"]]
    several = frame["method"].nunique() > 1
    words = map(setting_word, frame["setting"])
    frame = frame.assign(
        label=[f"{word}, {label}" if several else word for word, label in zip(words, labels, strict=True)]
    )
    return frame if frame["importance"].notna().any() else frame[:0]


def importance_figure(frame: pd.DataFrame) -> go.Figure:
    """A point a setting with its interval, hollow where it is not told from chance; words where trials are too few."""
    names, most = [plain(label) for label in frame["label"]][::-1], max(0.3, frame["importance_high"].max())
    drawn = figure(
        xaxis={"title": {"text": "importance"}, "range": [-0.02 * most, 1.05 * most]},
        yaxis={"type": "category", "categoryorder": "array", "categoryarray": names, "range": [-0.6, len(names) - 0.4]},
        height=110 + 44 * len(names),
        showlegend=False,
    )
    for row in frame.to_dict("records"):
        if pd.isna(row["importance"]):
            words = f"too few trials to say ({row['trials']} of {FEWEST})"
            at = {"x": 0, "y": plain(row["label"]), "xanchor": "left"}
            drawn.add_annotation(text=words, showarrow=False, font={"color": FAINT}, **at)
    found = frame[frame["importance"].notna()]
    value, low, high = (found[f"importance{end}"] for end in ("", "_low", "_high"))
    bars = {"array": (high - value).clip(lower=0).tolist(), "arrayminus": (value - low).clip(lower=0).tolist()}
    return drawn.add_trace(
        go.Scatter(
            mode="markers",
            x=value.tolist(),
            y=[plain(label) for label in found["label"]],
            error_x=bars | {"thickness": 1.5, "width": 5},
            marker={
                "size": 13,
                "color": PALETTE[0],
                "symbol": ["circle" if told else "circle-open" for told in found["told"]],
            },
            hovertext=[_hover(row) for row in found.to_dict("records")],
            hoverinfo="text",
            meta=keyed(found[["method"]]),
        )
    )


def _hover(row: Mapping[Any, Any]) -> str:
    value, low, high = (number(row[f"importance{end}"], 2) for end in ("", "_low", "_high"))
    return hover(
        row["label"],
        importance=f"{value} ({low} to {high})",
        by_chance_alone=f"p = {number(row['p'], 3)}",
        trials=f"{row['trials']}, {row['best']} of them best",
    )


def _caption(study: Study) -> str:
    return (
        f"Which settings are worth a search. Of what makes a search trial one of the best {percent(BEST)} of its own "
        "cell, the share that the setting explains alone, without what chance gives (PED-ANOVA; 0 is nothing, 1 all), "
        "on validation patients. Lines: 95 % intervals. Hollow: not told from chance."
    )


FIGURE = FigureSpec(
    name="importance",
    title="Which settings matter",
    frame=importance_frame,
    draw=importance_figure,
    caption=_caption,
)
