"""Smallest sufficient image count of every network against its parameters."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from analysis.figures.parts.facets import keyed
from analysis.figures.parts.scores import parameters_axis
from analysis.figures.parts.spec import FigureSpec
from analysis.figures.parts.theme import FAINT, figure, hover, look, plain
from analysis.published import footprints
from analysis.records.cell_means import run_rows, settings_apart
from analysis.records.records import Study, compared, score_word
from analysis.records.rule import Rule
from analysis.stats.minimum import (
    FAILED,
    MORE,
    UNDECIDED,
    UNJUDGED,
    UNLEARNED,
    WAITING,
    bracket,
    compared_minimum,
    judged,
    minimum_images,
    percent,
    shown_points,
)
from analysis.stats.regression import growth
from analysis.text.words import images_word, number
from ledger.families import family
from ledger.schema import SETTING

WHY = {
    UNDECIDED: "undecided",
    MORE: "more than were tried",
    FAILED: "could not be distilled",
    UNLEARNED: "training not shown to learn",
    UNJUDGED: "not judged",
    WAITING: "not confirmed yet",
}
"""What stands beside a network without a count that is shown to suffice."""
MOST_REASONS = 3  # side by side; of more, names that would run into another are left out, and hover boxes say why
MOST_NAMED = 12  # networks; names of more would lie over other networks' points, and hover boxes and the table say them
_LETTER = 0.009  # of the axis, on a page of 800 pixels


def minimum_frame(study: Study) -> pd.DataFrame:
    """`minimum_images` of the study with `series`, the setting in words, `score`, the name of what decides, `top`, the
    height of backbones without a count that is shown to suffice: one above the largest count of the study; and `lower`
    and `upper`, the bounds of each among the counts that all were offered, where counts are held against training."""
    answer = minimum_images(study)
    counts = compared(study.records)["images"].dropna()
    top = int(counts.max()) + 1 if len(counts) else 1
    by = [*SETTING, "backbone"]
    compared_by = compared_minimum(study)
    bounds = compared_by[by].join(shown_points(compared_by)[["lower", "upper"]])
    bounds = bounds if judged(compared_by) else bounds.iloc[:0]
    answer = answer.merge(bounds, on=by, how="left")
    return answer.assign(series=settings_apart(answer), score=score_word(study.records), top=top)


def growth_frame(answer: pd.DataFrame) -> pd.DataFrame:
    """The line of `analysis.stats.regression` through what is shown of the rows of `minimum_frame`.

    Columns: parameters, images (median) and the 95 % band low to high for a new network, in whole images. Empty where
    fewer than three networks have a count that is shown to suffice, or several settings would need a line each.
    """
    if answer["series"].nunique() > 1:
        answer = answer.iloc[:0]
    points = answer.dropna(subset=["parameters", "lower"])
    settled = np.isfinite(points["upper"])
    families = points["backbone"].astype(str).map(family).tolist()
    bounds = (points["parameters"], points["lower"], points["upper"])
    line = growth(*bounds, families=families) if settled.sum() >= 3 else None
    if line is None:
        return pd.DataFrame(columns=["parameters", "images", "low", "high"], dtype="float64")
    ends = np.log10(points["parameters"].astype("float64").agg(["min", "max"]))
    return line.predict(np.logspace(ends["min"], ends["max"], 60))


def minimum_figure(frame: pd.DataFrame, line: pd.DataFrame | None = None) -> go.Figure:
    """Smallest sufficient image count against parameters: a point where one is shown, a bar over what is open, an arrow
    where that has no end, and a diamond by the papers' rule. Hollow at the top: backbones without such a count. Behind
    them `line`, of `growth_frame`, with its band, and the papers' six where HM is what is drawn."""
    published = footprints() if frame.get("score", pd.Series()).eq("HM").any() else footprints().iloc[:0]
    frame = frame[frame["parameters"].notna()]
    # What was not judged stands where the papers' rule has it, and not among those of which something is known.
    frame = frame.assign(
        by_rule=frame["outcome"].eq(UNJUDGED) & frame["by_points"].notna(), works=frame["minimum_images"].notna()
    )
    height = frame["minimum_images"].fillna(frame["by_points"].where(frame["by_rule"])).fillna(frame["top"])
    frame = frame.assign(height=height)
    variants = {series: place for place, series in enumerate(frame["series"].unique())}
    # Bars of settings would hide each other: each gets a lane of its own around the network's parameters.
    lane = frame["series"].map(variants).astype(float) - (len(variants) - 1) / 2
    logs = frame["parameters"].astype(float).map(math.log10)
    spread = max(logs.max() - logs.min(), 0.5) if len(frame) else 0.5
    axis = parameters_axis(pd.concat([frame, published]), 0.2)
    letter = _LETTER * (axis["range"][1] - axis["range"][0])
    frame = frame.assign(log=logs, x=10 ** (logs + 0.025 * spread * lane)).pipe(_labelled, letter)
    most = int(frame["height"].max()) if len(frame) else 1
    shown_counts = pd.concat([frame[name] for name in ("by_points", "at_least", "minimum_images")]).dropna()
    ticks = list(range(1, most + 1)) if most <= 12 else sorted(shown_counts.unique())
    if (frame["height"] == frame["top"]).any():  # there is no count but all that are larger
        ticks = [tick for tick in ticks if tick < most]
    highest = frame[(frame["height"] == most) & (frame["text"] != "")]
    named_above = highest["side"].str.startswith("top").any()
    room = max(0.6, 0.35 * most) if named_above else 0.6  # for a name of two lines
    title = {"text": "smallest sufficient image count"}
    counts = {"title": title, "range": [0.4, most + room], "tickvals": ticks}
    drawn = figure(xaxis=axis, yaxis=counts)
    if line is not None and len(line):
        drawn.add_traces(_growth_traces(line))
    if len(published):
        drawn.add_trace(_published_trace(published))
    for series in variants:
        rows = frame[frame["series"] == series]
        drawn.add_trace(_open_trace(rows[rows["at_least"].notna()], variants[series]))
        drawn.add_trace(_rule_trace(rows[rows["by_points"].notna()], series, variants[series]))
    for (series, works), rows in frame[~frame["by_rule"]].groupby(["series", "works"], sort=False):
        drawn.add_trace(_minimum_trace(rows, str(series), variants[series], bool(works)))
    return drawn.update_layout(showlegend=sum(trace.showlegend is not False for trace in drawn.data) > 1)


