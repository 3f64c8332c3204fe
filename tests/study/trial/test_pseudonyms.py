"""Keys of pseudonyms: whose they are, and that trials of one study name a patient alike."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ledger.ledger import KEY, Ledger
from ledger.trial import Trial
from ledger.trial_folder import TrialFolder
from sldd.data.cohort import Cohort, prepare
from sldd.errors import InputError
from sldd.sources.phantom import PhantomSettings, PhantomSource
from study.config.loader import load
from study.trial.pseudonyms import check_pseudonyms, keep_key, key_of

SOURCE = PhantomSource(PhantomSettings(patients=4, size=64))
IDS = SOURCE.patient_ids
OF_STUDY = load("demo", [])
OF_COHORT = load("demo", ["pseudonyms=cohort"])


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return prepare(SOURCE, tmp_path_factory.mktemp("cache"))


@pytest.fixture
def trial_of(begin: Callable[[], Trial]) -> Callable[..., None]:
    def end(names: list[str], **changed: str) -> None:
        trial = begin()
        (trial.folder / "config.json").write_text(json.dumps(trial.config | changed))
        scores = {"patients": [{"patient": name, "label": 0, "votes": [1, 0, 0]} for name in names]}
        TrialFolder(trial.folder, trial.config["owner"]).finish({"status": "done", "validation": scores})

    return end


def test_the_key_of_a_cohort_is_of_every_pixel_and_every_identifier(cohort: Cohort, tmp_path: Path) -> None:
    key = key_of(cohort, IDS)
    assert key == key_of(cohort, IDS)
    assert key not in (cohort.fingerprint, cohort.files)
    assert key != key_of(cohort, [*IDS[:-1], "another"])
    part = replace(cohort, film_patients=cohort.film_patients[:-1])
    assert key != key_of(part, IDS)
    moved = replace(cohort, folder=shutil.copytree(cohort.folder, tmp_path / "moved"))
    assert key == key_of(moved, IDS), "where the films lie does not matter"
    pixels = np.memmap(moved.folder / "pixels.bin", dtype=np.uint8, mode="r+")
    pixels[-1] ^= 1
    pixels.flush()
    assert key != key_of(replace(moved), IDS)


def test_a_cohorts_key_is_kept_and_a_studys_own_left_alone(ledger: Ledger, cohort: Cohort) -> None:
    keep_key(OF_STUDY, ledger, cohort, IDS)
    assert not ledger.has_key
    keep_key(OF_COHORT, ledger, cohort, IDS)
    assert (ledger.folder / KEY).read_text() == key_of(cohort, IDS)
    assert (ledger.folder / KEY).stat().st_mode & 0o077 == 0
    assert ledger.pseudonyms(IDS) == ledger.pseudonyms(IDS, key=key_of(cohort, IDS))
    ledger.write_key("its own")
    keep_key(OF_COHORT, ledger, cohort, IDS)
    assert (ledger.folder / KEY).read_text() == "its own"


def test_a_study_without_its_key_goes_on_only_under_the_names_that_it_has(
    ledger: Ledger, cohort: Cohort, trial_of: Callable[..., None]
) -> None:
    check_pseudonyms(OF_STUDY, ledger, cohort, IDS)
    trial_of(ledger.pseudonyms(IDS[:2], key=key_of(cohort, IDS)))
    assert not ledger.has_key
    check_pseudonyms(OF_COHORT, ledger, cohort, IDS)
    assert not ledger.has_key, "a check writes nothing"
    with pytest.raises(InputError, match="key is missing"):
        check_pseudonyms(OF_STUDY, ledger, cohort, IDS)
    with pytest.raises(InputError, match="other names"):
        check_pseudonyms(OF_COHORT, ledger, cohort, [f"{name}x" for name in IDS])


def test_another_studys_key_and_other_identifiers_are_refused(
    ledger: Ledger, cohort: Cohort, trial_of: Callable[..., None]
) -> None:
    trial_of(ledger.pseudonyms(IDS[:2]))
    check_pseudonyms(OF_STUDY, ledger, cohort, IDS)
    renamed = [f"{name}-renamed" for name in IDS]
    with pytest.raises(InputError, match="other names") as refused:
        check_pseudonyms(OF_STUDY, ledger, cohort, renamed)
    assert not any(name in str(refused.value) for name in (*IDS, *renamed))
    (ledger.folder / KEY).write_text("another study's")
    with pytest.raises(InputError, match="other names"):
        check_pseudonyms(OF_STUDY, ledger, cohort, IDS)


def test_patients_of_a_collection_are_not_asked_for_where_it_may_be_missing(
    ledger: Ledger, cohort: Cohort, trial_of: Callable[..., None]
) -> None:
    trial_of(ledger.pseudonyms(["of a collection"]), stage="nih")
    assert ledger.named_patients() == set()
    check_pseudonyms(OF_STUDY, ledger, cohort, IDS)


def test_trials_without_scores_and_stray_files_name_nobody(ledger: Ledger, begin: Callable[[], Trial]) -> None:
    trial = begin()
    (ledger.folder / "trials" / ".DS_Store").touch()
    (trial.folder.parent / "notes").touch()
    TrialFolder(trial.folder, trial.config["owner"]).finish({"status": "diverged", "validation": None})
    assert ledger.named_patients() == set()
    other = begin()
    films = {"films": [{"patient": "P-1", "class": 0, "probabilities": [1.0]}]}
    TrialFolder(other.folder, other.config["owner"]).finish({"status": "done", "validation": films})
    assert ledger.named_patients() == {"P-1"}
