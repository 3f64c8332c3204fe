"""Means of confirm trials over their seeds: the only numbers that the study's answer uses.

A search trial was picked by its own validation score; a confirm trial runs the winning setting again on a fresh seed
and meets the test patients once. Everything that claims something about test patients starts here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

import pandas as pd

from analysis.records.records import Study, compared, score
from analysis.records.runs import folds_of, pool
from ledger.schema import AXES, SETTING, TRAINED_ALIKE

MEANS = {
    "val_hm": "val_hm",
    "test_sensitivity": "sensitivity",
    "test_specificity": "specificity",
    "test_auc": "auc",
    "test_hm_at_0.4": "hm_at_0.4",
    "test_ap": "ap",
    "test_hamming_loss": "hamming_loss",
    "test_balanced_accuracy": "balanced_accuracy",
    "test_accuracy": "accuracy",
    "memory_mib": "memory_mib",
    "memory_star_kb": "memory_star_kb",
    "compression_rate": "compression_rate",
    "shared_kb": "shared_kb",
    "core_seconds": "core_seconds",
    "peak_memory_mib": "peak_memory_mib",
    "fresh_score": "fresh_score",
}


def confirm_rows(records: pd.DataFrame) -> pd.DataFrame:
    """The finished confirm trials of `compared` records that have the score of their task on test patients."""
    records = compared(records)
    finished = records["phase"].eq("confirm") & records["status"].eq("done") & score(records, "test").notna()
    return records[finished.fillna(False).astype(bool)]


def distilled(records: pd.DataFrame) -> pd.DataFrame:
    """The rows of `records` that are about distilled images; ordinary training has none."""
    return records[records["images"].notna()]


@lru_cache(maxsize=4)  # a page asks for them several times, and pooling reads result files
def run_rows(study: Study) -> pd.DataFrame:
    """One row a run (one cell at one seed, on all its test patients), in study order; not to be written to.

    Columns of `records`, and `trials`, the names of the run's trials. Where patients do not rotate a run is a finished
    confirm trial and its row is the trial's own; where they do, see `runs.pool`.
    """
    rows, folds = confirm_rows(study.records), folds_of(study)
    if folds is None:
        return rows.assign(trials=rows["trial"].map(lambda trial: (trial,)).astype(object))
    return pool(study, rows, [*SETTING, "backbone", "images"], folds)


def cell_means(study: Study) -> pd.DataFrame:
    """One row a setting, backbone and image count, in study order; distilled cells only.

    Columns: SETTING, backbone, images, parameters, then over the seeds `hm` (mean), `hm_low` and `hm_high` (the lowest
    and highest seed), `seeds` (how many), `task`, `protocol`, and the means of the other measures, each in the unit of
    `records`. Of another task than patches `hm`, `hm_low` and `hm_high` are those of its score. Each seed's measures
    are those of its run: of all test patients, also where these rotate through folds.
    """
    return _means(distilled(run_rows(study)))


def training_means(study: Study) -> pd.DataFrame:
    """The same columns for ordinary training on real patches; `images` is missing."""
    rows = run_rows(study)
    return _means(rows[rows["images"].isna()])


def full_training(rows: pd.DataFrame) -> pd.DataFrame:
    """The runs or means of ordinary training on all patches of all classes: what distilled images are held against."""
    return rows[rows["images"].isna() & rows["train_patches"].isna() & rows["train_classes"].fillna("INP").ne("NP")]


def usual_epochs(study: Study) -> int | None:
    """The epochs of cells that have no number of their own; None where outer steps are counted instead."""
    epochs = study.setting("outer", "epochs")
    return epochs if isinstance(epochs, int) else None


def nearest_epochs(counts: Iterable[int | None], own: int | None, usual: int | None) -> int | None:
    """Epochs of the ordinary training that a distilled cell is compared with: its own number, or else the largest.

    Args:
        counts: the epochs that ordinary training was run for, each None where it is the study's number.
        own: the distilled cell's, likewise; also the result where there are no `counts`.
        usual: the study's number; None where outer steps are counted instead.
    """

    def passes(count: int | None) -> int:
        return count or usual or 0

    def preference(count: int | None) -> tuple[bool, bool, int]:
        # None means the study's number, so that a cell that has this number of its own takes as many passes.
        return count == own, passes(count) == passes(own), passes(count)

    return max(counts, key=preference, default=own)


def trained_beside(trained: pd.DataFrame, usual: int | None) -> Callable[[Mapping[Any, Any]], pd.DataFrame]:
    """A function that takes a distilled cell and returns the rows of `trained` that it is compared with.

    They agree with the cell in TRAINED_ALIKE (network, norm, start, transfer, chain); where they took several numbers
    of epochs, `nearest_epochs` chooses.

    Args:
        trained: runs, means or cells of ordinary training (`full_training`), with TRAINED_ALIKE and `epochs`.
        usual: `usual_epochs` of the study.
    """
    columns = [_plain(trained[name]) for name in TRAINED_ALIKE] if len(trained) else []
    epochs = _plain(trained["epochs"])
    places: defaultdict[tuple[Any, ...], list[int]] = defaultdict(list)
    for place, key in enumerate(zip(*columns, strict=True)):
        places[key].append(place)

    def beside(cell: Mapping[Any, Any]) -> pd.DataFrame:
        alike = places[tuple(None if pd.isna(cell[name]) else cell[name] for name in TRAINED_ALIKE)]
        own = None if pd.isna(cell["epochs"]) else cell["epochs"]
        nearest = nearest_epochs((epochs[place] for place in alike), own, usual)
        return trained.iloc[[place for place in alike if epochs[place] == nearest]]

    return beside


def _plain(column: pd.Series) -> list[Any]:
    """The values of a column, with None for what is missing, however pandas spells it."""
    return [None if pd.isna(value) else value for value in column.tolist()]


def _means(rows: pd.DataFrame) -> pd.DataFrame:
    by = [*SETTING, "backbone", "images"]
    return (
        rows.assign(score=score(rows, "test").astype("float64"))
        .groupby(by, sort=False, dropna=False)
        .agg(
            parameters=("parameters", "max"),
            hm=("score", "mean"),
            hm_low=("score", "min"),
            hm_high=("score", "max"),
            seeds=("score", "size"),
            task=("task", "first"),
            # One trial that chose on test patients ("paper") is enough to make the mean optimistic.
            protocol=("protocol", "min"),
            **{name: (column, "mean") for column, name in MEANS.items()},
        )
        .reset_index()
    )


def setting_labels(frame: pd.DataFrame) -> pd.Series:
    """For each row, the parts of its setting that differ within `frame`, in words; empty where nothing does."""
    words = {name: axis.words for name, axis in AXES.items() if axis.words is not None}
    differing = [name for name in words if frame[name].nunique(dropna=False) > 1]
    labels = []
    for _, row in frame.iterrows():
        parts = [words[name](None if pd.isna(row[name]) else row[name]) for name in differing]
        labels.append(", ".join(filter(None, parts)))
    return pd.Series(labels, index=frame.index, dtype="string")


def settings_apart(frame: pd.DataFrame) -> pd.Series:
    """`setting_labels` if any network of `frame` occurs in more than one setting; otherwise empty strings.

    Where each network occurs in one setting, as in the papers' Tables 5 and 6, its name tells it apart. Settings count
    as several even if their image counts differ (real images with one, distilled ones with another).

    Args:
        frame: a row a setting, backbone and (where it has any) image count.
    """
    labels = setting_labels(frame)
    several = labels.groupby(frame["backbone"]).nunique().gt(1).any()
    return labels if several else labels.map(lambda _: "")
