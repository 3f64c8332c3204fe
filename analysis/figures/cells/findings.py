"""AUC of each finding on test films, of one confirm trial a cell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from analysis.figures.cells.threshold_curve import shown_trials
from analysis.figures.parts.spec import FigureSpec
from analysis.figures.parts.theme import FAINT, PALETTE, figure, hover, plain
from analysis.records.records import Study
from analysis.text.words import number

FINDING_COLUMNS = ["trial", "cell", "label", "finding", "auc", "low", "high", "positives", "negatives"]


def finding_frame(study: Study) -> pd.DataFrame:
    """A row a finding: trial, cell, label, finding, AUC and its interval, test films with and without it.

    AUC is NaN where it is not defined, the interval where it was not resampled.
    """
    rows: list[tuple[Any, ...]] = []
    for _, trial in shown_trials(study).iterrows():
        test = study.result(trial["trial"]).get("test")
        rows += [(trial["trial"], trial["cell"], trial["label"], *row) for row in _findings(test)]
    frame = pd.DataFrame(rows, columns=FINDING_COLUMNS)
    return frame.astype({"auc": "float64", "low": "float64", "high": "float64"})


def _findings(test: Any) -> Iterator[tuple[Any, ...]]:
    listed = test.get("classes") if isinstance(test, Mapping) else None
    for row in listed if isinstance(listed, list) else []:
        if isinstance(row, Mapping) and "class" in row:
            values = [row.get(name) for name in ("auc", "auc_low", "auc_high", "positives", "negatives")]
            # A damaged value costs itself, not the page.
            yield str(row["class"]), *(value if isinstance(value, int | float) else None for value in values)


def finding_figure(frame: pd.DataFrame) -> go.Figure:
    """AUC by finding of one cell (rows of `finding_frame`), the highest on top."""
    known = frame.dropna(subset=["auc"]).sort_values("auc")
    drawn = figure(
        xaxis={"title": {"text": "AUC"}, "range": [-0.02, 1.02]},
        yaxis={"type": "category", "automargin": True},
    )
    drawn.add_vline(x=0.5, line={"color": FAINT, "width": 1, "dash": "dot"})
    words = [
        hover(
            row["finding"],
            AUC=number(row["auc"]),
            interval=f"{number(row['low'])} to {number(row['high'])}",
            films=f"{number(row['positives'], 0)} with it, {number(row['negatives'], 0)} without",
        )
        for _, row in known.iterrows()
    ]
    return drawn.add_trace(
        go.Scatter(
            x=known["auc"].tolist(),
            y=[plain(finding) for finding in known["finding"]],
            mode="markers",
            marker={"color": PALETTE[0], "size": 10},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": (known["high"] - known["auc"]).tolist(),
                "arrayminus": (known["auc"] - known["low"]).tolist(),
                "color": PALETTE[0],
                "thickness": 1.5,
            },
            hovertext=words,
            hoverinfo="text",
            showlegend=False,
        )
    )


FIGURE = FigureSpec(
    name="auc-by-finding",
    title="One cell, looked into",
    frame=finding_frame,
    draw=finding_figure,
    caption=lambda _: (
        "AUC on test films of the cell's first confirm trial, finding by finding; bars: 95 % of resampled patients. A "
        "finding that no test film has, or every one, has no AUC. Dotted: chance."
    ),
    when=lambda study: study.task.cell_figure == "auc-by-finding",
)
