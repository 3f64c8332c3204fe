"""Stratified splits of patients with several findings (multilabel stratification).

Iterative stratification (Sechidis, Tsoumakas and Vlahavas, ECML PKDD 2011), the rarest finding first, as the published
study did. No library that is kept stratifies several labels and keeps groups together; a patient has the findings of
all of his films, and is one row here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from iterstrat.ml_stratifiers import IterativeStratification

from sldd.data.cohort import Cohort
from sldd.rng import bits, stream


def patient_findings(cohort: Cohort) -> np.ndarray:
    """(patients, classes) bool: whether any film of a patient is known to have the finding."""
    findings = np.zeros((cohort.patients, len(cohort.classes)), bool)
    np.logical_or.at(findings, np.array(cohort.film_patients), cohort.film_labels == 1)
    return findings


def stratify(findings: np.ndarray, shares: Sequence[float], seed: int, *name: str | int) -> np.ndarray:
    """Assign rows to parts; returns the (rows,) part numbers.

    Args:
        findings: (rows, classes) bool.
        shares: of the parts; they add up to 1, and a part whose share is 0 gets nobody.
        seed, name: of the random stream that orders rows and breaks ties.
    """
    parts = [part for part, share in enumerate(shares) if share > 0]
    # Rows are taken as they come where a finding leaves the choice, so an order of their own must not count.
    order = stream(seed, *name, "order").permutation(len(findings))
    random = np.random.RandomState(bits(seed, *name, "ties"))  # the library draws from nothing newer
    placed = IterativeStratification(findings[order], np.array([shares[part] for part in parts]), random)
    found = np.empty(len(findings), np.int64)
    found[order] = np.array(parts)[placed]
    return found
