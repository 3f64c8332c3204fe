"""The three figures of the answer: HM against parameters, HM against images, smallest count against parameters.

Every figure is two functions: `x_frame(study)` returns the numbers, `x_figure(frame)` draws them and nothing else.
All of them stand on confirm trials alone.
"""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from analysis.confirmed import SETTING, distilled, full_training_means, settings_apart, training_means
from analysis.minimum import bracket, count_evidence, minimum_images, percent
from analysis.records import Study
from analysis.theme import INK, figure, hover, images_word, log_axis, look, number, parameters_word, plain

_HM_AXIS = {"title": {"text": "HM on test patients"}, "range": [0, 1.03]}


def hm_by_parameters_frame(study: Study) -> pd.DataFrame:
    """One row a cell: columns of `count_evidence`, and `series`, the image count (and setting) that names its trace.

    Ordinary training, where the study ran it, follows with `images` missing.
    """
    parts = []
    for means in (count_evidence(study), training_means(study)):
        series = [images_word(count) for count in means["images"]]
        parts.append(means.assign(series=_named(series, settings_apart(means))))
    return pd.concat(parts, ignore_index=True).sort_values("parameters", kind="stable")


def hm_by_parameters_figure(frame: pd.DataFrame) -> go.Figure:
    """Mean test HM against parameters, a trace an image count; bars span the lowest and the highest seed."""
    drawn = figure(xaxis=_parameters_axis(frame, 0.06), yaxis=_HM_AXIS)
    counted = distilled(frame).sort_values("images", kind="stable")
    drawn.add_traces(_hm_traces(counted, "images", "parameters", "markers"))
    for trace in _hm_traces(frame[frame["images"].isna()], "method", "parameters", "markers"):
        drawn.add_trace(trace.update(marker={"symbol": "x-thin-open", "size": 13, "color": INK}))
    return drawn


def hm_by_images_frame(study: Study) -> pd.DataFrame:
    """One row a cell: columns of `count_evidence`; `series`, the backbone (and setting) that names its line;
    `smallest`, whether this count is its backbone's smallest by the papers' rule; and `trained`, the mean HM of
    ordinary training of that backbone, norm and start, missing where the study did not run it."""
    means = count_evidence(study).sort_values("images", kind="stable")
    answer = minimum_images(study)[[*SETTING, "backbone", "by_points"]]
    means = means.merge(answer, on=[*SETTING, "backbone"], how="left")
    trained = full_training_means(study)[["backbone", "norm", "start", "hm"]].rename(columns={"hm": "trained"})
    means = means.merge(trained, on=["backbone", "norm", "start"], how="left")
    return means.assign(
        series=_named(means["backbone"].tolist(), settings_apart(means)),
        smallest=means["images"].eq(means["by_points"]).fillna(False).astype(bool),
    )


def hm_by_images_figure(frame: pd.DataFrame) -> go.Figure:
    """Mean test HM against the image count, a line a backbone; a ring marks the smallest by the papers' rule."""
    counts = sorted(frame["images"].unique())
    axis = {"title": {"text": "distilled images"}, "tickvals": counts, "ticktext": [str(count) for count in counts]}
    drawn = figure(xaxis=axis, yaxis=_HM_AXIS)
    drawn.add_traces(_hm_traces(frame.sort_values("parameters", kind="stable"), "backbone", "images", "lines+markers"))
    own = ["backbone", *(column for column in ("norm", "start") if frame[column].nunique() > 1)]
    for _, row in frame[frame["trained"].notna()].drop_duplicates(own).iterrows():
        drawn.add_hline(
            y=float(row["trained"]),
            line={"dash": "dot", "width": 1.2, "color": INK},
            annotation={"text": plain(", ".join([*row[own], "ordinary training"])), "font": {"size": 11}},
        )
    rings = frame[frame["smallest"]]
    drawn.add_trace(
        go.Scatter(
            x=rings["images"].tolist(),
            y=rings["hm"].tolist(),
            mode="markers",
            name="smallest count by the papers' rule",
            marker={"symbol": "circle-open", "size": 22, "color": "black", "line": {"width": 1.5}},
            hoverinfo="skip",
        )
    )
    return drawn


