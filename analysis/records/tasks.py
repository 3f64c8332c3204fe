"""Tasks by name, as analysis knows them: how their results are read, and what is said of them.

Those of `TASKS` are known everywhere. Any other is like one of them in how its results are read, and its study's
`study.yaml` says which and in what words (`learn`). Results that are like none are a new entry, and columns of
`ledger.schema` where they have other scores.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import numpy as np
import pandas as pd

from analysis.records.bootstrap import Resampled
from analysis.records.class_runs import pooled_class_run, resampled_balanced_accuracies
from analysis.records.multilabel_runs import pooled_film_run, resampled_aucs
from analysis.records.patient_runs import pooled_run, resampled_hms

USUAL = "patches"
"""That of studies from before there was a choice."""


class TaskRun(Protocol):
    """All test patients of one cell at one seed."""

    @property
    def patients(self) -> tuple[str, ...]:
        """Pseudonyms; one for each of a patient's images, where these are scored."""

    @property
    def columns(self) -> dict[str, Any]:
        """Columns of `records` that are of all these patients together."""


class Measure(NamedTuple):
    """Words for a column of `cell_means`: in a box, and over a column of tables that have it."""

    words: str
    heading: str = ""


@dataclass(frozen=True)
class TaskResults:
    """How one task's results are read.

    Attributes:
        like: the entry of `TASKS` whose results are read in this way.
        score: what cells are compared by, after `val_` and `test_` in columns of `records`.
        smooth: what states are chosen by, the mean of these, likewise.
        word: the same for people.
        seen: what ordinary training learns from.
        pictures: what patients have several of.
        pooled: the run that results of confirm trials (one a fold) make up; None where one holds nothing to score.
        resampled: the score of runs, and that on resampled patients; before them those of runs beside, where these
            met the same. None where it cannot be.
        measures: what else is shown of a cell, by columns of `cell_means`.
        protocol: how states were chosen, and what the score is where its name does not say.
        chosen: what is to be known of the score on validation patients.
        labels: what stands under distilled images; empty where these are patches.
        cell_figure: name of the figure that is drawn of each cell.
        published: which published tables are about it, `patients` or `transfer`; None where none is.
    """

    like: str
    score: str
    smooth: tuple[str, ...]
    word: str
    seen: str
    pooled: Callable[[Sequence[Mapping[str, Any]]], TaskRun | None]
    resampled: Callable[[Any, Any, int, np.random.Generator], Resampled | None]
    measures: Mapping[str, Measure]
    protocol: str
    chosen: str
    cell_figure: str
    labels: str = ""
    pictures: str = "radiographs"
    published: str | None = None


_TOO_HIGH = " The state was chosen on these patients, so the score is too high."
TASKS: dict[str, TaskResults] = {
    USUAL: TaskResults(
        like=USUAL,
        score="hm",
        smooth=("auc", "patch_accuracy"),
        word="HM",
        seen="patches",
        pooled=pooled_run,
        resampled=resampled_hms,
        measures={
            "sensitivity": Measure("sensitivity", "Sen"),
            "specificity": Measure("specificity", "Spe"),
            "auc": Measure("AUC", "AUC"),
            "hm_at_0.4": Measure("HM at threshold 0.4"),
        },
        protocol="Thresholds and states were chosen on validation patients.",
        chosen=" State and threshold were chosen on these patients, so this HM is too high: in simulation by 0.17 to "
        "0.21 with 16 of them, by 0.04 to 0.05 with 200.",
        cell_figure="hm-by-delta",
        published="patients",
    ),
    "multilabel": TaskResults(
        like="multilabel",
        score="auc",
        smooth=("auc",),
        word="AUC",
        seen="films",
        pooled=pooled_film_run,
        resampled=resampled_aucs,
        measures={
            "ap": Measure("average precision", "Average\nprecision"),
            "hamming_loss": Measure("Hamming loss", "Hamming\nloss"),
        },
        protocol="AUC is the mean over the findings that some test films have and others have not. States were chosen "
        "on validation patients.",
        chosen=_TOO_HIGH,
        cell_figure="auc-by-finding",
        labels="the findings that its label has most of, each with a probability of its own",
        published="transfer",
    ),
    "classes": TaskResults(
        like="classes",
        score="balanced_accuracy",
        smooth=("balanced_accuracy", "auc"),
        word="balanced accuracy",
        seen="images",
        pooled=pooled_class_run,
        resampled=resampled_balanced_accuracies,
        measures={"auc": Measure("AUC", "AUC"), "accuracy": Measure("accuracy", "Accuracy")},
        protocol="Balanced accuracy is the mean over the classes of the share of their test images that are told; AUC "
        "the mean over the classes, each against the rest. States were chosen on validation patients.",
        chosen=_TOO_HIGH,
        cell_figure="confusion",
        labels="the classes that its label has most of, in percent of what is positive in it",
        pictures="images",
    ),
}

_OWN = frozenset(TASKS)
_WORDS = ("word", "seen", "protocol", "chosen", "labels", "pictures")


def told(name: str, results: TaskResults) -> dict[str, dict[str, str]]:
    """What `study.yaml` says of a task, for readers who know it by no other means."""
    if name in _OWN:
        return {}
    return {name: {"like": results.like} | {field: getattr(results, field) for field in _WORDS}}


def learn(tasks: Mapping[str, Any]) -> None:
    """Add what `study.yaml` says of its tasks (`told`) to `TASKS`; what is damaged stays unknown."""
    for name, said in tasks.items():
        like = TASKS.get(str(said.get("like"))) if isinstance(said, dict) and name not in _OWN else None
        if like is not None:
            words = {field: said[field] for field in _WORDS if isinstance(said.get(field), str)}
            TASKS[name] = replace(like, **words)


def task_of(frame: pd.DataFrame) -> TaskResults:
    """The task that rows with a column `task` are about."""
    named = [name for name in frame["task"].dropna().unique() if name in TASKS and name != USUAL]
    return TASKS[named[0] if named else USUAL]
