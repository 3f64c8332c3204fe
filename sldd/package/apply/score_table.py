"""The table that ``apply`` leaves: a row a patient, under pseudonyms."""

from __future__ import annotations

import csv
import hashlib
import hmac
import io
import secrets
from collections.abc import Sequence

from sldd.data.patches import CLASSES
from sldd.metrics.patient_votes import UNDECIDED, Votes
from sldd.package.apply.films import Patient

COLUMNS = ("patient", "radiographs", *(f"votes_{name}" for name in CLASSES), "score", "positive", "undecided", "label")
"""``score``: votes for P among those for N and P, empty where there is none; ``positive``: 1 where it is at least
delta; ``undecided``: 1 where no patch voted N or P, which counts as negative; ``label``: the manifest's, if any."""


def pseudonyms(patients: Sequence[Patient]) -> list[str]:
    """``P-3f9a12bc04de``-like names under a key that is thrown away: nobody can work them out again."""
    key = secrets.token_bytes(32)
    return ["P-" + hmac.new(key, patient.name.encode(), hashlib.sha256).hexdigest()[:12] for patient in patients]


def scores_csv(patients: Sequence[Patient], votes: Votes, delta: float, names: Sequence[str]) -> bytes:
    """The table; rows are in the order of pseudonyms, which says nothing of the order of patients."""
    rows = []
    for patient, name, counts, score in zip(patients, names, votes.counts, votes.scores, strict=True):
        undecided = score == UNDECIDED
        said = ["" if undecided else f"{score:.6f}", int(score >= delta and not undecided), int(undecided)]
        label = "" if patient.label is None else patient.label
        rows.append([name, len(patient.films), *counts.tolist(), *said, label])
    return _csv([COLUMNS, *sorted(rows)])


def names_csv(patients: Sequence[Patient], names: Sequence[str]) -> bytes:
    """Which patient has which pseudonym; for the receiver's eyes alone."""
    return _csv([("pseudonym", "patient"), *sorted(zip(names, (patient.name for patient in patients), strict=True))])


def _csv(rows: Sequence[Sequence[object]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()