def minimum_frame(study: Study) -> pd.DataFrame:
    """`minimum_images` of the study with `series`, the setting in words, and `top`, the height where backbones
    without a sufficient count are drawn: one above the largest count of the study."""
    answer = minimum_images(study)
    counts = study.records["images"].dropna()
    return answer.assign(series=settings_apart(answer), top=int(counts.max()) + 1 if len(counts) else 1)


def minimum_figure(frame: pd.DataFrame) -> go.Figure:
    """Smallest sufficient image count against parameters: a point by the papers' rule and a bar over what the
    bootstrap leaves open, an arrow where that has no end. Hollow at the top: backbones no count suffices for."""
    frame = frame[frame["parameters"].notna()].assign(
        height=lambda rows: rows["by_points"].fillna(rows["top"]),
        end=lambda rows: rows["minimum_images"].fillna(rows["top"]),
        works=lambda rows: rows["by_points"].notna(),
    )
    variants = {series: place for place, series in enumerate(frame["series"].unique())}
    # Bars of settings would hide each other: each gets a lane of its own around the network's parameters.
    lane = frame["series"].map(variants).astype(float) - (len(variants) - 1) / 2
    logs = frame["parameters"].astype(float).map(math.log10)
    spread = max(logs.max() - logs.min(), 0.5) if len(frame) else 0.5
    frame = frame.assign(log=logs, x=10 ** (logs + 0.025 * spread * lane)).pipe(_labelled, 0.3 * spread)
    most = int(frame[["height", "end"]].to_numpy().max()) if len(frame) else 1
    told = pd.concat([frame[name] for name in ("by_points", "at_least", "minimum_images")]).dropna()
    ticks = list(range(1, most + 1)) if most <= 12 else sorted(told.unique())
    if frame["censored"].any():  # at the top is no count but all that are larger
        ticks = [tick for tick in ticks if tick < most]
    axis = {"title": {"text": "smallest sufficient image count"}, "range": [0.4, most + 0.6], "tickvals": ticks}
    drawn = figure(xaxis=_parameters_axis(frame, 0.2), yaxis=axis)
    for series in variants:
        rows = frame[frame["series"] == series]
        drawn.add_trace(_open_trace(rows[rows["at_least"].notna()], variants[series]))
    for (series, works), rows in frame.groupby(["series", "works"], sort=False):
        drawn.add_trace(_minimum_trace(rows, str(series), variants[series], bool(works)))
    return drawn.update_layout(showlegend=len(drawn.data) > 1 + len(variants))


def _labelled(frame: pd.DataFrame, near: float) -> pd.DataFrame:
    """`text` and `side` of each point's name: once a height, beside its bar and towards the middle of the figure;
    above the point (at the top: under it), unless its neighbour's, less than `near` decades away, is there."""
    frame = frame.assign(text="", side="top right").sort_values(["height", "log"], kind="stable")
    middle = (frame["log"].min() + frame["log"].max()) / 2
    for _, level in frame.groupby("height", sort=False):
        last, side, named = -math.inf, "", set()
        for place, point in level.iterrows():
            if point["backbone"] in named:
                continue
            usual, other = ("top", "bottom") if point["works"] else ("bottom", "top")
            crowded = point["log"] - last < near and side == usual
            last, side = point["log"], other if crowded else usual
            beside = "right" if point["log"] <= middle else "left"
            words = [point["backbone"]] if point["works"] else [point["backbone"], _why(point["reason"])]
            frame.loc[place, ["text", "side"]] = ["<br>".join(map(plain, words)), f"{side} {beside}"]
            named.add(point["backbone"])
    return frame.sort_index()


def _open_trace(rows: pd.DataFrame, variant: int) -> go.Scatter:
    """Vertical bars, one a network, in a single trace: a gap after each."""
    x, y, ends = [], [], []
    for at, low, high, censored in rows[["x", "at_least", "end", "censored"]].itertuples(index=False, name=None):
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
    )


