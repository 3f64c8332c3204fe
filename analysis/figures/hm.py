"""HM against parameters, and HM against images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from analysis.figures.parts.facets import keyed
from analysis.figures.parts.scores import (
    TRAINED,
    hm_hover,
    parameters_axis,
    published_caption,
    published_traces,
    score_axis,
    score_points,
    seed_bars,
    seeds_caption,
    series_names,
)
from analysis.figures.parts.spec import FigureSpec
from analysis.figures.parts.theme import FAINT, figure, look, plain
from analysis.published import scored_points
from analysis.records.cell_means import distilled, settings_apart, training_means
from analysis.records.records import Study, score_word
from analysis.stats.evidence import count_evidence
from analysis.stats.minimum import minimum_images
from analysis.text.words import images_word
from ledger.schema import SETTING, TRAINED_ALIKE


def hm_by_parameters_frame(study: Study) -> pd.DataFrame:
    """One row a cell: columns of `count_evidence`, and `series`, the image count (and setting) that names its trace.

    Ordinary training, where the study ran it, follows with `images` missing.
    """
    parts = []
    for means in (count_evidence(study), training_means(study)):
        series = [images_word(count) for count in means["images"]]
        parts.append(means.assign(series=series_names(series, settings_apart(means))))
    return pd.concat(parts, ignore_index=True).sort_values("parameters", kind="stable")


def hm_by_parameters_figure(frame: pd.DataFrame) -> go.Figure:
    """Mean test HM against parameters, a trace an image count; bars span the lowest and the highest seed. Hollow: the
    papers' Table 5, on their own patients, where HM is what is drawn."""
    published = scored_points()
    if score_word(frame) != "HM":
        published = published.iloc[:0]
    drawn = figure(xaxis=parameters_axis(pd.concat([frame, published]), 0.04), yaxis=score_axis(frame))
    counted = distilled(frame).sort_values("images", kind="stable")
    places = _places(sorted({*counted["images"], *published["images"]}))
    drawn.add_traces(_hm_traces(counted, "images", places, "parameters", "markers"))
    trained = frame[frame["images"].isna()]
    for trace in _hm_traces(trained, "method", _places(trained["method"]), "parameters", "markers"):
        drawn.add_trace(trace.update(marker=TRAINED))
    return drawn.add_traces(published_traces(published, places, "parameters", "hm"))


def hm_by_images_frame(study: Study) -> pd.DataFrame:
    """One row a cell: columns of `count_evidence`; `series`, the backbone (and setting) that names its line; and
    `smallest`, whether this count is the smallest that is shown to suffice for its backbone."""
    means = count_evidence(study).sort_values("images", kind="stable")
    answer = minimum_images(study)[[*SETTING, "backbone", "minimum_images"]]
    means = means.merge(answer, on=[*SETTING, "backbone"], how="left")
    return means.assign(
        series=series_names(means["backbone"], settings_apart(means)),
        smallest=means["images"].eq(means["minimum_images"]).fillna(False).astype(bool),
    )


def hm_by_images_figure(frame: pd.DataFrame) -> go.Figure:
    """Mean test HM against the image count, a line a backbone; a ring marks the smallest that is shown to suffice, a
    dotted line what ordinary training of the backbone reaches."""
    counts = sorted(frame["images"].unique())
    axis = {"title": {"text": "distilled images"}, "tickvals": counts, "ticktext": [str(count) for count in counts]}
    drawn = figure(xaxis=axis, yaxis=score_axis(frame))
    frame = frame.sort_values("parameters", kind="stable")
    places = _places(frame["backbone"])
    drawn.add_traces(_hm_traces(frame, "backbone", places, "images", "lines+markers"))
    drawn.add_traces(_trained_traces(frame, places, [counts[0], counts[-1]] if counts else []))
    rings = frame[frame["smallest"]]
    drawn.add_trace(
        go.Scatter(
            x=rings["images"].tolist(),
            y=rings["hm"].tolist(),
            mode="markers",
            name="smallest count shown to suffice",
            marker={"symbol": "circle-open", "size": 22, "color": "black", "line": {"width": 1.5}},
            hoverinfo="skip",
            meta=keyed(rings),
        )
    )
    return drawn


def _trained_traces(frame: pd.DataFrame, places: Mapping[Any, int], ends: list[int]) -> list[go.Scatter]:
    """A dotted line a network (and what it has in common with its distillation) at the HM of ordinary training."""
    own = ["backbone", *(column for column in TRAINED_ALIKE[1:] if frame[column].nunique(dropna=False) > 1)]
    lines = [
        go.Scatter(
            x=ends,
            y=[row["trained_hm"]] * len(ends),
            mode="lines",
            name=plain(", ".join([*map(str, row[own].dropna()), "ordinary training"])),
            showlegend=False,
            line={"color": look(places[row["backbone"]])["line"]["color"], "dash": "dot", "width": 1.5},
            hovertemplate=f"%{{fullData.name}}: {score_word(frame)} %{{y:.3f}}<extra></extra>",
            meta=keyed(pd.DataFrame([row[own]] * len(ends))),
        )
        for _, row in frame[frame["trained_hm"].notna()].drop_duplicates([*own, "trained_hm"]).iterrows()
    ]
    if lines:  # one entry for all: their colours are those of their networks
        key = go.Scatter(x=[None], y=[None], mode="lines", line={"color": FAINT, "dash": "dot", "width": 1.5})
        lines.append(key.update(name="ordinary training"))
    return lines


def _places(values: Iterable[Any]) -> dict[Any, int]:
    return {value: place for place, value in enumerate(dict.fromkeys(values))}


def _hm_traces(frame: pd.DataFrame, by: str, places: Mapping[Any, int], x: str, mode: str) -> list[go.Scatter]:
    """A trace a series: the colour tells what it is `by` (at its place), dash and filling tell its setting."""
    settings = settings_apart(frame)
    variants = {setting: place for place, setting in enumerate(settings.unique())}
    traces = []
    for series in frame["series"].unique():
        rows = frame[frame["series"] == series].sort_values(x, kind="stable")
        style = look(places[rows[by].iloc[0]], variants[settings[rows.index[0]]])
        at = {"x": rows[x].tolist(), "y": rows["hm"].tolist(), "error_y": seed_bars(rows)}
        traces.append(score_points(rows, series, hm_hover, mode=mode, **at, **style))
    return traces


BY_PARAMETERS = FigureSpec(
    name="hm-by-parameters",
    title="{score} by parameters",
    frame=hm_by_parameters_frame,
    draw=hm_by_parameters_figure,
    caption=lambda study: (
        f"What networks of each size reach with so few images. {seeds_caption(study)}{published_caption(study)}"
    ),
    wide=True,
)
BY_IMAGES = FigureSpec(
    name="hm-by-images",
    title="{score} by distilled images",
    frame=hm_by_images_frame,
    draw=hm_by_images_figure,
    caption=lambda study: (
        f"What each further image adds. {seeds_caption(study)} Dotted, in a network's colour: its ordinary training. "
        "Ringed: the smallest count that is shown to suffice."
    ),
)
