"""Figures of the search: which rates it tried, which settings gave which HM, and when.

Search trials were scored on validation patients alone (under the papers' protocol: on test patients). A study has
thousands of trials: their hover boxes are templates over a few numbers a point, not a text each.
"""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from analysis.figures.parts.facets import keyed
from analysis.figures.parts.spec import FigureSpec
from analysis.figures.parts.theme import FAINT, INK, PALETTE, SYMBOLS, figure, log_axis, look, plain
from analysis.records.records import Study, compared, score, score_word
from analysis.text.words import chosen_on, protocol_mark

# From pale to dark, on white: what scored well stands out, with any colour vision and in gray.
SCALE = [[0.0, "#d9dee3"], [0.5, "#56B4E9"], [1.0, "#00334f"]]
BANDS = 5  # of HM that are told apart where lines run together
_FACTS = ["val_hm", "outer_lr", "inner_lr", "delta"]


def search_frame(study: Study) -> pd.DataFrame:
    """Search trials that ended, on the study's own patients: columns of `records`; `val_hm`, of films with findings the
    AUC, is missing where the trial gave no score."""
    records = compared(study.records)
    rows = records.assign(val_hm=score(records, "val"))
    ended = rows["phase"].eq("search") & rows["status"].ne("running")
    return rows[ended.fillna(False).astype(bool) & (rows["outer_lr"] > 0) & (rows["inner_lr"] > 0)]


def tried_several(study: Study) -> bool:
    """Whether more than one setting was tried: else there is nothing to compare."""
    return bool(search_frame(study)[["outer_lr", "inner_lr"]].nunique().gt(1).any())


def rates_figure(frame: pd.DataFrame) -> go.Figure:
    """Rates that the search tried: both on log axes, a symbol a backbone, coloured by HM."""
    words = f"{score_word(frame)} on<br>{_scored_on(frame)}"
    drawn = figure(
        xaxis=log_axis("outer rate", frame["outer_lr"], "{:g}".format),
        yaxis=log_axis("start of inner rates (distill.rate_unit)", frame["inner_lr"], "{:g}".format),
        coloraxis={
            "colorscale": SCALE,
            "cmin": 0,
            "cmax": 1,
            "colorbar": {
                "title": {"text": words},
                "thickness": 12,
                "outlinewidth": 0,
            },
        },
    )
    found = frame[frame["val_hm"].notna()]
    for place, (backbone, rows) in enumerate(found.groupby("backbone", sort=False)):
        marker = {"size": 11, "symbol": SYMBOLS[place % len(SYMBOLS)], "line": {"width": 0.5, "color": INK}}
        scored = marker | {"color": rows["val_hm"].tolist(), "coloraxis": "coloraxis"}
        name = plain(backbone)
        # The legend cannot show a colour scale: a trace without a point shows the symbol in ink.
        drawn.add_trace(_points(rows, "inner_lr", name, scored).update(legendgroup=name, showlegend=False))
        symbol = go.Scatter(x=[None], y=[None], mode="markers", marker=marker | {"color": INK}, name=name)
        drawn.add_trace(symbol.update(legendgroup=name))
    lost = frame[frame["val_hm"].isna()]
    if len(lost):
        marker = {"size": 11, "symbol": "x-thin-open", "color": FAINT}
        drawn.add_trace(_points(lost, "inner_lr", "gave no score", marker))
    return drawn


def parallel_frame(study: Study) -> pd.DataFrame:
    """The rows of `search_frame` that a line can go through."""
    frame = search_frame(study)
    return frame[frame["val_hm"].notna() & frame["delta"].notna()]


