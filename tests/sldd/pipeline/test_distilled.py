"""Cohorts that a package can be scored on, by what the package tells and not by what films look like."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import sldd
from sldd.metrics.classes import ClassEvaluator
from sldd.package import Package
from sldd.pipeline.distilled import Distilled
from tests.sldd.package.conftest import make
from tests.sldd.pipeline.conftest import banded

NAMES = ["A", "B", "C"]


@pytest.fixture(scope="module")
def findings() -> Package:
    """A package for findings A, B and C."""
    return make(norm="none", classes=tuple(NAMES), delta=None, claims=None)


def test_findings_are_scored_where_each_film_happens_to_have_one(findings: Package, tmp_path: Path) -> None:
    cohort = sldd.open_cohort(*banded(12), classes=NAMES, cache=tmp_path)
    assert cohort.one_class_each
    scores = Distilled(findings).score(cohort)
    assert scores["auc"] is not None
    assert "accuracy" not in scores


def test_a_finding_that_is_there_or_not_is_two_classes(findings: Package, tmp_path: Path) -> None:
    images, classes = banded(12)
    cohort = sldd.open_cohort(images, classes[:, None] % 2, classes=["X"], cache=tmp_path)
    told = replace(findings, classes=("no X", "X"), exclusive=True)
    evaluator, patients = Distilled(told)._scored(cohort)
    assert (type(evaluator), patients) == (ClassEvaluator, list(range(12)))


def test_films_that_do_not_fit_are_refused_in_words(findings: Package, tmp_path: Path) -> None:
    images, classes = banded(12)
    several = sldd.open_cohort(images, np.eye(3)[classes] + np.eye(3)[0] > 0, classes=NAMES, cache=tmp_path)
    with pytest.raises(sldd.InputError, match="image 2: 2 of 3 classes, and an image is of one"):
        Distilled(replace(findings, exclusive=True)).score(several)
    others = sldd.open_cohort(images, classes, classes=["A", "B", "D"], cache=tmp_path)
    for exclusive in (False, True):
        with pytest.raises(sldd.InputError, match="its classes are A, B, D, and the package's A, B, C"):
            Distilled(replace(findings, exclusive=exclusive)).score(others)
    patients = replace(others, classes=[], findings=[])
    with pytest.raises(sldd.InputError, match="its classes are I, N, P, and the package's A, B, C"):
        Distilled(findings).score(patients)
