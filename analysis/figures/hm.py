"""HM against parameters, and HM against images.

Every figure is two functions: `x_frame(study)` returns the numbers, `x_figure(frame)` draws them and nothing else.
All of them stand on confirm trials alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from analysis.figures.facets import keyed
from analysis.figures.theme import INK, figure, hover, log_axis, look, plain
from analysis.published import NAMES, scored_points
from analysis.records.cell_means import SETTING, distilled, full_training_means, settings_apart, training_means
from analysis.records.records import Study, score_word
from analysis.stats.minimum import count_evidence, minimum_images, percent
from analysis.text.words import images_word, number, parameters_word

# What ordinary training has in common with the distillation that it is drawn beside.
TRAINED_ALIKE = ["backbone", "norm", "start", "transfer", "chain", "epochs"]


def score_axis(frame: pd.DataFrame) -> dict[str, Any]:
    """The axis of `hm`: of what it is in this study."""
    return {"title": {"text": f"{score_word(frame)} on test patients"}, "range": [0, 1.03]}


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
        drawn.add_trace(trace.update(marker={"symbol": "x-thin-open", "size": 13, "color": INK}))
    return drawn.add_traces(published_traces(published, places, "parameters", "hm"))


def published_traces(published: pd.DataFrame, places: Mapping[Any, int], x: str, y: str) -> list[go.Scatter]:
    """The rows of `scored_points` as hollow markers, a trace an image count in the colour of its place, and one entry
    in the legend for all."""
    traces: list[go.Scatter] = []
    for count, rows in published.groupby("images"):
        marker = look(places[count], 1)["marker"] | {"size": 9, "line": {"width": 1.5}, "opacity": 0.75}
        traces.append(
            go.Scatter(
                x=rows[x].tolist(),
                y=rows[y].tolist(),
                mode="markers",
                name="as published, on the papers' own patients",
                legendgroup="published",
                showlegend=not traces,
                marker=marker,
                meta=keyed(rows[["images"]]),
                hovertext=[
                    hover(
                        f"{NAMES[row['backbone']]}, {images_word(row['images'])}: Li et al. (2022), Table 5",
                        parameters=f"{row['parameters']:,}",
                        **{name: number(row[name]) for name in ("sensitivity", "specificity")},
                        HM=number(row["hm"]),
                        chosen="on the test patients themselves",
                    )
                    for _, row in rows.iterrows()
                ],
                hoverinfo="text",
            )
        )
    return traces


def hm_by_images_frame(study: Study) -> pd.DataFrame:
    """One row a cell: columns of `count_evidence`; `series`, the backbone (and setting) that names its line;
    `smallest`, whether this count is its backbone's smallest by the papers' rule; and `trained`, the mean HM of
    ordinary training of that backbone, norm, start, transfer and epochs, missing where the study did not run it."""
    means = count_evidence(study).sort_values("images", kind="stable")
    answer = minimum_images(study)[[*SETTING, "backbone", "by_points"]]
    means = means.merge(answer, on=[*SETTING, "backbone"], how="left")
    trained = full_training_means(study)[[*TRAINED_ALIKE, "hm"]].rename(columns={"hm": "trained"})
    means = means.merge(trained, on=TRAINED_ALIKE, how="left", validate="m:1")
    return means.assign(
        series=_named(means["backbone"].tolist(), settings_apart(means)),
        smallest=means["images"].eq(means["by_points"]).fillna(False).astype(bool),
    )


def hm_by_images_figure(frame: pd.DataFrame) -> go.Figure:
    """Mean test HM against the image count, a line a backbone; a ring marks the smallest by the papers' rule, a dotted
    line what ordinary training of the backbone reaches."""
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
            name="smallest count by the papers' rule",
            marker={"symbol": "circle-open", "size": 22, "color": "black", "line": {"width": 1.5}},
            hoverinfo="skip",
            meta=keyed(rings),
        )
    )
    return drawn


def _trained_traces(frame: pd.DataFrame, places: Mapping[Any, int], ends: list[int]) -> list[go.Scatter]:
    """A dotted line a network (and what it has in common with its distillation) at the HM of ordinary training."""
    own = ["backbone", *(column for column in TRAINED_ALIKE[1:] if frame[column].nunique(dropna=False) > 1)]
    return [
        go.Scatter(
            x=ends,
            y=[row["trained"]] * len(ends),
            mode="lines",
            name=plain(", ".join([*map(str, row[own].dropna()), "ordinary training"])),
            line={"color": look(places[row["backbone"]])["line"]["color"], "dash": "dot", "width": 1.5},
            hovertemplate=f"%{{fullData.name}}: {score_word(frame)} %{{y:.3f}}<extra></extra>",
            meta=keyed(pd.DataFrame([row[own]] * len(ends))),
        )
        for _, row in frame[frame["trained"].notna()].drop_duplicates(own).iterrows()
    ]


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
                hovertext=[hm_hover(row) for _, row in rows.iterrows()],
                hoverinfo="text",
                meta=keyed(rows),
                **style,
            )
        )
    return traces


def hm_hover(row: pd.Series) -> str:
    """All that is known of a row of `cell_means`, as a hover box; the bootstrap's interval where the row has one."""
    seeds = f"{row['seeds']} seed{'' if row['seeds'] == 1 else 's'}"
    score = "AUC" if row["task"] == "multilabel" else "HM"
    return hover(
        f"{row['backbone']}, {images_word(row['images'])}",
        parameters=number(row["parameters"], 0),
        **{score: f"{number(row['hm'])} over {seeds} ({number(row['hm_low'])} to {number(row['hm_high'])})"},
        bootstrap=_interval(row),
        **(_patient_facts(row) if score == "HM" else _finding_facts(row)),
        protocol="the papers'" if row["protocol"] == "paper" else None,
        method=str(row["method"]).upper().replace("_", " "),
        norm=row["norm"],
        trained_before_on=None if pd.isna(row["chain"]) else f"{row['chain']} ({row['transfer']})",
        **({} if pd.isna(row["images"]) else _distilled_facts(row)),
    )


def _patient_facts(row: pd.Series) -> dict[str, str | None]:
    return {
        "sensitivity": number(row["sensitivity"]),
        "specificity": number(row["specificity"]),
        "AUC": number(row["auc"]),
        "HM at threshold 0.4": number(row["hm_at_0.4"]),
        "HM_on_validation_patients": None if row["protocol"] == "paper" else number(row["val_hm"]),
    }


def _finding_facts(row: pd.Series) -> dict[str, str | None]:
    return {"average precision": number(row["ap"]), "Hamming loss": number(row["hamming_loss"])}


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


def _named(series: list[str], settings: pd.Series) -> list[str]:
    return [f"{name}, {setting}" if setting else name for name, setting in zip(series, settings, strict=True)]


def parameters_axis(frame: pd.DataFrame, room: float) -> dict[str, Any]:
    """A logarithmic axis over the column `parameters` of `frame`, with a `room` share to either side."""
    return log_axis("parameters of the network", frame["parameters"].dropna(), parameters_word, room)
