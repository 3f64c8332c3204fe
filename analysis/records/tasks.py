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
    """How one task's results are read, and the words for them.

    Attributes:
        like: name of the entry of `TASKS` whose results have the same form.
        score: the measure that cells are compared by, as in columns of `records` after `val_` and `test_`.
        smooth: the measures whose mean chooses a state on validation patients, named likewise.
        word: `score` in words.
        seen: what ordinary training learns from, in the plural.
        pictures: what a patient has several of, in the plural.
        pooled: makes one run from the results of its confirm trials (one a fold); None where one of them holds
            nothing to score.
        resampled: scores of runs on the patients as they are, and on resampled ones. Arguments: the runs, the runs of
            ordinary training beside them, how many resamples, and the random numbers. Rows of ordinary training come
            first, and are left out where it met other patients. None where nothing can be scored.
        measures: what else is shown of a cell, by columns of `cell_means`.
        protocol: sentences: what the score is, where its name does not say, and how states were chosen.
        chosen: sentence: how far scores on validation patients are too high. Begins with a space.
        labels: what is written under distilled images; empty for patches, which have a key of their own.
        cell_figure: `name` of the figure that is drawn of each cell (`analysis.figures.CELL_FIGURES`).
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
    """A task's entry in `tasks` of `study.yaml`, from which `learn` makes it known; empty for a built-in one."""
    if name in _OWN:
        return {}
    return {name: {"like": results.like} | {field: getattr(results, field) for field in _WORDS}}


def learn(tasks: Mapping[str, Any]) -> None:
    """Add the tasks of a `study.yaml` (`told`) to `TASKS`, for the whole process.

    Each is read like the task that it names, in words of its own. Entries that are damaged, or are like no known task,
    are left out.
    """
    for name, said in tasks.items():
        like = TASKS.get(str(said.get("like"))) if isinstance(said, dict) and name not in _OWN else None
        if like is not None:
            words = {field: said[field] for field in _WORDS if isinstance(said.get(field), str)}
            TASKS[name] = replace(like, **words)


def task_of(frame: pd.DataFrame) -> TaskResults:
    """The task that rows with a column `task` are about."""
    named = [name for name in frame["task"].dropna().unique() if name in TASKS and name != USUAL]
    return TASKS[named[0] if named else USUAL]
