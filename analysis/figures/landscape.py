"""Scores that the shared model of a study expects over the rates, of networks from the smallest to the largest."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from analysis.figures.parts.facets import keyed
from analysis.figures.parts.spec import FigureSpec
from analysis.figures.parts.theme import INK, figure, hover, log_axis, plain
from analysis.figures.search import SCALE, search_frame
from analysis.records.records import Study
from analysis.text.words import chosen_on, number, parameters_word
from ledger.trial_files import LANDSCAPE, read_json

PANELS = 3
COLUMNS = ["cell", "backbone", "images", "parameters", "outer_lr", "inner_lr", "score", "what"]


def landscape_frame(study: Study) -> pd.DataFrame:
    """A row a point of a network's landscape (`what` is `expected`), one of each of its search trials (`tried`), and
    one of the setting that it confirmed (`confirmed`), whose scores are missing; of `PANELS` networks at most, evenly
    spread by parameters, each at the image count of which the search tried most."""
    found = (read_json(study.folder / LANDSCAPE) or {}).get("cells")
    cells: dict[str, Any] = found if isinstance(found, dict) else {}
    trials = search_frame(study)
    trials = trials[trials["cell"].isin(list(cells))]
    most = trials.groupby("cell").agg(
        trials=("trial", "size"), backbone=("backbone", "first"), size=("parameters", "first")
    )
    most = most.sort_values(["size", "backbone", "trials"]).groupby("backbone", sort=False).tail(1).reset_index()
    last = len(most) - 1
    places = {round(last * panel / (PANELS - 1)) for panel in range(PANELS)} if last >= 0 else set()
    rows: list[dict[str, Any]] = []
    for cell in most["cell"].iloc[sorted(places)]:
        own = trials[trials["cell"].eq(cell)]
        facts = {name: own[name].iloc[0] for name in ("cell", "backbone", "images", "parameters")}
        points = _points(cells[cell])
        if not points:
            continue
        rows += [facts | point for point in points]
        confirmed = study.records[study.records["cell"].eq(cell) & study.records["phase"].eq("confirm")]
        for what, some in (("tried", own), ("confirmed", confirmed[-1:])):
            rates = zip(some["outer_lr"], some["inner_lr"], strict=True)
            rows += [
                facts | {"outer_lr": outer, "inner_lr": inner, "score": math.nan, "what": what}
                for outer, inner in rates
            ]
    return pd.DataFrame(rows, columns=COLUMNS)


def _points(landscape: Any) -> list[dict[str, Any]]:
    try:
        across, up, scores = (landscape[name] for name in ("outer_lr", "inner_lr", "score"))
        return [
            {"outer_lr": float(outer), "inner_lr": float(inner), "score": float(score), "what": "expected"}
            for inner, row in zip(up, scores, strict=True)
            for outer, score in zip(across, row, strict=True)
        ]
    except (TypeError, KeyError, ValueError):
        return []  # a damaged file costs its figure, not the page


def landscape_figure(frame: pd.DataFrame) -> go.Figure:
    """A map a network, the smallest on top, on the same axes and colours: dots where the search tried, a star where it
    confirmed."""
    expected = frame[frame["what"].eq("expected")]
    panels = list(expected.groupby("cell", sort=False))
    height = 1 / max(1, len(panels))
    drawn = figure(
        coloraxis={
            "colorscale": SCALE,
            "colorbar": {"title": {"text": "expected<br>score"}, "thickness": 12, "outlinewidth": 0},
        },
        xaxis=log_axis("outer rate", expected["outer_lr"], "{:g}".format, room=0) | {"anchor": f"y{len(panels)}"},
        showlegend=False,
        height=90 + 210 * len(panels),
    )
    for place, (cell, rows) in enumerate(panels):
        bottom = 1 - (place + 1) * height
        up = log_axis("inner rates' start", rows["inner_lr"], "{:g}".format, room=0)
        drawn.update_layout({f"yaxis{place + 1}": up | {"domain": [bottom, bottom + height * 0.86]}})
        size = parameters_word(rows["parameters"].iloc[0])
        drawn.add_annotation(
            text=f"<b>{plain(rows['backbone'].iloc[0])}</b>, {size}",
            x=0, xref="paper", xanchor="left", y=bottom + height * 0.87, yref="paper", yanchor="bottom",
            showarrow=False,
        )  # fmt: skip
        table = rows.pivot(index="inner_lr", columns="outer_lr", values="score")
        drawn.add_trace(
            go.Contour(
                x=table.columns.tolist(),
                y=table.index.tolist(),
                z=table.to_numpy().round(4).tolist(),
                coloraxis="coloraxis",
                contours={"coloring": "heatmap"},
                line={"width": 0.5, "color": INK},
                hovertemplate="outer rate %{x:.3g}<br>inner rates' start %{y:.3g}<br>expected %{z:.3f}<extra></extra>",
                yaxis=f"y{place + 1}",
                meta=keyed(rows[:1]),
            )
        )
        for what, symbol, points in (("tried", "circle", 8), ("confirmed", "star", 15)):
            some = frame[frame["cell"].eq(cell) & frame["what"].eq(what)]
            drawn.add_trace(
                go.Scatter(
                    mode="markers",
                    x=some["outer_lr"].tolist(),
                    y=some["inner_lr"].tolist(),
                    marker={
                        "symbol": symbol,
                        "size": points,
                        "color": "white",
                        "line": {"width": 1.5, "color": INK},
                    },
                    hovertext=[_hover(row) for row in some.to_dict("records")],
                    hoverinfo="text",
                    yaxis=f"y{place + 1}",
                    meta=keyed(some),
                )
            )
    return drawn


def _hover(row: dict[Any, Any]) -> str:
    return hover(row["what"], outer_rate=number(row["outer_lr"], 4), inner_rates=number(row["inner_lr"], 4))


def _caption(study: Study) -> str:
    return (
        "Where good rates lie, and whether they move as networks grow: the score on validation patients that the "
        "search's model of all cells expects, for the smallest, a middle and the largest network (by parameters). "
        "Circles: search trials; star: what was confirmed. Far from circles it is little more than a "
        f"guess.{chosen_on(study)}"
    )


FIGURE = FigureSpec(
    name="landscape",
    title="What the search's model learned",
    frame=landscape_frame,
    draw=landscape_figure,
    caption=_caption,
)
