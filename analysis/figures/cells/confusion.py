"""Confusion matrix on test images, of one confirm trial a cell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from analysis.figures.cells.threshold_curve import shown_trials
from analysis.figures.parts.spec import FigureSpec
from analysis.figures.parts.theme import PALETTE, figure, hover, plain
from analysis.records.records import Study
from analysis.text.words import number

CONFUSION_COLUMNS = ["trial", "cell", "label", "truth", "told", "images", "share", "sensitivity", "specificity"]


def confusion_frame(study: Study) -> pd.DataFrame:
    """A row a pair of classes: trial, cell, label, the true class and the one that is told, how many test images of the
    true class are, their share of it, and the true class's sensitivity and specificity."""
    rows: list[tuple[Any, ...]] = []
    for _, trial in shown_trials(study).iterrows():
        test = study.result(trial["trial"]).get("test")
        rows += [(trial["trial"], trial["cell"], trial["label"], *row) for row in _pairs(test)]
    numbers = dict.fromkeys(CONFUSION_COLUMNS[-3:], "float64")
    return pd.DataFrame(rows, columns=CONFUSION_COLUMNS).astype(numbers)


def _pairs(test: Any) -> Iterator[tuple[Any, ...]]:
    try:
        classes, counts = test["classes"], test["confusion"]
        names = [str(each["class"]) for each in classes]
        for name, each, row in zip(names, classes, counts, strict=True):
            for told, images in zip(names, row, strict=True):
                share = int(images) / sum(row) if sum(row) else None
                yield name, told, int(images), share, each["sensitivity"], each["specificity"]
    except (TypeError, KeyError, ValueError):
        return  # a damaged result costs itself, not the page


def confusion_figure(frame: pd.DataFrame) -> go.Figure:
    """The matrix of one cell (rows of `confusion_frame`): true classes down, told ones across."""
    classes = list(dict.fromkeys(frame["truth"]))
    place = {name: number for number, name in enumerate(classes)}
    shares: list[list[float | None]] = [[None] * len(classes) for _ in classes]
    texts, boxes = ([[""] * len(classes) for _ in classes] for _ in range(2))
    for _, row in frame.iterrows():
        down, across = place[row["truth"]], place[row["told"]]
        shares[down][across] = row["share"]
        texts[down][across] = f"{row['images']:,}"
        boxes[down][across] = hover(
            f"{row['truth']}, told as {row['told']}",
            images=f"{row['images']:,}, {number(row['share'], 2)} of its class",
            sensitivity=number(row["sensitivity"]),
            specificity=number(row["specificity"]),
        )
    names = [plain(name) for name in classes]
    drawn = figure(
        xaxis={"type": "category", "title": {"text": "told"}, "automargin": True},
        yaxis={"type": "category", "title": {"text": "true class"}, "autorange": "reversed", "automargin": True},
    )
    return drawn.add_trace(
        go.Heatmap(
            x=names,
            y=names,
            z=shares,
            zmin=0,
            zmax=1,
            text=texts,
            texttemplate="%{text}",
            hovertext=boxes,
            hoverinfo="text",
            colorscale=[[0, "#ffffff"], [1, PALETTE[0]]],
            showscale=False,
        )
    )


FIGURE = FigureSpec(
    name="confusion",
    title="One cell, looked into",
    frame=confusion_frame,
    draw=confusion_figure,
    caption=lambda _: (
        "Test images of the cell's first confirm trial by their class and the one that is told of them; the darker, "
        "the larger a share of the true class. The mean of the shares on the diagonal is the balanced accuracy."
    ),
    when=lambda study: study.task.cell_figure == "confusion",
)
