"""Plotly template, palette and hover boxes of all figures.

Colours are Okabe and Ito's, told apart with any kind of colour vision; each comes with a marker of its own, so that a
gray print still reads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from html import escape
from typing import Any

import plotly.graph_objects as go

from analysis.text.words import MISSING

# Okabe & Ito, "Color Universal Design" (2008), without the yellow, which vanishes on white.
PALETTE = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000"]
SYMBOLS = ["circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "star"]
FILLINGS = ["", "-open", "-open-dot"]
DASHES = ["solid", "dash", "dot", "dashdot", "longdash"]
INK, FAINT, GRID = "#1f2933", "#5b6673", "#e4e8ec"
CLASS_COLOURS = {"I": "#9aa5b1", "N": "#0072B2", "P": "#D55E00"}
CLASS_WORDS = {"I": "irrelevant", "N": "negative", "P": "positive"}
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"

_AXIS = {
    "gridcolor": GRID,
    "linecolor": FAINT,
    "zeroline": False,
    "showline": True,
    "ticks": "outside",
    "tickcolor": FAINT,
    "automargin": True,
    "title": {"standoff": 10},
}
TEMPLATE = go.layout.Template(
    layout={
        "font": {"family": FONT, "size": 14, "color": INK},
        "colorway": PALETTE,
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "height": 430,
        "margin": {"l": 12, "r": 12, "t": 12, "b": 12},
        "xaxis": _AXIS,
        "yaxis": _AXIS,
        "hoverlabel": {"bgcolor": "white", "bordercolor": FAINT, "align": "left", "font": {"size": 13, "color": INK}},
        # Over the plot: under it, a legend that wraps on a phone would run into the axis title.
        "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom", "tracegroupgap": 0},
    }
)


def look(place: int, variant: int = 0) -> dict[str, Any]:
    """Line and marker of a series: colour and symbol go by its `place`, dash and filling by its `variant`."""
    colour = PALETTE[place % len(PALETTE)]
    symbol = SYMBOLS[place % len(SYMBOLS)] + FILLINGS[variant % len(FILLINGS)]
    return {
        "line": {"color": colour, "width": 2.5, "dash": DASHES[variant % len(DASHES)]},
        "marker": {"color": colour, "size": 11, "symbol": symbol, "line": {"width": 2, "color": colour}},
    }


def symbols_of(names: Iterable[str]) -> dict[str, str]:
    """A symbol for each name, of as many as there are, filled and hollow; beyond that some share one."""
    return {
        name: SYMBOLS[place % len(SYMBOLS)] + FILLINGS[place // len(SYMBOLS) % len(FILLINGS)]
        for place, name in enumerate(dict.fromkeys(names))
    }


def symbol_legend(symbols: dict[str, str]) -> list[go.Scatter]:
    """A legend of symbols: traces without a point. None where there is one symbol, or some share one."""
    if len(symbols) < 2 or len(set(symbols.values())) < len(symbols):
        return []
    marker = {"size": 11, "color": FAINT, "line": {"width": 2, "color": FAINT}}
    return [
        go.Scatter(x=[None], y=[None], mode="markers", name=plain(name), marker=marker | {"symbol": symbol})
        for name, symbol in symbols.items()
    ]


def figure(**layout: Any) -> go.Figure:
    """An empty figure in the theme."""
    return go.Figure(layout={"template": TEMPLATE, **layout})


def log_axis(title: str, values: Iterable[float], word: Callable[[float], str], room: float = 0.06) -> dict[str, Any]:
    """A logarithmic axis around `values` (positive) with a `room` share to either side, ticks spelled by `word`."""
    known = [math.log10(value) for value in values] or [0.0]
    low, high = min(known), max(known)
    spare = room * (high - low) + 0.15
    # Plotly's own ticks on a short log axis run into each other.
    steps: tuple[float, ...] = (1, 2, 5) if high - low < 1.7 else (1, 3) if high - low < 3 else (1,)
    if high - low < 0.3:
        steps = (1, 1.5, 2, 3, 4, 5, 6, 8)
    decades = range(math.floor(low - spare), math.ceil(high + spare) + 1)
    ticks = [step * 10.0**decade for decade in decades for step in steps]
    ends = [low - spare, high + spare]
    shown = [tick for tick in ticks if ends[0] <= math.log10(tick) <= ends[1]]
    labels = {"tickvals": shown, "ticktext": [word(tick) for tick in shown]}
    return {"type": "log", "title": {"text": title}, "range": ends, **labels}


def plain(text: object) -> str:
    """Text as plotly will draw it, letter for letter: it reads a little HTML in every label."""
    return escape(str(text), quote=False)


def hover(title: object, **fields: object) -> str:
    """A hover box: a heading and a line a field; those that are missing are left out. `_` in a name is a space."""
    known = [f"{name.replace('_', ' ')}: {plain(value)}" for name, value in fields.items() if str(value) not in MISSING]
    return "<br>".join([f"<b>{plain(title)}</b>", *known])