def _minimum_trace(rows: pd.DataFrame, series: str, variant: int, works: bool) -> go.Scatter:
    marker = look(variant)["marker"] | {"size": 15}
    name = "smallest by the papers' rule" if works else "no count suffices"
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
    )


def _why(reason: str) -> str:
    return "not confirmed yet" if reason.startswith("no confirm") else "no count suffices"


def _minimum_hover(row: pd.Series) -> str:
    return hover(
        row["backbone"],
        parameters=f"{row['parameters']:,}",
        by_the_papers_rule=images_word(row["by_points"]) if row["works"] else None,
        HM_there=number(row["hm_by_points"]) if row["works"] else None,
        best_HM=number(row["best_hm"]),
        at=None if pd.isna(row["best_images"]) else images_word(row["best_images"]),
        **{f"at the {percent(row['level'])} level": bracket(row)},
        counts_confirmed=row["tried"] or "none",
        open_because=row["reason"],
    )


def _hm_traces(frame: pd.DataFrame, by: str, x: str, mode: str) -> list[go.Scatter]:
    """A trace a series: the colour tells what it is `by`, dash and filling tell its setting."""
    colours = {value: place for place, value in enumerate(frame[by].unique())}
    settings = settings_apart(frame)
    variants = {setting: place for place, setting in enumerate(settings.unique())}
    traces = []
    for series in frame["series"].unique():
        rows = frame[frame["series"] == series].sort_values(x, kind="stable")
        style = look(colours[rows[by].iloc[0]], variants[settings[rows.index[0]]])
        bars = {"array": rows["hm_high"] - rows["hm"], "arrayminus": rows["hm"] - rows["hm_low"]}
        traces.append(
            go.Scatter(
                x=rows[x].tolist(),
                y=rows["hm"].tolist(),
                # A mean of equal numbers can be off by a rounding.
                error_y={name: bar.clip(lower=0).tolist() for name, bar in bars.items()}
                | {"thickness": 1.5, "width": 5},
                mode=mode,
                name=plain(series),
                hovertext=[_hm_hover(row) for _, row in rows.iterrows()],
                hoverinfo="text",
                **style,
            )
        )
    return traces


def _hm_hover(row: pd.Series) -> str:
    seeds = f"{row['seeds']} seed{'' if row['seeds'] == 1 else 's'}"
    return hover(
        f"{row['backbone']}, {images_word(row['images'])}",
        parameters=number(row["parameters"], 0),
        HM=f"{number(row['hm'])} over {seeds} ({number(row['hm_low'])} to {number(row['hm_high'])})",
        bootstrap=_interval(row),
        sensitivity=number(row["sensitivity"]),
        specificity=number(row["specificity"]),
        AUC=number(row["auc"]),
        **{"HM at threshold 0.4": number(row["hm_at_0.4"])},
        HM_on_validation_patients=number(row["val_hm"]),
        method=str(row["method"]).upper().replace("_", " "),
        norm=row["norm"],
        **({} if pd.isna(row["images"]) else _distilled_facts(row)),
    )


def _interval(row: pd.Series) -> str | None:
    """The interval of the mean HM; ordinary training and trials without votes have none."""
    if pd.isna(row["interval_low"]):
        return None
    ends = f"{number(row['interval_low'])} to {number(row['interval_high'])}"
    return f"{ends} ({percent(row['level'])} interval over patients and seeds)"


def _distilled_facts(row: pd.Series) -> dict[str, str]:
    return {
        "labels_start": row["label_init"],
        "distill_steps_x_epochs": f"{row['distill_steps']} x {row['distill_epochs']}",
        "shared": f"{number(row['memory_star_kb'], 1)} kB",
    }


def _named(series: list[str], settings: pd.Series) -> list[str]:
    return [f"{name}, {setting}" if setting else name for name, setting in zip(series, settings, strict=True)]


def _parameters_axis(frame: pd.DataFrame, room: float) -> dict[str, Any]:
    return log_axis("parameters of the network", frame["parameters"].dropna(), parameters_word, room)
