"""Votes of folds put together, and their AUC with its interval (``benchmarks.distillation.lungs``)."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from sldd.metrics.patient_votes import Votes


def pooled(runs: list[dict[str, Any]]) -> Votes:
    """The patients of all folds together."""
    return Votes(
        patients=[patient for run in runs for patient in run["patients"]],
        labels=np.concatenate([run["labels"] for run in runs]),
        counts=np.concatenate([run["counts"] for run in runs]),
        confusion=sum((np.array(run["confusion"]) for run in runs), np.zeros((3, 3), np.int64)),
    )


def pooled_auc(ones: list[Votes], others: list[Votes] | None = None, draws: int = 2000) -> tuple[float, float, float]:
    """Mean over seeds of the pooled AUC, or of the difference of two variants' AUCs, with its 95 % interval.

    The interval is from a bootstrap over patients and seeds, paired by both. Patients who were scored in several folds,
    as validation patients are, are drawn with all of their scores.

    Args:
        ones: pooled votes of each seed.
        others: the same of the variant whose AUC is subtracted; None subtracts nothing.

    Returns:
        Value, lower and upper end.

    Raises:
        ValueError: the patients are not the same, in the same order.
    """
    if any(votes.patients != ones[0].patients for votes in (*ones, *(others or []))):
        raise ValueError("not the same patients, in the same order")
    labels, rows_of = ones[0].labels, defaultdict(list)
    for row, patient in enumerate(ones[0].patients):
        rows_of[patient].append(row)
    rows = [np.array(each) for each in rows_of.values()]
    scores = [votes.scores for votes in ones]
    subtracted = None if others is None else [votes.scores for votes in others]
    random = np.random.default_rng(0)

    def mean(drawn: np.ndarray, seeds: np.ndarray) -> float:
        aucs = np.array([roc_auc_score(labels[drawn], scores[seed][drawn]) for seed in seeds])
        if subtracted is not None:
            aucs = aucs - [roc_auc_score(labels[drawn], subtracted[seed][drawn]) for seed in seeds]
        return float(np.mean(aucs))

    found = []
    for _ in range(draws):
        picked = np.concatenate([rows[patient] for patient in random.integers(len(rows), size=len(rows))])
        if len(set(labels[picked].tolist())) == 2:
            found.append(mean(picked, random.integers(len(scores), size=len(scores))))
    middle = mean(np.arange(len(labels)), np.arange(len(scores)))
    return middle, float(np.quantile(found, 0.025)), float(np.quantile(found, 0.975))
