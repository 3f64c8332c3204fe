"""What own patients add to a package: which they are, the curve, the break-even count, and the command."""

from __future__ import annotations

import csv
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sldd
from sldd.data.cohort import Cohort
from sldd.errors import InputError
from sldd.package import Package
from sldd.package.__main__ import main
from sldd.package.rebuild.rebuild import rebuild
from sldd.pipeline.finetune import ALONE, BESIDE, PACKAGE, FinetuneSettings, finetune, own_patients
from sldd.pipeline.finetune import _break_even as break_even
from tests.conftest import write_cohort

TINY = FinetuneSettings(counts=(0, 2, 4), arms=(ALONE, PACKAGE, BESIDE), seeds=2, steps=3, batch_size=12, test=0.4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve patients, told by their brightness."""
    return write_cohort(tmp_path_factory.mktemp("own") / "cohort")


@pytest.fixture(scope="module")
def cohort(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return sldd.open_cohort(folder, cache=tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def file(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package that tells them."""
    distilled = sldd.distill(
        "lenet",
        cohort,
        patches=sldd.PatchSettings(size=12, stride=6, input_size=16),
        outer=sldd.OuterSettings(steps=80, batch_size=24, evaluations=1, statistics_batches=1),
        split=sldd.SplitSettings(validation=0.2, test=0.2),
    )
    return distilled.save(tmp_path_factory.mktemp("package") / "package.safetensors")


def test_own_patients_keep_prevalence_and_small_draws_lie_in_large_ones(cohort: Cohort) -> None:
    pool = [patient for patient in range(12) if patient % 4 != 3]  # 6 negative, 3 positive
    draws = [own_patients(cohort, pool, count, 1) for count in range(2, 10)]
    for smaller, larger in itertools.pairwise(draws):
        assert set(smaller) < set(larger)
    assert [len(draw) for draw in draws] == [*range(2, 10)]
    assert [sum(patient % 2 for patient in draw) for draw in draws] == [1, 1, 1, 2, 2, 2, 3, 3]
    assert draws[-1] == pool
    assert any(own_patients(cohort, pool, 4, seed) != draws[2] for seed in range(2, 5))


def test_a_good_package_is_worth_patients(file: Path, cohort: Cohort) -> None:
    package, trained = Package.load(file), []
    curve = finetune(package, rebuild(package), cohort, TINY, done=lambda: trained.append(1))
    points = {(point.arm, point.count): point for point in curve.points}
    assert len(trained) == 3 * 3 * 2  # 2, 4 and all 8 of the others
    assert points.keys() == {(PACKAGE, 0)} | {(arm, k) for arm in (ALONE, PACKAGE, BESIDE) for k in (2, 4, 8)}
    assert points[PACKAGE, 0].auc.value == 1.0
    assert points[ALONE, 2].auc.value < 1.0  # three steps teach little
    assert points[PACKAGE, 2].auc.value > points[ALONE, 2].auc.value
    assert points[PACKAGE, 2].advantage is not None
    assert curve.break_even is None or curve.break_even > 0
    assert (curve.tested, curve.own) == (4, 8)


def test_the_break_even_count_lies_where_the_curves_cross() -> None:
    def of(*values: float) -> np.ndarray:
        return np.array(values)

    received, alone = of(0.8, 0.8, 0.7), [(10, of(0.7, 0.8, 0.75)), (20, of(0.9, 0.85, 0.9))]
    seen, low, high = break_even(received, alone)
    assert seen == pytest.approx(15)  # half way from 0.7 to 0.9
    assert low == pytest.approx(8)  # 0.7 on the way from chance to 0.75
    assert high == pytest.approx(10)
    assert break_even(of(0.95, 0.95), [(10, of(0.7, 0.96))])[0] is None
    assert break_even(received, []) == (None, None, None)


def test_the_command_writes_the_curve(
    file: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["finetune", str(file), str(folder), "--counts", "0", "2", "--steps", "2", "--seeds", "1", "--batch", "12"]
    assert main([*words, "--out", str(tmp_path / "curve.csv")]) == 0
    said = capsys.readouterr().out
    assert "break-even" in said
    assert "4 test patients, 8 others, 1 seeds" in said
    with (tmp_path / "curve.csv").open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert [(row["own_patients"], row["arm"]) for row in rows] == [
        ("0", "package"), ("2", "alone"), ("2", "package"), ("8", "alone"), ("8", "package"),
    ]  # fmt: skip
    assert main([*words, "--out", str(tmp_path / "curve.json")]) == 0
    tree = json.loads((tmp_path / "curve.json").read_text())
    assert [point["auc"] for point in tree["points"]] == [float(row["auc"]) for row in rows]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--counts", "1"], "0, or 2 and more"),
        (["--counts", "-3"], "0, or 2 and more"),
        (["--test", "1"], "share between 0 and 1"),
        (["--out", "curve.txt"], ".csv or a .json"),
        (["--rate", "1e30", "--counts", "2"], "smaller --rate"),
    ],
)
def test_what_cannot_be_measured_says_why(
    file: Path, folder: Path, options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["finetune", str(file), str(folder), "--steps", "3", "--seeds", "1", *options]) == 2
    assert words in capsys.readouterr().err


def test_a_changed_package_is_not_tuned(file: Path, folder: Path, tmp_path: Path) -> None:
    changed, out = tmp_path / "changed.safetensors", tmp_path / "curve.csv"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    changed.write_bytes(content)
    assert main(["finetune", str(changed), str(folder), "--out", str(out)]) == 1
    assert not out.exists()


def test_whole_films_are_refused(file: Path, tmp_path: Path) -> None:
    package = Package.load(file)
    films: Any = np.zeros((4, 16, 16), np.uint8)
    whole = sldd.open_cohort(films, [0, 1, 0, 1], cache=tmp_path / "cache")
    with pytest.raises(
        InputError, match=r"the package is for patches of patients, the cohort of images of one class each; whole films"
    ):
        finetune(package, rebuild(package), whole)
