"""Score tables that ``apply`` writes: a row a patient, under pseudonyms."""

from __future__ import annotations

import csv
import hashlib
import hmac
import io
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import replace

from sldd.data.patches import CLASSES
from sldd.metrics.patient_votes import UNDECIDED, Votes
from sldd.package.apply.films import Patient, Received
from sldd.package.apply.scoring import Scored
from sldd.sources.film_files import left_out_words

_NAMED = 5

COLUMNS = (
    "patient",
    "radiographs",
    *(f"votes_{name}" for name in CLASSES),
    "score",
    "positive",
    "undecided",
    "label",
    "note",
)
"""``score``: votes for P among those for N and P, empty where there is none; ``positive``: 1 where it is at least
delta; ``undecided``: 1 where no patch voted N or P, which counts as negative; ``label``: the manifest's, if any;
``note``: what could not be read, and what looks wrong. A patient none of whose radiographs can be read has a note and
no votes."""

LEFT_OUT = "(left out)"
"""In place of a patient in the last row, whose note counts the files that are no radiographs, where there are any."""


def pseudonyms(patients: Sequence[Patient]) -> list[str]:
    """``P-3f9a12bc04de``-like names under a key that is thrown away, so that they cannot be traced back."""
    key = secrets.token_bytes(32)
    names = [patient.name.encode(errors="surrogateescape") for patient in patients]  # of files, which may be any bytes
    return ["P-" + hmac.new(key, name, hashlib.sha256).hexdigest()[:12] for name in names]


def scores_csv(
    patients: Sequence[Patient], scored: Scored, delta: float, names: Sequence[str], left_out: str = ""
) -> bytes:
    """The table; rows are in the order of pseudonyms, which says nothing of the order of patients.

    Args:
        left_out: files that are no radiographs, in words.
    """
    votes, rows = scored.votes, []
    for row, (patient, name, counts, score) in enumerate(zip(patients, names, votes.counts, votes.scores, strict=True)):
        undecided = score == UNDECIDED
        said = ["" if undecided else f"{score:.6f}", int(score >= delta and not undecided), int(undecided)]
        cells = [*counts.tolist(), *said] if scored.read[row] else [""] * (len(CLASSES) + len(said))
        label = "" if patient.label is None else patient.label
        rows.append([name, scored.read[row], *cells, label, _note(patient, scored, row)])
    last = [[LEFT_OUT, *[""] * (len(COLUMNS) - 2), left_out]] if left_out else []
    return as_csv([COLUMNS, *sorted(rows, key=lambda cells: str(cells[0])), *last])


def _note(patient: Patient, scored: Scored, row: int) -> str:
    """Without places: where a patient's film lies in an order of names would say something of the name."""
    missing = len(patient.films) - scored.read[row]
    words = [f"{missing} of {len(patient.films)} radiographs could not be read"] if missing else []
    words += [words.split(": ", 1)[1] for words, rows in scored.remarks if row in rows]
    return "; ".join(dict.fromkeys(words))


def names_csv(patients: Sequence[Patient], names: Sequence[str]) -> bytes:
    """Table of patients and their pseudonyms; for the receiver's eyes alone."""
    return as_csv([("pseudonym", "patient"), *sorted(zip(names, (patient.name for patient in patients), strict=True))])


def without_reports(received: Received, scored: Scored) -> tuple[list[Patient], Scored, str]:
    """Patients and scores without what is no radiograph, such as reports, and words for all that is left out.

    Only of what was found in a folder, a patient a file: who is listed in a table has a row, whatever the file is.
    """
    gone = {each.patient for each in scored.unread if each.no_image and not each.film.listed}
    rows = [row for row in range(len(received.patients)) if row not in gone]
    new = {row: place for place, row in enumerate(rows)}
    votes = scored.votes
    kept = replace(
        scored,
        votes=Votes([*range(len(rows))], votes.labels[rows], votes.counts[rows], votes.confusion),
        unread=tuple(replace(each, patient=new[each.patient]) for each in scored.unread if each.patient in new),
        remarks=tuple((words, tuple(new[row] for row in of)) for words, of in scored.remarks),
        read=tuple(scored.read[row] for row in rows),
    )
    words = left_out_words(received.left_out | {"DICOM files without an image": len(gone)})
    return [received.patients[row] for row in rows], kept, words


def file_notes(scored: Scored, left_out: str) -> Iterator[str]:
    """Lines on what was left out, what could not be read, and what is odd."""
    if left_out:
        yield f"left out, as no radiographs: {left_out}"
    if scored.unread:
        yield f"NOT READ: {len(scored.unread):,} of {scored.radiographs + len(scored.unread):,} radiographs"
        yield from (f"  {each.words}" for each in scored.unread[:_NAMED])
        if len(scored.unread) > _NAMED:
            yield f"  and {len(scored.unread) - _NAMED:,} more"
    yield from (f"odd: {words}" for words, _ in scored.remarks)


def as_csv(rows: Sequence[Sequence[object]]) -> bytes:
    """The rows as the content of a CSV file; bytes of a file's name that are no UTF-8 are written as ``\\udcff``."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode(errors="backslashreplace")