def parallel_figure(frame: pd.DataFrame) -> go.Figure:
    """A line a search trial through its rates, its threshold and its HM, coloured by bands of HM: what the good ones
    have in common. Each axis runs over what was tried; rates are on log axes."""
    rows = frame[frame[_FACTS].notna().all(axis=1)]
    axes = [
        ("outer rate", rows["outer_lr"].map(math.log10), lambda value: f"{10**value:.2g}"),
        ("start of<br>inner rates", rows["inner_lr"].map(math.log10), lambda value: f"{10**value:.2g}"),
        ("threshold δ", rows["delta"], "{:.2f}".format),
        (score_word(frame), rows["val_hm"], "{:.2f}".format),
    ]
    drawn = figure(
        xaxis={"range": [-0.3, len(axes) - 0.7], "visible": False},
        yaxis={"range": [-0.12, 1.24], "visible": False},
    )
    heights = pd.DataFrame(index=rows.index)
    for place, (name, values, word) in enumerate(axes):
        low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
        heights[place] = (values - low) / (high - low) if high > low else 0.5
        drawn.add_shape(type="line", x0=place, x1=place, y0=0, y1=1, line={"color": FAINT, "width": 1})
        for y, text in ((1.08, f"<b>{name}</b>"), (1.0, word(high)), (-0.08, word(low))):
            drawn.add_annotation(x=place, y=y, yanchor="bottom", text=text, showarrow=False, font={"size": 12})
    bands = pd.cut(rows["val_hm"], [i / BANDS for i in range(BANDS + 1)], labels=False, include_lowest=True)
    colours = sample_colorscale(SCALE, [i / (BANDS - 1) for i in range(BANDS)])
    for band in range(BANDS):  # the best last, on top
        if (bands == band).any():
            drawn.add_trace(_lines(rows[bands == band], heights[bands == band], band, colours[band]))
    return drawn


def _lines(rows: pd.DataFrame, heights: pd.DataFrame, band: int, colour: str) -> go.Scatter:
    """Lines, one a trial, in a single trace: a gap after each."""
    places = [*heights.columns, None]
    return go.Scatter(
        x=places * len(rows),
        y=[height for line in heights.round(4).to_numpy().tolist() for height in [*line, None]],
        mode="lines",
        line={"color": colour, "width": 1 + band / 3},
        opacity=0.75,
        name=f"{score_word(rows)} {band / BANDS:.1f} to {(band + 1) / BANDS:.1f}",
        text=[name for trial in rows["trial"] for name in [plain(trial)] * len(places)],
        customdata=[hm for hm in rows["val_hm"].round(4) for _ in places],
        hovertemplate=f"<b>%{{text}}</b><br>{score_word(rows)} %{{customdata:.3f}}<extra></extra>",
        meta=keyed(rows, each=len(places)),
    )


def finished_frame(study: Study) -> pd.DataFrame:
    """Search and confirm trials with a score and the time they were finished, in that order: columns of `records`;
    `hours` since the first of them began; and `best`, the highest `val_hm` of their backbone's search so far, on the
    study's own patients."""
    rows = study.records.assign(val_hm=score(study.records, "val"))
    rows = rows[rows["val_hm"].notna() & rows["finished"].notna()]
    times = pd.to_datetime(rows["finished"], utc=True, errors="coerce", format="ISO8601")
    rows = rows.assign(at=times)[times.notna()].sort_values("at", kind="stable")
    begun = (rows["at"] - pd.to_timedelta(rows["seconds"].fillna(0), unit="s")).min()
    searched = rows["val_hm"].where(rows["phase"].eq("search") & rows["stage"].isna())
    return rows.assign(
        hours=(rows["at"] - begun).dt.total_seconds() / 3600,
        best=searched.groupby(rows["backbone"]).cummax(),
    ).drop(columns="at")


def finished_figure(frame: pd.DataFrame) -> go.Figure:
    """Trials over time: validation HM of each against when it was finished, and each backbone's best search so far.
    Faint: trials on patients of other collections, whose scores compare with nothing."""
    minutes = len(frame) and frame["hours"].max() < 2
    frame = frame.assign(time=frame["hours"] * (60 if minutes else 1))
    drawn = figure(
        xaxis={"title": {"text": f"{'minutes' if minutes else 'hours'} since the study began"}, "rangemode": "tozero"},
        yaxis={"title": {"text": f"{score_word(frame)} on {_scored_on(frame)} patients"}, "range": [0, 1.03]},
    )
    own = frame[frame["stage"].isna()]
    for place, (backbone, rows) in enumerate(own.groupby("backbone", sort=False)):
        colour, name, best = PALETTE[place % len(PALETTE)], plain(backbone), rows[rows["best"].notna()]
        for phase, filled in (("search", "-open"), ("confirm", "")):
            part = rows[rows["phase"].eq(phase)]
            marker = {"size": 8, "symbol": SYMBOLS[place % len(SYMBOLS)] + filled, "color": colour}
            named = phase == "confirm" and best.empty  # without a search there is no line for the legend
            points = _points(part, "val_hm", name if named else f"{name}, {phase}", marker, x="time")
            drawn.add_trace(points.update(legendgroup=name, showlegend=named))
        drawn.add_trace(
            go.Scatter(
                x=best["time"].round(4).tolist(),
                y=best["best"].tolist(),
                mode="lines",
                line=look(place)["line"] | {"width": 1.5, "shape": "hv"},
                name=name,
                legendgroup=name,
                hoverinfo="skip",
                meta=keyed(best[["backbone"]]),
            )
        )
    for stage, rows in frame.groupby("stage", sort=False):
        marker = {"size": 8, "symbol": "x-thin-open", "color": FAINT}
        drawn.add_trace(_points(rows, "val_hm", f"on patients of {plain(stage)}", marker, x="time"))
    return drawn


