"""Patients' pseudonyms in a study, under a key of its own or under one that its cohort gives (``pseudonyms``)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from ledger.ledger import Ledger
from sldd.data.cohort import Cohort
from sldd.errors import InputError
from study.config.schema import StudyConfig


def keep_key(config: StudyConfig, ledger: Ledger, cohort: Cohort, patient_ids: Sequence[str]) -> None:
    """Write the key that the cohort gives into the study's folder, where it is to have that and has none yet."""
    if config.pseudonyms == "cohort" and not ledger.has_key:
        ledger.write_key(key_of(cohort, patient_ids))


def check_pseudonyms(config: StudyConfig, ledger: Ledger, cohort: Cohort, patient_ids: Sequence[str]) -> None:
    """Check that patients of new trials will go by the names that they have in the trials that are there.

    Raises:
        InputError: the key is missing, or it gives other names: it is another's, or identifiers were changed.
    """
    if config.pseudonyms == "study":
        ledger.check_key()
    known = ledger.named_patients()
    if not known:
        return
    key = None if ledger.has_key else key_of(cohort, patient_ids)
    if not known <= set(ledger.pseudonyms(patient_ids, key=key)):
        raise InputError(
            f"{ledger.folder}: patients of new trials would go by other names than in the trials that are there; put "
            "back the key, and the table's identifiers, that it began with, or give this study another name (name=...)"
        )


def key_of(cohort: Cohort, patient_ids: Sequence[str]) -> str:
    """The key that a cohort gives: SHA-256 over all films' pixels and whose they are, 64 hexadecimal digits.

    Whoever has the cohort can make it. Nobody can with the fingerprint that studies show, nor with a part of the films,
    nor with all of them and none of the identifiers, which is what may be published.
    """
    whose = [patient_ids[patient] for patient in cohort.film_patients]
    digest = hashlib.sha256(json.dumps(["pseudonyms", whose, cohort.shapes]).encode())
    for film in range(len(whose)):
        digest.update(cohort.pixels(film).tobytes())
    return digest.hexdigest()
