"""Score tables: what a row says of a patient, and that neither its name nor its place says who it is."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from sldd.metrics.patient_votes import Votes
from sldd.package.apply.films import FilmFile, Patient
from sldd.package.apply.score_table import pseudonyms, scores_csv
from sldd.package.apply.scoring import Scored

PATIENTS = [Patient(name, None, ()) for name in ("Doe", "Poe", "Roe")]


def test_pseudonyms_are_others_each_time() -> None:
    one, again = pseudonyms(PATIENTS), pseudonyms(PATIENTS)
    assert len({*one, *again}) == 6, "a key that somebody knew would lead back"
    alike = pseudonyms([PATIENTS[0], PATIENTS[1], PATIENTS[0]])
    assert alike[0] == alike[2] != alike[1]


def test_rows_are_in_the_order_of_pseudonyms_and_notes_name_no_place() -> None:
    film = FilmFile(Path("x.png"), "film 1 of 1 by name")
    patients = [Patient(each.name, None, (film,)) for each in PATIENTS]
    counts = np.array([[2, 1, 1], [4, 0, 0], [0, 3, 1]])
    votes = Votes([0, 1, 2], np.zeros(3), counts, np.zeros((3, 3), int))
    scored = Scored(votes, 3, 1.0, remarks=(("film 3 of 3 by name: too dark", (2,)),), read=(1, 1, 1))
    table = scores_csv(patients, scored, 0.5, ["P-c", "P-a", "P-b"]).decode()
    rows = list(csv.DictReader(table.splitlines()))
    assert [row["patient"] for row in rows] == ["P-a", "P-b", "P-c"]
    said = [(row["score"], row["positive"], row["undecided"], row["note"]) for row in rows]
    assert said == [("", "0", "1", ""), ("0.250000", "0", "0", "too dark"), ("0.500000", "1", "0", "")], (
        "at least delta"
    )
