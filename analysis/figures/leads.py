"""What else goes along with the smallest count, once the parameters are taken out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from analysis.figures.parts.spec import FigureSpec, Table
from analysis.figures.parts.theme import FAINT, PALETTE, figure, hover, plain
from analysis.records.records import Study
from analysis.stats.leads import interval_words, leads
from analysis.stats.minimum import percent
from analysis.stats.ranks.partial import LEVEL


def leads_figure(frame: pd.DataFrame) -> go.Figure:
    """A point a trait with its interval, hollow where that holds zero; a cross without taking the size out."""
    names = [plain(label) for label in frame["label"]][::-1]
    drawn = figure(
        xaxis={"title": {"text": "rank correlation with the smallest count, given parameters"}, "range": [-1.05, 1.05]},
        yaxis={"type": "category", "categoryorder": "array", "categoryarray": names, "range": [-0.6, len(names) - 0.4]},
        height=140 + 38 * len(names),
    )
    value, low, high = frame["value"], frame["low"], frame["high"]
    drawn.add_vline(x=0, line={"width": 1, "color": FAINT})
    drawn.add_trace(
        go.Scatter(
            mode="markers",
            name="whatever the size",
            x=frame["alone"].tolist(),
            y=[plain(label) for label in frame["label"]],
            marker={"symbol": "x-thin", "size": 9, "color": FAINT, "line": {"width": 2, "color": FAINT}},
            hoverinfo="skip",
        )
    )
    return drawn.add_trace(
        go.Scatter(
            mode="markers",
            name="given parameters",
            x=value.tolist(),
            y=[plain(label) for label in frame["label"]],
            error_x={
                "array": (high - value).tolist(),
                "arrayminus": (value - low).tolist(),
                "thickness": 1.5,
                "width": 5,
            },
            marker={
                "size": 13,
                "color": PALETTE[0],
                "symbol": ["circle" if a > 0 or b < 0 else "circle-open" for a, b in zip(low, high, strict=True)],
            },
            hovertext=[_hover(row) for row in frame.to_dict("records")],
            hoverinfo="text",
        )
    )


def _hover(row: Mapping[Any, Any]) -> str:
    return hover(
        row["label"],
        given_parameters=f"{row['value']:+.2f} ({interval_words(row['low'], row['high'])})",
        whatever_the_size=f"{row['alone']:+.2f}",
        networks=f"{row['networks']} of {row['families']} families",
    )


def _table(frame: pd.DataFrame) -> Table:
    headings = ["trait", "given parameters", f"{percent(LEVEL)} interval", "whatever the size", "networks"]
    return headings, [
        [
            row["label"],
            f"{row['value']:+.2f}",
            interval_words(row["low"], row["high"]),
            f"{row['alone']:+.2f}",
            str(row["networks"]),
        ]
        for row in frame.to_dict("records")
    ]


def _caption(study: Study) -> str:
    return (
        "Leads for a next study, not findings: whether networks of one size that are deeper, wider, more linear (...) "
        "need more images (right of zero) or fewer. Partial rank correlations given parameters with 95 % intervals, "
        "families kept together; hollow where zero is within, or where a perfect order leaves no interval. Several "
        "traits are looked at, so that one of them may be off zero by chance, and they go along with each other. All "
        "are measured on one batch before anything is learned, but for ordinary training's score."
    )


FIGURE = FigureSpec(
    name="leads",
    title="What else goes along with the count",
    frame=leads,
    draw=leads_figure,
    caption=_caption,
    table=_table,
)
