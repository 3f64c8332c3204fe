"""``verify --films`` of packages for whole films: their claims, and films and probabilities beside the maker's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sldd
from sldd.errors import InputError
from sldd.metrics.classes import ClassScores
from sldd.metrics.intervals import Z_OF_TWO, share
from sldd.package import Claims, Scores
from sldd.package.__main__ import main
from sldd.package.apply import agreement
from sldd.package.apply.agreement import class_scores_here, compare_classes
from sldd.package.rebuild.self_test import with_self_test

CLASSES, SIDE = ("low", "middle", "top"), 16


def _films(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(count, 16, 16) uint8 of three classes by where they are bright, and the numbers of these."""
    numbers = np.arange(count) % 3
    films = np.random.default_rng(seed).integers(0, 120, (count, SIDE, SIDE))
    for film, number in zip(films, numbers, strict=True):
        film[5 * number : 5 * number + 5] += 90
    return films.astype(np.uint8), numbers


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("package")
    films, numbers = _films(120, 0)
    made = sldd.distill(
        "convnet_w32",
        sldd.open_cohort(films, numbers, classes=CLASSES, cache=folder),
        norm="none",
        outer=sldd.OuterSettings(steps=60, batch_size=12, evaluations=3),
        patches=sldd.PatchSettings(input_size=SIDE),
        confirm=True,
        show_progress=False,
    )
    return made.save(folder / "package.safetensors")


def _folder(root: Path, films: np.ndarray, numbers: np.ndarray) -> Path:
    root.mkdir()
    rows = ["image,class,subject"]
    for row, (film, number) in enumerate(zip(films, numbers, strict=True)):
        Image.fromarray(film).save(root / f"{row}.png")
        rows.append(f"{row}.png,{CLASSES[number]},s{row // 2}")
    (root / "manifest.csv").write_text("\n".join(rows))
    return root


def test_films_like_the_makers_pass_and_others_do_not(
    package: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    films, numbers = _films(60, 1)
    alike = _folder(tmp_path / "alike", films, numbers)
    assert main(["verify", str(package), "--films", str(alike)]) == 0
    said = capsys.readouterr().out
    for word in ("exposure", "contrast", "resolution", "scores", "balanced accuracy", "30 subjects here", "compatible"):
        assert word in said
    assert "APART" not in said
    dark = _folder(tmp_path / "dark", films // 4, numbers)
    assert main(["verify", str(package), "--films", str(dark)]) == 1
    assert "APART exposure" in capsys.readouterr().out
    mixed = _folder(tmp_path / "mixed", films, np.roll(numbers, 1))
    assert main(["verify", str(package), "--films", str(mixed)]) == 1
    assert capsys.readouterr().out.count("LOWER HERE") == 2
    bare = tmp_path / "bare.safetensors"
    with_self_test(replace(sldd.load(package).package, claims=None)).save(bare)
    assert main(["verify", str(bare), "--films", str(alike)]) == 0
    said = capsys.readouterr().out
    assert "balanced accuracy 1.00 (" in " ".join(said.split())
    assert "claims no scores: there is nothing to compare with" in said
    (alike / "manifest.csv").unlink()
    assert main(["verify", str(package), "--films", str(alike)]) == 0
    assert "no image has a class here" in capsys.readouterr().out


def test_of_findings_films_and_scores_are_compared(
    package: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = sldd.load(package).package
    assert made.claims is not None
    sure = replace(made.claims.validation, distribution=(0.001, 0.001))
    findings = replace(made, exclusive=False, claims=replace(made.claims, test=sure))
    with_self_test(findings).save(tmp_path / "findings.safetensors")
    films = _folder(tmp_path / "films", *_films(20, 1))
    (films / "manifest.csv").unlink()
    assert main(["verify", str(tmp_path / "findings.safetensors"), "--films", str(films)]) == 1
    said = capsys.readouterr().out
    assert "APART scores" in said
    assert "-     exposure" in said
    assert "findings are not read here: nothing can be compared with the claims" in said


def _scores(count: int, right: float, seed: int) -> ClassScores:
    random, truth = np.random.default_rng(seed), np.arange(count) % 3
    told = np.where(random.random(count) < right, truth, (truth + 1) % 3)
    probabilities = np.eye(3)[told] + random.random((count, 3)) / 2
    return ClassScores(CLASSES, list(range(count)), truth, probabilities / probabilities.sum(1, keepdims=True))


def _claims(scores: ClassScores) -> Claims:
    found = scores.history()
    values = (found["val_balanced_accuracy"], None, None, found["val_auc"])
    return Claims("validation", Scores(len(scores.truth), 0, 0, *values), None)


def test_claims_over_classes_agree_where_hospitals_are_alike() -> None:
    apart = 0
    for seed in range(40):
        part, found = compare_classes(_scores(60, 0.7, seed), _claims(_scores(40, 0.7, 1000 + seed)))
        assert part == "validation"
        assert [each.measure for each in found] == ["balanced accuracy", "auc"]
        apart += not all(each.compatible for each in found)
    assert apart <= 6
    _, found = compare_classes(_scores(90, 0.4, 1), _claims(_scores(90, 0.9, 2)))
    assert all(each.worse for each in found)


def test_images_that_are_all_told_rightly_are_still_few() -> None:
    claims = Claims("validation", Scores(200, 0, 0, 0.95, None, None, 0.99), None)
    _, found = compare_classes(_scores(12, 1.0, 0), claims)
    assert all(each.compatible for each in found), "12 images may have been lucky ones"
    for each in found:
        assert each.here.value == each.here.high == 1.0
        assert each.here.low == pytest.approx(share(1.0, 12, Z_OF_TWO).low)
        theirs = share(each.claimed.value, 200, Z_OF_TWO)
        assert (each.claimed.low, each.claimed.high) == pytest.approx((theirs.low, theirs.high))
    assert class_scores_here(_scores(12, 1.0, 0))["auc"] == found[1].here
    _, found = compare_classes(_scores(120, 1.0, 0), replace(claims, validation=replace(claims.validation, auc=0.5)))
    assert not found[1].compatible
    assert not found[1].worse


def test_claims_that_cannot_be_compared_say_why() -> None:
    scores = _scores(30, 0.7, 0)
    some = replace(scores, truth=scores.truth % 2)
    with pytest.raises(InputError, match="takes images of every class, and none is of top"):
        compare_classes(some, _claims(scores))


def test_the_interval_of_a_claim_is_scaled_by_the_root_of_how_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = {"auc": agreement._Bootstrapped(0.7, 0.3, 0.2)}
    monkeypatch.setattr(agreement, "_bootstrapped", lambda _: drawn)
    claims = Claims("validation", Scores(4 * 60, 0, 0, None, None, None, 0.6), None)
    _, (found,) = compare_classes(_scores(60, 0.7, 0), claims)
    assert (found.here.value, found.here.low, found.here.high) == pytest.approx((0.7, 0.4, 0.9))
    assert (found.claimed.value, found.claimed.low, found.claimed.high) == pytest.approx((0.6, 0.45, 0.7))
