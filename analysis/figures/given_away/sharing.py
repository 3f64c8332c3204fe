"""HM against the size of what leaves the hospital."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from analysis.figures.parts.scores import hm_hover, score_axis, score_points, series_names
from analysis.figures.parts.spec import FigureSpec
from analysis.figures.parts.theme import figure, hover, log_axis, look
from analysis.records.cell_means import cell_means, settings_apart
from analysis.records.records import Study
from analysis.text.words import number


def sharing_frame(study: Study) -> pd.DataFrame:
    """One row a confirmed cell whose footprint is known: columns of `cell_means`, and `series`, its backbone and
    setting."""
    means = cell_means(study)
    means = means[means["memory_star_kb"].gt(0) & means["hm"].notna()]
    return means.assign(series=series_names(means["backbone"], settings_apart(means)))


def sharing_figure(frame: pd.DataFrame) -> go.Figure:
    """Mean test HM against Memory* (what has to be shared, by the papers' accounting), a line a backbone; the size of
    the network itself and the compression rate are in the hover box."""
    drawn = figure(
        xaxis=log_axis("shared: Memory*", frame["memory_star_kb"].astype(float), _size),
        yaxis=score_axis(frame),
    )
    places = {backbone: place for place, backbone in enumerate(frame["backbone"].unique())}
    for variant, (series, rows) in enumerate(frame.groupby("series", sort=False)):
        rows = rows.sort_values("memory_star_kb", kind="stable")
        style = look(places[rows["backbone"].iloc[0]], variant if frame["series"].nunique() > len(places) else 0)
        at = {"x": rows["memory_star_kb"].round(3).tolist(), "y": rows["hm"].tolist()}
        drawn.add_trace(score_points(rows, series, _hover, mode="lines+markers", **at, **style))
    return drawn


def _hover(row: pd.Series) -> str:
    whole = row["memory_mib"]
    known = hover(
        "",
        all_parameters=None if pd.isna(whole) else f"{number(whole, 2)} MiB",
        compression_rate=None if pd.isna(row["compression_rate"]) else f"{row['compression_rate']:.5f}",
    )
    return hm_hover(row) + known.removeprefix("<b></b>")


def _size(kilobytes: float) -> str:
    return f"{kilobytes / 1000:g} MB" if kilobytes >= 1000 else f"{kilobytes:g} kB"


FIGURE = FigureSpec(
    name="sharing",
    title="{score} by what is shared",
    frame=sharing_frame,
    draw=sharing_figure,
    caption=lambda _: (
        "What would have to be sent for such a score; means over seeds on test patients. Memory* is the papers' "
        "measure: images and batch-norm statistics."
    ),
)
