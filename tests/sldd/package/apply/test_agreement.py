"""A package's claims against a receiver's own patients, and films that look otherwise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sldd.errors import InputError
from sldd.metrics.group_means import group_means
from sldd.metrics.intervals import Estimate
from sldd.metrics.patient_votes import UNDECIDED, Votes
from sldd.package import Claims, Package, Scores
from sldd.package.apply.agreement import compare_claims, scores_here
from sldd.package.apply.drift import Drift, drifts, film_drifts, not_kept, patch_words, score_drifts
from sldd.package.apply.films import find_patients
from sldd.package.apply.remarks import FilmLook
from sldd.package.apply.scoring import Scored, labelled, score
from sldd.package.cli.commands import main
from sldd.package.rebuild.rebuild import rebuild
from sldd.package.rebuild.self_test import with_self_test


def _votes(scores: np.ndarray, labels: np.ndarray) -> Votes:
    positive = np.rint(100 * scores).astype(np.int64)
    counts = np.stack([np.zeros_like(positive), 100 - positive, positive], 1)
    return Votes(list(range(len(labels))), labels, counts, np.zeros((3, 3), np.int64))


def _claims(sensitivity: float, specificity: float, auc: float, patients: int = 60) -> Claims:
    scores = Scores(patients, patients // 2, 0, sensitivity, specificity, None, auc)
    return Claims("validation", replace(scores, auc=0.99), scores)


def _drawn(random: np.random.Generator, patients: int, apart: float) -> Votes:
    labels = np.arange(patients) % 2
    return _votes(np.clip(0.5 + 0.1 * random.standard_normal(patients) + apart * (labels - 0.5), 0, 1), labels)


def test_a_hospital_like_the_makers_is_rarely_told_apart() -> None:
    random, failed = np.random.default_rng(0), 0
    for _ in range(150):
        made = _drawn(random, 60, 0.2)
        at, labels = made.scores >= 0.5, made.labels == 1
        assert made.auc is not None
        claims = _claims(float(at[labels].mean()), float((~at[~labels]).mean()), made.auc)
        _, found = compare_claims(_drawn(random, 40, 0.2), claims, 0.5)
        failed += not all(each.compatible for each in found)
    assert failed <= 13  # one in twenty, and a little


def test_another_one_is_told_apart_and_which_way() -> None:
    random = np.random.default_rng(1)
    part, found = compare_claims(_drawn(random, 80, 0.0), _claims(0.9, 0.9, 0.95), 0.5)
    assert part == "test"
    assert [each.measure for each in found] == ["sensitivity", "specificity", "auc"]
    assert all(each.worse and not each.compatible for each in found)
    _, found = compare_claims(_drawn(random, 80, 0.5), _claims(0.5, 0.5, 0.5), 0.5)
    assert not any(each.worse or each.compatible for each in found)


def test_what_cannot_be_compared_says_why() -> None:
    votes = _drawn(np.random.default_rng(2), 20, 0.2)
    with pytest.raises(InputError, match="one label is absent"):
        compare_claims(replace(votes, labels=np.ones(20)), _claims(0.9, 0.9, 0.9), 0.5)
    with pytest.raises(InputError, match="no score whose interval"):
        compare_claims(votes, Claims("validation", Scores(9, 0, 0, 0.8, None, None, 0.9), None), 0.5)
    validated = replace(_claims(0.9, 0.9, 0.9), test=None)
    assert compare_claims(votes, validated, 0.5)[0] == "validation"


@pytest.fixture(scope="module")
def like(films: Path, package: Package) -> Package:
    """The package, as if it was made of these films: their values, and the scores that they have."""
    patients = find_patients(films)
    votes = score(rebuild(package), package, patients, batch=64, device=torch.device("cpu"))
    looks = votes.looks
    weights = np.array([look.pixels for look in looks], np.float64)
    mean = float(np.average([look.means[0] for look in looks], weights=weights))
    square = np.average([look.stds[0] ** 2 + look.means[0] ** 2 for look in looks], weights=weights)
    known = labelled(votes, patients)
    assert known is not None
    return with_self_test(replace(package, mean=mean, deviation=float(np.sqrt(square - mean**2)), claims=None))


def _found(films: Path, package: Package) -> tuple[Scored, dict[str, Drift]]:
    scored = score(rebuild(package), package, find_patients(films), batch=64, device=torch.device("cpu"))
    return scored, {drift.what: drift for drift in drifts(scored, package)}


def test_films_that_the_package_was_made_of_do_not_drift(films: Path, like: Package) -> None:
    scored, found = _found(films, like)
    assert found.keys() == {"exposure", "contrast"}
    assert not any(drift.beyond for drift in found.values())
    assert found["exposure"].apart.value == pytest.approx(0, abs=1e-6)
    assert found["contrast"].apart.value == pytest.approx(1, abs=1e-6)
    assert len(scored.looks) == 7  # one of six patients has two
    assert patch_words(scored.looks, like) == "shorter sides of 96 to 96 pixels; patches of 32 are shown at 32"
    assert [what for what, _ in not_kept(like)] == ["resolution", "scores"]
    small = replace(like, patches=replace(like.patches, size=0.2))
    assert "patches of 19 are shown at 32, so that patches are enlarged" in patch_words(scored.looks, small)


def test_gray_values_are_those_of_all_pixels_however_films_divide_them(package: Package) -> None:
    values = np.random.default_rng(0).normal(100, 20, 400)
    values[100:] += 50
    parts = [values[:100], values[100:]]
    looks = [FilmLook(row, 10, 10, len(part), (part.mean(),), (part.std(),)) for row, part in enumerate(parts)]
    exposure, contrast = film_drifts(looks, replace(package, sides=()))
    assert isinstance(package.mean, float)
    assert isinstance(package.deviation, float)
    assert exposure.apart.value == pytest.approx((values.mean() - package.mean) / package.deviation)
    assert contrast.apart.value == pytest.approx(values.std() / package.deviation)


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("exposure", lambda package: replace(package, mean=package.mean + package.deviation)),
        ("contrast", lambda package: replace(package, deviation=package.deviation / 2)),
        ("resolution", lambda package: replace(package, sides=(180.0, 220.0))),
    ],
)
def test_films_that_look_otherwise_drift(
    films: Path, like: Package, what: str, change: Callable[[Package], Package]
) -> None:
    assert _found(films, change(like))[1][what].beyond


def test_films_of_about_the_same_size_do_not_drift(films: Path, like: Package) -> None:
    _, found = _found(films, replace(like, sides=(80.0, 90.0, 110.0)))
    assert found["resolution"].apart.value == pytest.approx(96 / (80 * 90 * 110) ** (1 / 3))
    assert not found["resolution"].beyond
    whole = replace(like, sides=(20.0, 64.0), classes=("a", "b", "c"), delta=None, exclusive=True)
    assert _found(films, whole)[1]["resolution"].apart.value == pytest.approx(64 / (20 * 64) ** 0.5)  # scaled down


def test_scores_of_another_distribution_drift_and_those_of_the_same_do_not() -> None:
    random = np.random.default_rng(3)

    def drift(here: np.ndarray, there: np.ndarray) -> Drift:
        theirs = replace(_claims(0.9, 0.9, 0.9).validation, patients=len(there), distribution=group_means(there))
        (found,) = score_drifts(here, theirs)
        return found

    same = [drift(random.beta(0.5, 0.5, 20), random.beta(0.5, 0.5, 20)) for _ in range(60)]
    assert not any(each.beyond for each in same)
    assert sum(each.apart.low > 0 for each in same) <= 9  # of so few a little too often
    narrow = drift(random.beta(20, 20, 40), random.beta(0.5, 0.5, 40))  # the same mean
    assert narrow.beyond
    assert 0.2 < narrow.apart.low < narrow.apart.value < 0.45
    few = replace(_claims(0.9, 0.9, 0.9).validation, distribution=(0.1, 0.9))
    assert not [*score_drifts(np.linspace(0, 1, 9), few)]
    assert [*score_drifts(np.linspace(0, 1, 10), replace(few, patients=10**12))]  # a stranger's word


def test_calls_are_compared_with_what_the_claims_let_expect(films: Path, like: Package) -> None:
    scored, _ = _found(films, like)
    called = float((scored.votes.scores >= 0.45).mean())
    for expected in (called, 1 - called):
        claims = Claims("validation", Scores(200, 100, 0, expected, 1 - expected, None, None), None)
        drift = {each.what: each for each in drifts(scored, replace(like, claims=claims))}
        assert drift["called"].apart.value == pytest.approx(called - expected)
        assert drift["undecided"].apart.value == pytest.approx(scored.votes.undecided / 6)


def test_patients_are_drawn_and_not_films(package: Package) -> None:
    dark, bright = (FilmLook(0, side, side, 100, (mean,), (20.0,)) for side, mean in ((50, 80.0), (150, 160.0)))
    sized = replace(package, sides=(100.0, 100.0))
    exposure, contrast, resolution = film_drifts([dark, bright], sized)
    for drift in (exposure, contrast, resolution):  # of one patient, whose films are always drawn together
        assert drift.apart.low == drift.apart.high == pytest.approx(drift.apart.value)
    assert resolution.apart.value == pytest.approx(1), "a mean side for each patient"
    exposure, *_ = film_drifts([dark, replace(bright, patient=1)], sized)
    assert exposure.apart.low < exposure.apart.value < exposure.apart.high


def test_patients_whose_films_could_not_be_read_are_not_undecided(films: Path, like: Package) -> None:
    scored, _ = _found(films, like)
    counts = scored.votes.counts.copy()
    counts[0] = 0
    unread = replace(scored, votes=replace(scored.votes, counts=counts), read=(0, *scored.read[1:]))
    claims = Claims("validation", Scores(200, 100, 0, 0.5, 0.5, None, None), None)
    drift = {each.what: each for each in drifts(unread, replace(like, claims=claims))}
    rest = scored.votes.scores[1:]
    assert drift["undecided"].apart.value == pytest.approx((rest == UNDECIDED).mean())
    assert drift["called"].apart.value == pytest.approx((rest >= 0.45).mean() - 0.5)


@pytest.mark.parametrize(
    ("apart", "same", "most", "beyond"),
    [
        (Estimate(0.5, 0.3, 0.7), 0.0, 0.2, True),
        (Estimate(0.5, 0.1, 0.9), 0.0, 0.2, False),
        (Estimate(-0.5, -0.7, -0.3), 0.0, 0.2, True),
        (Estimate(0.5, 0.4, 0.6), 1.0, 1.5, True),
        (Estimate(0.7, 0.6, 0.8), 1.0, 1.5, False),
        (Estimate(2.0, 1.6, 2.5), 1.0, 1.5, True),
        (Estimate(1.5000000000000004, 1.5000000000000004, 1.5000000000000004), 1.0, 1.5, False),
    ],
)
def test_the_whole_interval_has_to_lie_beyond(apart: Estimate, same: float, most: float, beyond: bool) -> None:
    assert Drift("", apart, same, most, "").beyond == beyond


def test_verify_says_how_it_does_on_these_films(
    films: Path, like: Package, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scored, _ = _found(films, like)
    known, positive = labelled(scored, find_patients(films)), 3
    assert known is not None
    claims = [
        (Scores(6, positive, scored.votes.undecided, 0.5, 0.5, None, 0.5), 0, "compatible"),
        (Scores(100_000, 50_000, 0, 1.0, 1.0, None, 1.0), 1, "LOWER HERE"),
    ]
    path = tmp_path / "package.safetensors"
    for test, status, word in claims:
        replace(like, claims=Claims("validation", test, test)).save(path)
        assert main(["verify", str(path), "--films", str(films)]) == status
        said = capsys.readouterr().out
        assert word in said
        assert "resolution not kept: the package does not say how large its maker's films were" in said
        assert "patches    shorter sides of 96 to 96 pixels" in said
        assert "6 patients here" in said
    bare = tmp_path / "bare"
    bare.mkdir()
    for image in (films / "images").iterdir():
        (bare / image.name).write_bytes(image.read_bytes())
    like.save(path)
    assert main(["verify", str(path), "--films", str(bare)]) == 0
    assert "no patient has a label here" in capsys.readouterr().out
    assert main(["verify", str(path), "--films", str(films)]) == 0
    said = capsys.readouterr().out
    assert "the package claims no scores: there is nothing to compare with" in said
    assert str(scores_here(known, 0.45)["sensitivity"]) in said
    assert "6 patients here" in said
    assert isinstance(like.mean, float)
    assert isinstance(like.deviation, float)
    with_self_test(replace(like, mean=like.mean + like.deviation)).save(path)
    assert main(["verify", str(path), "--films", str(films)]) == 1, "films are apart, whatever is claimed"
