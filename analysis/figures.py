"""The three figures of the answer: HM against parameters, HM against images, smallest count against parameters.

Every figure is two functions: `x_frame(study)` returns the numbers, `x_figure(frame)` draws them and nothing else.
All of them stand on confirm trials alone.
"""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from analysis.confirmed import SETTING, cell_means, distilled, full_training_means, setting_labels, training_means
from analysis.minimum import minimum_images
from analysis.records import Study
from analysis.theme import INK, figure, hover, images_word, log_axis, look, number, parameters_word, plain

_HM_AXIS = {"title": {"text": "HM on test patients"}, "range": [0, 1.03]}


def hm_by_parameters_frame(study: Study) -> pd.DataFrame:
    """One row a cell: columns of `cell_means`, and `series`, the image count (and setting) that names its trace.

    Ordinary training, where the study ran it, follows with `images` missing.
    """
    parts = []
    for means in (cell_means(study.records), training_means(study.records)):
        series = [images_word(count) for count in means["images"]]
        parts.append(means.assign(series=_named(series, setting_labels(means))))
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
    """One row a cell: columns of `cell_means`; `series`, the backbone (and setting) that names its line; `smallest`,
    whether this count is the smallest that suffices for its backbone; and `trained`, the mean HM of ordinary training
    of that backbone, norm and start, missing where the study did not run it."""
    means = cell_means(study.records).sort_values("images", kind="stable")
    answer = minimum_images(study.records)[[*SETTING, "backbone", "minimum_images"]]
    means = means.merge(answer, on=[*SETTING, "backbone"], how="left")
    trained = full_training_means(study.records)[["backbone", "norm", "start", "hm"]].rename(columns={"hm": "trained"})
    means = means.merge(trained, on=["backbone", "norm", "start"], how="left")
    return means.assign(
        series=_named(means["backbone"].tolist(), setting_labels(means)),
        smallest=means["images"].eq(means["minimum_images"]).fillna(False).astype(bool),
    )


def hm_by_images_figure(frame: pd.DataFrame) -> go.Figure:
    """Mean test HM against the image count, a line a backbone; a ring marks the smallest count that suffices."""
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
            name="smallest sufficient count",
            marker={"symbol": "circle-open", "size": 22, "color": "black", "line": {"width": 1.5}},
            hoverinfo="skip",
        )
    )
    return drawn


def minimum_frame(study: Study) -> pd.DataFrame:
    """`minimum_images` of the study with `series`, the setting in words, and `top`, the height where backbones
    without a sufficient count are drawn: one above the largest count of the study."""
    answer = minimum_images(study.records)
    counts = study.records["images"].dropna()
    return answer.assign(series=setting_labels(answer), top=int(counts.max()) + 1 if len(counts) else 1)


def minimum_figure(frame: pd.DataFrame) -> go.Figure:
    """Smallest sufficient image count against parameters; hollow at the top: backbones no count suffices for."""
    frame = frame[frame["parameters"].notna()].assign(height=frame["minimum_images"].fillna(frame["top"]))
    variants = {series: place for place, series in enumerate(frame["series"].unique())}
    # Settings that agree would hide each other: each gets a lane of its own around the whole number.
    lane = frame["series"].map(variants).astype(float) - (len(variants) - 1) / 2
    frame = frame.assign(y=frame["height"].astype(float) + 0.14 * lane).pipe(_labelled)
    most = int(frame["height"].max()) if len(frame) else 1
    ticks = sorted(set(range(1, most)) if most <= 12 else set(frame["minimum_images"].dropna()))
    ticks += [] if frame["censored"].any() else [most]
    axis = {"title": {"text": "smallest sufficient image count"}, "range": [0.4, most + 0.6], "tickvals": ticks}
    drawn = figure(xaxis=_parameters_axis(frame, 0.2), yaxis=axis)
    for (series, censored), rows in frame.groupby(["series", "censored"], sort=False):
        drawn.add_trace(_minimum_trace(rows, str(series), variants[series], bool(censored)))
    return drawn.update_layout(showlegend=len(drawn.data) > 1)


def _labelled(frame: pd.DataFrame) -> pd.DataFrame:
    """`text` and `side` of each point's name: once a height, and under the point where its neighbour's is above."""
    logs = frame["parameters"].astype(float).map(math.log10)
    near = 0.3 * (logs.max() - logs.min())
    frame = frame.assign(log=logs, text="", side="top center").sort_values(["height", "log"], kind="stable")
    for _, level in frame.groupby("height", sort=False):
        last, side, named = -math.inf, "top center", set()
        for place, point in level.iterrows():
            if point["backbone"] in named:
                continue
            crowded = point["log"] - last < near and side == "top center"
            last, side = point["log"], "bottom center" if crowded else "top center"
            words = [point["backbone"], _why(point["reason"])] if point["censored"] else [point["backbone"]]
            frame.loc[place, ["text", "side"]] = ["<br>".join(map(plain, words)), side]
            named.add(point["backbone"])
    return frame.sort_index()


def _minimum_trace(rows: pd.DataFrame, series: str, variant: int, censored: bool) -> go.Scatter:
    marker = look(variant)["marker"] | {"size": 15}
    name = "no count suffices" if censored else "smallest sufficient count"
    return go.Scatter(
        x=rows["parameters"].tolist(),
        y=rows["y"].tolist(),
        mode="markers+text",
        name=", ".join(filter(None, [plain(series), name])),
        text=rows["text"].tolist(),
        textposition=rows["side"].tolist(),
        marker=marker | {"symbol": marker["symbol"] + ("-open" if censored else "")},
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
        smallest_sufficient_count=None if row["censored"] else row["minimum_images"],
        HM_there=None if row["censored"] else number(row["hm_at_minimum"]),
        best_HM=number(row["best_hm"]),
        at=None if pd.isna(row["best_images"]) else images_word(row["best_images"]),
        counts_confirmed=row["tried"] or "none",
        no_minimum_because=row["reason"],
    )


def _hm_traces(frame: pd.DataFrame, by: str, x: str, mode: str) -> list[go.Scatter]:
    """A trace a series: the colour tells what it is `by`, dash and filling tell its setting."""
    colours = {value: place for place, value in enumerate(frame[by].unique())}
    settings = setting_labels(frame)
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
        sensitivity=number(row["sensitivity"]),
        specificity=number(row["specificity"]),
        AUC=number(row["auc"]),
        **{"HM at threshold 0.4": number(row["hm_at_0.4"])},
        HM_on_validation_patients=number(row["val_hm"]),
        method=str(row["method"]).upper().replace("_", " "),
        norm=row["norm"],
        **({} if pd.isna(row["images"]) else _distilled_facts(row)),
    )


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
