"""Test score of each package against how well its training patients can be told from others (`study.anonymity`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from analysis.figures.parts.scores import TRAINED, score_axis, score_points
from analysis.figures.parts.spec import FigureSpec
from analysis.figures.parts.theme import FAINT, figure, hover, look
from analysis.records.cell_means import confirm_rows, setting_labels
from analysis.records.records import Study, score, score_word
from analysis.text.anonymity import MEMBERSHIP, anonymity_table, reports
from analysis.text.words import images_word, number

PACKAGE = "package"
COLUMNS = ["study", "trial", "series", "subject", "measure", "value", "low", "high", "hm"]


def membership_frame(studies: Sequence[Study]) -> pd.DataFrame:
    """One row a package that `study.anonymity` attacked, and one a control (ordinary training of its network): columns
    of the records; `subject`, `measure`, `value` (AUC of the membership attack), `low` and `high` of
    `anonymity_table`; `hm`, the trial's test score; `series`, what tells it apart, by study where there are several."""
    parts = [rows for study in studies if len(rows := _rows(study))]
    if not parts:
        return pd.DataFrame(columns=[*COLUMNS, "task"])
    frame = pd.concat(parts, ignore_index=True)
    settings = setting_labels(frame[frame["subject"] == PACKAGE]).reindex(frame.index, fill_value="")
    of = [frame["study"]] if len(parts) > 1 else []
    names = zip(*of, frame["backbone"], frame["images"].map(images_word), settings, strict=True)
    return frame.assign(series=[", ".join(filter(None, name)) for name in names])


def _rows(study: Study) -> pd.DataFrame:
    attacks = anonymity_table(reports(study))
    attacks = attacks[attacks["attack"] == MEMBERSHIP].drop(columns="cell")
    attacks = attacks.drop_duplicates(["trial", "subject"])  # packages of one network share their control
    trials = confirm_rows(study.records)
    found = attacks.merge(trials.assign(hm=score(trials, "test").astype("float64")), on="trial")
    return found.assign(study=study.name)


def membership_figure(frame: pd.DataFrame) -> go.Figure:
    """Test score against membership AUC with its interval; hollow where no references calibrated it, a cross where the
    network was trained on the patients themselves, a line at chance."""
    drawn = figure(
        xaxis={"title": {"text": "AUC of telling who trained (0.5 is chance)"}, "range": _range(frame)},
        yaxis=score_axis(frame),
    )
    drawn.add_vline(x=0.5, line={"dash": "dot", "color": FAINT})
    for name, rows, marker in _traces(frame):
        bars = {"array": (rows["high"] - rows["value"]).tolist(), "arrayminus": (rows["value"] - rows["low"]).tolist()}
        at = {"x": rows["value"].tolist(), "y": rows["hm"].tolist(), "error_x": bars | {"thickness": 1.2, "width": 4}}
        drawn.add_trace(score_points(rows, name, _hover, **at, marker=marker))
    return drawn


def _traces(frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame, dict[str, Any]]]:
    packages = frame[frame["subject"] == PACKAGE]
    for place, (series, rows) in enumerate(packages.groupby("series", sort=False)):
        for raw, kind in rows.groupby(rows["measure"].eq("raw")):
            name = f"{series}, without references" if raw else str(series)
            yield name, kind, look(place, int(bool(raw)))["marker"]
    if len(control := frame[frame["subject"] != PACKAGE]):
        yield "control: trained on the patients themselves", control, TRAINED


def _range(frame: pd.DataFrame) -> list[float]:
    ends = [*frame["low"], *frame["high"], 0.5]
    return [min(ends) - 0.05, max(ends) + 0.05]


def _hover(row: pd.Series) -> str:
    images = "ordinary training" if pd.isna(row["images"]) else images_word(row["images"])
    return hover(
        f"{row['backbone']}, {images}",
        trial=row["trial"],
        membership_AUC=f"{number(row['value'])} ({number(row['low'])} to {number(row['high'])})",
        **{score_word(row.to_frame().T): number(row["hm"])},
    )


def _of_one(study: Study) -> pd.DataFrame:
    return membership_frame([study])


_CAPTION = (
    "How well a package does on test patients, against how well the membership attack of study.anonymity tells its "
    "training patients from those; a package each, bars the 95 % interval over patients. Hollow: without "
    "references, a weak attack. The control is ordinary training of the same network, with references of its own: "
    "where the attack does not find members there, that it finds none in a package says little."
)

FIGURE = FigureSpec(
    name="membership",
    title="{score} by what can be guessed of patients",
    frame=_of_one,
    draw=membership_figure,
    caption=lambda _: _CAPTION,
)
COMPARISON = FigureSpec(
    name="membership",
    title="Score by what can be guessed of patients",
    frame=membership_frame,
    draw=membership_figure,
    caption=lambda _: _CAPTION,
)