def _growth_traces(line: pd.DataFrame) -> list[go.Scatter]:
    x = line["parameters"].tolist()
    band = {"mode": "lines", "line": {"width": 0, "shape": "hv"}, "hoverinfo": "skip", "x": x}
    band |= {"meta": {"whole": True}}  # a fit to all networks: not to those that a reader picks
    return [
        go.Scatter(**band, y=line["high"].tolist(), showlegend=False),
        go.Scatter(**band, y=line["low"].tolist(), fill="tonexty", fillcolor="rgba(107,119,133,.15)", name="95 % band"),
        go.Scatter(**band, y=line["images"].tolist(), name="fitted median").update(
            line={"width": 1.5, "dash": "dash", "color": FAINT}
        ),
    ]


def _published_trace(published: pd.DataFrame) -> go.Scatter:
    return go.Scatter(
        x=published["parameters"].tolist(),
        y=published["minimum_images"].tolist(),
        mode="markers",
        name="as published, by the papers' rule",
        marker={"symbol": "diamond-open", "size": 8, "color": FAINT, "line": {"width": 1.5}},
        hovertext=[
            hover(
                f"{row['row']}: Li et al. (2022), Table 6",
                parameters=f"{row['parameters']:,}",
                by_the_papers_rule=images_word(row["minimum_images"]),
                chosen="on the test patients themselves",
            )
            for _, row in published.iterrows()
        ],
        hoverinfo="text",
    )


def _labelled(frame: pd.DataFrame, letter: float) -> pd.DataFrame:
    """`frame` with `text`, what is written beside each point, and `side`, where (plotly's `textposition`).

    A network is named once at each height, on the side of its point that faces the middle of the figure: above a point
    that has a count, below any other. Where that would run into the name before it, it goes below or above instead.
    Where neither is free it stays unnamed, unless at most MOST_REASONS networks share the height. Of more than
    MOST_NAMED networks none is named.

    Args:
        letter: width of a letter, in decades of parameters.
    """
    frame = frame.assign(text="", side="top right").sort_values(["height", "log"], kind="stable")
    if frame["backbone"].nunique() > MOST_NAMED:
        return frame.sort_index()
    middle = (frame["log"].min() + frame["log"].max()) / 2
    for _, level in frame.groupby("height", sort=False):
        few = level["backbone"].nunique() <= MOST_REASONS
        ends, named = {"top": -math.inf, "bottom": -math.inf}, set()  # where the last name above and below ends
        for place, point in level.iterrows():
            if point["backbone"] in named:
                continue
            words = [point["backbone"]]
            if few and not (point["works"] or point["by_rule"]):
                words.append(WHY[point["outcome"]])
            width = letter * max(map(len, words))
            beside = "right" if point["log"] <= middle else "left"
            start = point["log"] - (width if beside == "left" else 0)
            usual, other = ("top", "bottom") if point["works"] else ("bottom", "top")
            side = next((side for side in (usual, other) if start >= ends[side]), usual if few else None)
            if side is None:
                continue
            ends[side] = start + width
            frame.loc[place, ["text", "side"]] = ["<br>".join(map(plain, words)), f"{side} {beside}"]
            named.add(point["backbone"])
    return frame.sort_index()


