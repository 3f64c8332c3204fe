"""Sensitivity of a package to changes of its recipe (order, rates, start, precision), on a labelled cohort.

A row of the table is a variant; its columns are

    variant             what was done, see ``sldd.package.apply.variants``
    level               how much, or which: a seed, a backbone, a noise level, a number of decimals
    status              done, or ``cannot run`` with the reason in ``note``
    patients            labelled patients that were scored
    hm, auc             of them, HM at the package's delta; empty where a label is absent
    sensitivity, specificity
    undecided           patients without an N or P vote, counted as negative
    changed_decisions   patients called other than by the package as it was made
    score_change        largest change of a patient's score; an undecided patient's counts as 0
    output_change       largest change of a class probability in the self-test's synthetic inputs
    note
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import torch

from sldd.errors import InputError
from sldd.metrics.patient_votes import UNDECIDED, Votes
from sldd.package.apply.films import Patient
from sldd.package.apply.scoring import labelled, measured, score
from sldd.package.apply.variants import variants
from sldd.package.format.package import Package
from sldd.package.rebuild.self_test import inputs, outputs

BACKBONES = ("convnet_w32", "test_resnet", "test_efficientnet")
"""Small ones, so that the table takes minutes; name those that your receivers would try."""


@dataclass(frozen=True)
class Row:
    """A row of the table; see above."""

    variant: str
    level: str
    status: str
    patients: int
    hm: float | None = None
    auc: float | None = None
    sensitivity: float | None = None
    specificity: float | None = None
    undecided: int | None = None
    changed_decisions: int | None = None
    score_change: float | None = None
    output_change: float | None = None
    note: str = ""


COLUMNS = tuple(field.name for field in fields(Row))


def fragility(
    package: Package,
    patients: Sequence[Patient],
    *,
    start: Path | str | None = None,
    seeds: int = 3,
    backbones: Sequence[str] = BACKBONES,
    batch: int,
    device: torch.device,
    done: Callable[[], object] = lambda: None,
) -> Iterator[Row]:
    """Measure the table, row by row.

    Args:
        start: as of ``rebuild``.
        seeds: other starts to try.
        backbones: other networks to try.
        batch, device: as of ``score``.
        done: called after every radiograph of every variant.

    Raises:
        InputError: no patient has a label, or a radiograph cannot be used.
    """
    patients = [patient for patient in patients if patient.label is not None]
    if not patients:
        raise InputError("fragility needs labels: a manifest with a column label, 0 or 1")
    delta = package.threshold()
    seen = inputs(package.seed, package.images)
    made: tuple[Votes, torch.Tensor] | None = None  # of the package as it was made, which comes first
    for name, level, network, note in variants(package, patients, start, seeds, backbones):
        try:
            rebuilt = network()
            probabilities = outputs(rebuilt.cpu(), seen)
            if not bool(torch.isfinite(probabilities).all()):
                raise InputError("its outputs are not finite")
        except (ValueError, RuntimeError) as error:  # batch norm of a single value, say
            yield Row(name, level, "cannot run", len(patients), note=str(error).partition("\n")[0])
            continue
        scored = score(rebuilt, package, patients, batch=batch, device=device, done=done)
        votes = labelled(scored, patients)
        assert votes is not None
        made = made or (votes, probabilities)
        yield Row(
            name,
            level,
            "done",
            len(patients),
            **measured(votes, delta),
            undecided=votes.undecided,
            changed_decisions=int((_called(votes, delta) != _called(made[0], delta)).sum()),
            score_change=float(np.abs(_scores(votes) - _scores(made[0])).max()),
            output_change=float((probabilities - made[1]).abs().max()),
            note=note,
        )


def as_csv(rows: Sequence[Row]) -> bytes:
    """The table as CSV; cells without a value are empty."""
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    for row in rows:
        table.writerow({name: "" if value is None else value for name, value in asdict(row).items()})
    return text.getvalue().encode()


def as_json(rows: Sequence[Row]) -> bytes:
    """The table as a JSON list of objects."""
    return json.dumps([asdict(row) for row in rows], indent=1).encode()


def _called(votes: Votes, delta: float) -> np.ndarray:
    """(patients,) bool, who is called positive."""
    return (votes.scores >= delta) & (votes.scores != UNDECIDED)


def _scores(votes: Votes) -> np.ndarray:
    """(patients,) scores, 0 for undecided patients."""
    return np.where(votes.scores == UNDECIDED, 0.0, votes.scores)