def _scored_on(frame: pd.DataFrame) -> str:
    """The split by which a search trial was scored."""
    return "test" if frame["protocol"].eq("paper").any() else "validation"


def _points(rows: pd.DataFrame, y: str, name: str, marker: dict[str, Any], x: str = "outer_lr") -> go.Scatter:
    """A point a trial; its hover box is filled from `customdata`."""
    facts_by_trial = zip(*(rows[fact] for fact in _FACTS), strict=True)
    hover_data: list[list[Any]] = []
    for facts, outcome in zip(facts_by_trial, _outcomes(rows), strict=True):
        numbers = [None if pd.isna(fact) else float(f"{fact:.4g}") for fact in facts]
        hover_data.append([*numbers, plain(outcome)])
    template = [
        "<b>%{text}</b>",
        f"{score_word(rows)} on {_scored_on(rows)} patients: %{{customdata[0]:.3f}}",
        "outer rate: %{customdata[1]:.3g}",
        "start of inner rates (distill.rate_unit): %{customdata[2]:.3g}",
        "threshold: %{customdata[3]:.3f}",
        "%{customdata[4]}<extra></extra>",
    ]
    return go.Scatter(
        x=rows[x].round(6).tolist(),
        y=rows[y].round(6).tolist(),
        mode="markers",
        name=name,
        marker=marker,
        text=[plain(trial) for trial in rows["trial"]],
        customdata=hover_data,
        hovertemplate="<br>".join(template),
        meta=keyed(rows),
    )


def _outcomes(rows: pd.DataFrame) -> list[str]:
    """How each trial ended, and why."""
    outcomes = []
    columns = (rows[name] for name in ("status", "stopped", "ended", "outer_steps", "error"))
    for status, stopped, ended, steps, error in zip(*columns, strict=True):
        word = "stopped early" if pd.notna(stopped) and stopped else str(status)
        if pd.notna(ended) and ended == "patience":
            word += f", no better state for a while after {steps:,} steps"
        outcomes.append(word if pd.isna(error) else f"{word}: {error}")
    return outcomes


def _scored(study: Study) -> str:
    return "the test patients, as the papers' protocol has it" if protocol_mark(study) else "validation patients only"


def _over_time_caption(study: Study) -> str:
    staged = study.records["stage"].notna().any()
    others = " Crosses: on patients of other collections, to be where networks start." if staged else ""
    searched = (
        ": hollow where they searched, filled where they confirmed. Lines: the best that each network's search had "
        "found by then."
        if study.records["phase"].eq("search").any()
        else "; none of them searched."
    )
    return f"All trials by their {score_word(study.records)} on {_scored(study)}{searched}{others}{chosen_on(study)}"


RATES = FigureSpec(
    name="search",
    title="Where the search looked",
    frame=search_frame,
    draw=rates_figure,
    caption=lambda study: (
        f"Which rates were tried, and what each brought on {_scored(study)}. A point is a search trial, a symbol a "
        f"network.{chosen_on(study)}"
    ),
    when=tried_several,
)
PARALLEL = FigureSpec(
    name="parallel",
    title="What the search tried",
    frame=parallel_frame,
    draw=parallel_figure,
    caption=lambda study: (
        f"What good settings have in common. A line is a search trial, through its rates, its threshold and its "
        f"{score_word(study.records)} on {_scored(study)}.{chosen_on(study)}"
    ),
    when=tried_several,
)
OVER_TIME = FigureSpec(
    name="finished",
    title="Trials over time",
    frame=finished_frame,
    draw=finished_figure,
    caption=_over_time_caption,
    wide=True,
)