def _open_trace(rows: pd.DataFrame, variant: int) -> go.Scatter:
    """Vertical bars, one a network, in a single trace: a gap after each."""
    x, y, ends = [], [], []
    for at, low, high, censored in rows[["x", "at_least", "height", "censored"]].itertuples(index=False, name=None):
        x += [at, at, None]
        y += [low, high, None]
        ends += ["line-ew", "triangle-up" if censored else "line-ew", "line-ew"]
    colour = look(variant)["line"]["color"]
    return go.Scatter(
        x=x,
        y=y,
        mode="lines+markers",
        showlegend=False,
        line={"color": colour, "width": 2},
        marker={"symbol": ends, "size": 13, "color": colour, "line": {"width": 2, "color": colour}},
        cliponaxis=False,
        hoverinfo="skip",
        meta=keyed(rows, each=3),
    )


def _rule_trace(rows: pd.DataFrame, series: str, variant: int) -> go.Scatter:
    colour = look(variant)["line"]["color"]
    return go.Scatter(
        x=rows["x"].tolist(),
        y=rows["by_points"].tolist(),
        mode="markers+text",
        text=rows["text"].where(rows["by_rule"], "").tolist(),
        textposition=rows["side"].tolist(),
        name=", ".join(filter(None, [plain(series), "by the papers' rule, on means alone"])),
        marker={"symbol": "diamond-open", "size": 10, "color": colour, "line": {"width": 1.5}},
        cliponaxis=False,
        hovertext=[_minimum_hover(row) for _, row in rows.iterrows()],
        hoverinfo="text",
        meta=keyed(rows),
    )


def _minimum_trace(rows: pd.DataFrame, series: str, variant: int, works: bool) -> go.Scatter:
    marker = look(variant)["marker"] | {"size": 15}
    name = "smallest shown to suffice" if works else "none shown to suffice"
    return go.Scatter(
        x=rows["x"].tolist(),
        y=rows["height"].tolist(),
        mode="markers+text",
        name=", ".join(filter(None, [plain(series), name])),
        text=rows["text"].tolist(),
        textposition=rows["side"].tolist(),
        marker=marker | {"symbol": marker["symbol"] + ("" if works else "-open")},
        cliponaxis=False,
        hovertext=[_minimum_hover(row) for _, row in rows.iterrows()],
        hoverinfo="text",
        meta=keyed(rows),
    )


def _minimum_hover(row: pd.Series) -> str:
    score, rule = row.get("score", "HM"), pd.notna(row["by_points"])
    level = f"at the {percent(row['level'])} level" if pd.notna(row["level"]) else "shown"
    return hover(
        row["backbone"],
        parameters=f"{row['parameters']:,}",
        **{level: bracket(row)},
        **{f"{score} there": number(row["minimum_hm"]) if row["works"] else None},
        **{f"{score} of ordinary training": None if pd.isna(row["trained_hm"]) else number(row["trained_hm"])},
        by_the_papers_rule=f"{images_word(row['by_points'])}, {score} {number(row['hm_by_points'])}" if rule else None,
        **{f"highest {score}": number(row["best_hm"])},
        at=None if pd.isna(row["best_images"]) else images_word(row["best_images"]),
        counts_confirmed=row["tried"] or "none",
        because=row["reason"],
    )


def _caption(study: Study) -> str:
    rule, score = Rule.of(study.config), score_word(study.records)
    return (
        f"Point: the smallest count that is shown at the {percent(rule.level)} level to have at most {rule.margin:.2f} "
        f"{score} less than ordinary training of the same network, and more than {rule.floor:g}. Bar: what is open, "
        "from above the counts shown to fall short up to the point; an arrow where no count is shown to suffice "
        "(hollow, with the reason). Intervals are over patients and seeds; with one confirm seed none is claimed. "
        f"Diamond: the papers' rule, the smallest count run whose mean {score} is within {rule.margin:.2f} of the "
        f"network's own best, none where that is under {rule.floor:g}. Dashed, "
        "where three bars or more are closed: a fitted line with its 95 % band."
        f"{' Gray: the six networks of the papers, on their own patients.' if score == 'HM' else ''}"
    )


FIGURE = FigureSpec(
    name="minimum",
    title="Smallest sufficient count, by parameters",
    frame=minimum_frame,
    draw=lambda frame: minimum_figure(frame, growth_frame(frame)),
    caption=_caption,
    wide=True,
    when=lambda study: not run_rows(study).empty,
)
