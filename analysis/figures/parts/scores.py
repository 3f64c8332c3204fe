"""Scatter traces of cells' scores: axes, error bars, hover boxes, captions; published scores are hollow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from analysis.figures.parts.facets import keyed
from analysis.figures.parts.theme import INK, hover, log_axis, look, plain
from analysis.published import NAMES
from analysis.records.records import Study, score_word
from analysis.records.runs import folds_of
from analysis.records.tasks import TASKS, USUAL
from analysis.stats.minimum import percent
from analysis.text.words import images_word, number, parameters_word

TRAINED = {"symbol": "x-thin-open", "size": 13, "color": INK}
"""The marker of ordinary training."""


def score_axis(frame: pd.DataFrame) -> dict[str, Any]:
    """The axis of `hm`: of what it is in this study."""
    return {"title": {"text": f"{score_word(frame)} on test patients"}, "range": [0, 1.03]}


def parameters_axis(frame: pd.DataFrame, room: float) -> dict[str, Any]:
    """A logarithmic axis over the column `parameters` of `frame`, with a `room` share to either side."""
    return log_axis("parameters of the network", frame["parameters"].dropna(), parameters_word, room)


def score_points(rows: pd.DataFrame, name: object, words: Callable[[pd.Series], str], **drawn: Any) -> go.Scatter:
    """A trace of a point a row of `cell_means`, with its hover box (in `words`) and its key for filters; `drawn` is the
    rest: where points are, and how they look."""
    return go.Scatter(
        name=plain(name),
        hovertext=[words(row) for _, row in rows.iterrows()],
        hoverinfo="text",
        **({"mode": "markers", "meta": keyed(rows)} | drawn),
    )


def seed_bars(rows: pd.DataFrame) -> dict[str, Any]:
    """Error bars from the lowest to the highest seed."""
    bars = {"array": rows["hm_high"] - rows["hm"], "arrayminus": rows["hm"] - rows["hm_low"]}
    # A mean of equal numbers can be off by a rounding.
    return {name: bar.clip(lower=0).tolist() for name, bar in bars.items()} | {"thickness": 1.5, "width": 5}


def series_names(names: Iterable[Any], settings: pd.Series) -> list[str]:
    """Names of series: each with its setting, where that tells it apart."""
    return [f"{name}, {setting}" if setting else str(name) for name, setting in zip(names, settings, strict=True)]


def published_traces(published: pd.DataFrame, places: Mapping[Any, int], x: str, y: str) -> list[go.Scatter]:
    """The rows of `scored_points` as hollow markers, a trace an image count in the colour of its place, and one entry
    in the legend for all."""
    traces: list[go.Scatter] = []
    for count, rows in published.groupby("images"):
        marker = look(places[count], 1)["marker"] | {"size": 9, "line": {"width": 1.5}, "opacity": 0.75}
        traces.append(
            score_points(
                rows,
                "as published, on the papers' own patients",
                _published_hover,
                x=rows[x].tolist(),
                y=rows[y].tolist(),
                legendgroup="published",
                showlegend=not traces,
                marker=marker,
                meta=keyed(rows[["images"]]),
            )
        )
    return traces


def _published_hover(row: pd.Series) -> str:
    return hover(
        f"{NAMES[row['backbone']]}, {images_word(row['images'])}: Li et al. (2022), Table 5",
        parameters=f"{row['parameters']:,}",
        **{name: number(row[name]) for name in ("sensitivity", "specificity")},
        HM=number(row["hm"]),
        chosen="on the test patients themselves",
    )


def seeds_caption(study: Study) -> str:
    """Sentence on what a point and its bar show."""
    caption = "Each mark is a mean over seeds on test patients; its bar runs from the lowest to the highest seed."
    folds = folds_of(study)
    return f"{caption} A seed's patients are pooled over {folds} folds." if folds else caption


def published_caption(study: Study) -> str:
    """Sentence on `published_traces`, where they are drawn; begins with a space."""
    hollow = " Hollow: the papers' Table 5, chosen and scored on their own 615 patients."
    return hollow if score_word(study.records) == "HM" else ""


def hm_hover(row: pd.Series) -> str:
    """Hover box of a row of `cell_means`; with the interval where the row has one."""
    seeds = f"{row['seeds']} seed{'' if row['seeds'] == 1 else 's'}"
    task = TASKS.get(row["task"], TASKS[USUAL])
    return hover(
        f"{row['backbone']}, {images_word(row['images'])}",
        parameters=number(row["parameters"], 0),
        **{task.word: f"{number(row['hm'])} over {seeds} ({number(row['hm_low'])} to {number(row['hm_high'])})"},
        interval=_interval(row),
        **{measure.words: number(row[column]) for column, measure in task.measures.items()},
        protocol="the papers'" if row["protocol"] == "paper" else None,
        method=str(row["method"]).upper().replace("_", " "),
        norm=row["norm"],
        trained_before_on=None if pd.isna(row["chain"]) else f"{row['chain']} ({row['transfer']})",
        **({} if pd.isna(row["images"]) else _distilled_facts(row)),
    )


def _interval(row: pd.Series) -> str | None:
    """The interval of the mean HM; ordinary training and trials without votes have none."""
    if pd.isna(row.get("interval_low")):
        return None
    ends = f"{number(row['interval_low'])} to {number(row['interval_high'])}"
    return f"{ends} ({percent(row['level'])} interval over patients and seeds)"


def _distilled_facts(row: pd.Series) -> dict[str, str | None]:
    return {
        "labels_start": row["label_init"],
        "distill_steps_x_epochs": f"{row['distill_steps']} x {row['distill_epochs']}",
        "shared": f"{number(row['memory_star_kb'], 1)} kB by the papers' accounting",
        "shared_file": None if pd.isna(row["shared_kb"]) else f"{number(row['shared_kb'], 1)} kB",
    }
