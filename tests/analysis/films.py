"""Thirty films of ten patients, of three classes, and how a ledger keeps what a network says of them."""

from __future__ import annotations

import numpy as np

from analysis.records.multilabel_runs import FilmRun

_RANDOM = np.random.default_rng(0)
LABELS = (_RANDOM.random((30, 3)) < 0.4).astype(float)
LABELS[3, 0] = np.nan
LABELS[:, 2] = 0  # nobody has it
SCORES = _RANDOM.random((30, 3)).round(1)  # with ties
PATIENTS = tuple(f"P-{number // 3}" for number in range(30))


def film_split(labels: np.ndarray, scores: np.ndarray, patients: tuple[str, ...]) -> dict[str, object]:
    """A SPLIT of the ledger: what a trial says of its films."""
    films = [
        {"patient": name, "labels": [None if x != x else int(x) for x in row], "probabilities": each}
        for name, row, each in zip(patients, labels.tolist(), scores.tolist(), strict=True)
    ]
    run = FilmRun(patients, labels, scores)
    return {"auc": run.auc, "average_precision": run.ap, "hamming_loss": 0.3, "auc_low": 0.1, "films": films}
