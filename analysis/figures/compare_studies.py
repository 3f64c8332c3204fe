"""Several studies beside each other: each network's best score, and its smallest image count by either rule.

Studies may have other patients, budgets and protocols: what is beside each other is not therefore comparable, and the
caption of the figure says so.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from analysis.figures.parts.facets import keyed
from analysis.figures.parts.scores import hm_hover, parameters_axis, score_points, seed_bars
from analysis.figures.parts.spec import FigureSpec
from analysis.figures.parts.theme import figure, look
from analysis.records.cell_means import cell_means, settings_apart
from analysis.records.records import Study, score_word
from analysis.stats.minimum import minimum_images
from analysis.text.words import images_word, number, protocol_mark
from ledger.schema import SETTING


def side_by_side_frame(studies: Sequence[Study]) -> pd.DataFrame:
    """One row a study, setting and backbone: columns of `cell_means` at its best image count; `outcome`,
    `minimum_images` and `by_points` of `minimum_images`, missing for controls; `score`, the name of what decides; and
    `study`, its name, with a mark for the protocol."""
    parts = []
    names = [study.name for study in studies]
    for place, study in enumerate(studies):
        means = cell_means(study)
        best = means.sort_values("hm", kind="stable", ascending=False).drop_duplicates([*SETTING, "backbone"])
        answer = minimum_images(study)[[*SETTING, "backbone", "by_points", "outcome", "minimum_images"]]
        best = best.merge(answer, on=[*SETTING, "backbone"], how="left")
        # Two studies of one name, such as one study on two cohorts, are told apart by their place.
        name = f"{study.name} ({place + 1})" if names.count(study.name) > 1 else study.name
        words = {"study": f"{name}{protocol_mark(study)}", "score": score_word(best)}
        parts.append(best.assign(setting=settings_apart(best), **words))
    return pd.concat(parts, ignore_index=True).sort_values(["study", "parameters"], kind="stable")


def side_by_side_figure(frame: pd.DataFrame) -> go.Figure:
    """Best mean test score against parameters, a trace a study, which names its score where they differ."""
    scores = frame["score"].unique()
    title = f"best {scores[0] if len(scores) == 1 else 'score'} on test patients"
    drawn = figure(xaxis=parameters_axis(frame, 0.06), yaxis={"title": {"text": title}, "range": [0, 1.03]})
    for place, (study, rows) in enumerate(frame.groupby("study", sort=False)):
        study = study if len(scores) == 1 else f"{study}, {rows['score'].iloc[0]}"
        at = {"x": rows["parameters"].tolist(), "y": rows["hm"].tolist(), "error_y": seed_bars(rows)}
        keys, marker = keyed(rows.drop(columns="images")), look(place)["marker"]
        drawn.add_trace(score_points(rows, study, hm_hover, **at, meta=keys, marker=marker))
    return drawn


def side_by_side_rows(frame: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of a table: a row a network and setting, a column a study."""
    studies = list(dict.fromkeys(frame["study"]))
    rows = []
    for (_, backbone, setting), group in frame.groupby(["parameters", "backbone", "setting"], dropna=False):
        answers = {row["study"]: _answer(row) for _, row in group.iterrows()}
        name = f"{backbone} ({setting})" if setting else str(backbone)
        rows.append(
            [name, number(float(group["parameters"].iloc[0]), 0), *(answers.get(study, "not run") for study in studies)]
        )
    return ["network", "parameters", *studies], rows


def _answer(row: pd.Series) -> str:
    best = f"{row['score']} {number(row['hm'], 2)} with {images_word(row['images'])}"
    if pd.isna(row["outcome"]):  # real images: no rule asks how few of them suffice
        return best
    rule = "no count" if pd.isna(row["by_points"]) else images_word(row["by_points"])
    shown = (
        row["outcome"] if pd.isna(row["minimum_images"]) else f"{images_word(row['minimum_images'])} shown to suffice"
    )
    return f"{best}; {shown}; {rule} by the papers' rule"


FIGURE = FigureSpec(
    name="hm",
    title="Best score by parameters",
    frame=side_by_side_frame,
    draw=side_by_side_figure,
    caption=lambda _: (
        "The best mean test score of each network in each study, over its image counts (the highest of several, so too "
        "high a guess of what it has); bars from the lowest to the highest seed. A count is shown to suffice beside "
        "ordinary training of the same network; the papers' rule compares means of the network's own counts. "
        "Studies with other patients, budgets or protocols are not comparable for standing side by side, nor are "
        "scores of different kinds."
    ),
    table=side_by_side_rows,
)
