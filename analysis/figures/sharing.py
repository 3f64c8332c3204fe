"""What it costs to share, and what it buys: HM against the size of what leaves the hospital.

As in `figures`, two functions: one returns numbers, one draws them.
"""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from analysis.figures.facets import keyed
from analysis.figures.hm import hm_hover, score_axis
from analysis.figures.theme import figure, hover, log_axis, look, plain
from analysis.records.cell_means import cell_means, settings_apart
from analysis.records.records import Study
from analysis.text.words import number


def sharing_frame(study: Study) -> pd.DataFrame:
    """One row a confirmed cell whose footprint is known: columns of `cell_means`, and `series`, its backbone and
    setting."""
    means = cell_means(study)
    means = means[means["memory_star_kb"].gt(0) & means["hm"].notna()]
    settings = settings_apart(means)
    names = [
        f"{name}, {setting}" if setting else name for name, setting in zip(means["backbone"], settings, strict=True)
    ]
    return means.assign(series=names)


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
        drawn.add_trace(
            go.Scatter(
                x=rows["memory_star_kb"].round(3).tolist(),
                y=rows["hm"].tolist(),
                mode="lines+markers",
                name=plain(series),
                hovertext=[_hover(row) for _, row in rows.iterrows()],
                hoverinfo="text",
                meta=keyed(rows),
                **look(places[rows["backbone"].iloc[0]], variant if frame["series"].nunique() > len(places) else 0),
            )
        )
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
