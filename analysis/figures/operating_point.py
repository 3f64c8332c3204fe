"""Sensitivity against specificity of every cell, with lines of equal HM."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from analysis.figures.parts.scores import hm_hover, published_caption, published_traces, score_points
from analysis.figures.parts.spec import FigureSpec
from analysis.figures.parts.theme import FAINT, INK, figure, look, symbol_legend, symbols_of
from analysis.published import scored_points
from analysis.records.cell_means import cell_means, training_means
from analysis.records.records import Study, score_word
from analysis.text.words import images_word

LEVELS = (0.2, 0.4, 0.6, 0.7, 0.8, 0.9)


def operating_frame(study: Study) -> pd.DataFrame:
    """One row a confirmed cell, columns of `cell_means`; ordinary training follows with `images` missing."""
    means = pd.concat([cell_means(study), training_means(study)], ignore_index=True)
    return means[means["sensitivity"].notna() & means["specificity"].notna()]


def contour(hm: float, points: int = 50) -> tuple[np.ndarray, np.ndarray]:
    """Specificities and sensitivities (points,) of equal `hm`: Spe = HM Sen / (2 Sen - HM), neither above 1."""
    sensitivity = np.geomspace(hm / (2 - hm), 1, points)
    return hm * sensitivity / (2 * sensitivity - hm), sensitivity


def operating_figure(frame: pd.DataFrame) -> go.Figure:
    """Mean sensitivity against mean specificity: a colour an image count, a symbol a backbone; hollow, the papers'.

    The mean HM of several seeds is at most the HM of their mean sensitivity and specificity: the lines are those of the
    point, its own HM is in the hover box.
    """
    axis = {"range": [-0.02, 1.02], "constrain": "domain"}
    drawn = figure(
        xaxis=axis | {"title": {"text": "specificity"}},
        yaxis=axis | {"title": {"text": "sensitivity"}, "scaleanchor": "x"},
        height=520,
    )
    for hm in LEVELS:
        specificity, sensitivity = contour(hm)
        drawn.add_trace(
            go.Scatter(
                x=specificity.round(4).tolist(),
                y=sensitivity.round(4).tolist(),
                mode="lines",
                line={"color": FAINT, "width": 1, "dash": "dot"},
                showlegend=False,
                hoverinfo="skip",
            )
        )
        drawn.add_annotation(x=hm, y=hm, text=f"HM {hm:g}", showarrow=False, font={"size": 11, "color": FAINT})
    published = scored_points()
    places = {count: place for place, count in enumerate(sorted({*frame["images"].dropna(), *published["images"]}))}
    symbols = symbols_of(frame["backbone"])
    for count, rows in frame.groupby("images", dropna=False):
        colour = INK if pd.isna(count) else look(places[count])["marker"]["color"]
        named = [symbols[backbone] for backbone in rows["backbone"]]
        at = {"x": rows["specificity"].tolist(), "y": rows["sensitivity"].tolist()}
        marker = {"size": 12, "color": colour, "symbol": named, "line": {"width": 1, "color": "white"}}
        drawn.add_trace(score_points(rows, images_word(rows["images"].iloc[0]), hm_hover, **at, marker=marker))
    drawn.add_traces(symbol_legend(symbols))
    return drawn.add_traces(published_traces(published, places, "specificity", "sensitivity"))


FIGURE = FigureSpec(
    name="operating",
    title="Sensitivity and specificity",
    frame=operating_frame,
    draw=operating_figure,
    caption=lambda study: (
        "How many of the sick are found, and how many of the healthy are cleared; means over seeds on test patients. A "
        f"symbol a network, a colour an image count. Dotted: lines of equal HM.{published_caption(study)}"
    ),
    when=lambda study: score_word(study.records) == "HM",
)
