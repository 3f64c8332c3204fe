"""What own patients add to a package: which they are, the curve, the break-even count, and the command."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import sldd
from sldd.backbones.start import set_start
from sldd.data.cohort import Cohort
from sldd.errors import InputError
from sldd.package import Package
from sldd.package.__main__ import main
from sldd.package.format.package import MADE_OF_PACKAGES
from sldd.package.rebuild.rebuild import rebuild
from sldd.pipeline.finetune import ALONE, BESIDE, PACKAGE, FinetuneSettings, counts_of, finetune
from sldd.pipeline.finetune import _forget as forget
from sldd.pipeline.task_data import TaskData, task_data
from tests.conftest import write_cohort
from tests.sldd.package.conftest import make

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


def test_a_good_package_is_worth_patients(file: Path, cohort: Cohort) -> None:
    package, totals, trained = Package.load(file), list[int](), list[int]()

    @contextmanager
    def bar(total: int) -> Iterator[Callable[[], object]]:
        totals.append(total)
        yield lambda: trained.append(1)

    settings = dataclasses.replace(TINY, counts=(0, 2, 4, 10))  # ten is more than there are to train
    curve = finetune(package, rebuild(package), cohort, settings, bar=bar)
    points = {(point.arm, point.count): point for point in curve.points}
    assert totals == [len(trained)] == [3 * 3 * 2]  # 2, 4 and all 8 of the others
    assert points.keys() == {(PACKAGE, 0)} | {(arm, k) for arm in (ALONE, PACKAGE, BESIDE) for k in (2, 4, 8)}
    assert points[PACKAGE, 0].auc.value == 1.0
    assert points[ALONE, 2].auc.value < 1.0  # three steps teach little
    assert points[PACKAGE, 2].auc.value > points[ALONE, 2].auc.value
    more = points[PACKAGE, 2].advantage
    assert more is not None
    assert more.value == pytest.approx(points[PACKAGE, 2].auc.value - points[ALONE, 2].auc.value)
    assert curve.break_even is None or curve.break_even > 0
    assert (curve.tested, curve.own) == (4, 8)


def test_only_who_trains_alone_sees_films_by_own_gray_values(
    file: Path, cohort: Cohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    package, means = Package.load(file), list[float]()

    def seen(*given: Any, **more: Any) -> TaskData:
        means.append(task_data(*given, **more).input.mean)  # type: ignore[arg-type]
        return task_data(*given, **more)

    monkeypatch.setattr("sldd.pipeline.finetune.task_data", seen)
    settings = dataclasses.replace(TINY, counts=(4,), seeds=1, steps=1)
    finetune(package, rebuild(package), cohort, settings)
    assert [mean == package.mean for mean in means[:4]] == [True, False, True, True], "of all, and of four in each arm"


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
    assert tree.keys() == {"points", "break_even", "break_even_low", "break_even_high"}


def test_where_nothing_is_trained_alone_no_count_is_said_to_be_too_high(
    file: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    totals: list[tuple[int, str]] = []

    @contextmanager
    def bar(total: int, of: str) -> Iterator[Callable[[], object]]:
        totals.append((total, of))
        yield lambda: None

    monkeypatch.setattr("sldd.pipeline.finetune_table.progress", bar)
    words = ["finetune", str(file), str(folder), "--counts", "0", "2", "10", "--arms", "package", "--steps", "1"]
    assert main([*words, "--seeds", "1", "--batch", "12", "--out", str(tmp_path / "curve.json")]) == 0
    assert json.loads((tmp_path / "curve.json").read_text()).keys() == {"points"}
    assert "break-even" not in capsys.readouterr().out
    assert totals == [(2, "trainings")], "of two and of all eight"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--counts", "1"], "0, or 2 and more"),
        (["--counts", "-3"], "0, or 2 and more"),
        (["--test", "1"], "share between 0 and 1"),
        (["--rate", "0"], "--rate: a number above 0 (got 0)"),
        (["--rate", "nan"], "--rate: a number above 0 (got nan)"),
        (["--rate", "inf"], "--rate: a number above 0 (got inf)"),
        (["--out", "curve.txt"], ".csv or a .json"),
        (["--rate", "1e30", "--counts", "2"], "smaller --rate"),
    ],
)
def test_what_cannot_be_measured_says_why(
    file: Path, folder: Path, options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["finetune", str(file), str(folder), "--steps", "3", "--seeds", "1", *options]) == 2
    assert words in capsys.readouterr().err


def test_who_is_tested_is_as_the_data_say_and_all_others_are_own(file: Path, cohort: Cohort) -> None:
    package = Package.load(file)
    network, settings = rebuild(package), FinetuneSettings(counts=(0,), arms=(), seeds=1)
    parts = ["train"] * 4 + ["validation"] * 4 + ["test"] * 4
    divided = dataclasses.replace(cohort, splits=parts)
    curve = finetune(package, network, divided, settings)
    assert (curve.tested, curve.own) == (4, 8)
    unmasked = dataclasses.replace(divided, has_mask=[part != "validation" for part in parts])
    assert finetune(package, network, unmasked, settings).own == 4, "nobody knows what their patches show"
    with pytest.raises(InputError, match=r"--test: the data say who is tested .*; leave it, or these, out"):
        finetune(package, network, divided, dataclasses.replace(settings, test=0.5))
    assert finetune(package, network, cohort, dataclasses.replace(settings, test=0.5)).tested == 6


@pytest.mark.parametrize(
    ("facts", "given", "drawn"),
    [
        ({"start": "xavier"}, None, "xavier"),
        ({"start": "near_linear"}, None, "near_linear"),
        ({"start": "pretrained"}, None, None),
        ({"start": "theirs.pt"}, "weights.pt", None),
        ({"start": "theirs.safetensors"}, "package.safetensors", "xavier"),
        ({"start": "theirs.safetensors"}, "average.safetensors", "xavier"),
        ({"start": "theirs.safetensors", "weights": {}}, None, "xavier"),
        ({"start": "given", "weights": {}}, None, "xavier"),
    ],
)
def test_alone_starts_from_nothing_that_a_hospital_made(
    facts: dict[str, Any], given: str | None, drawn: str | None, tmp_path: Path
) -> None:
    package = make(norm="none")
    package.save(tmp_path / "package.safetensors")
    torch.save({}, tmp_path / "weights.pt")
    save_file({}, tmp_path / "average.safetensors", metadata=MADE_OF_PACKAGES)
    network, fresh = rebuild(package), rebuild(package)
    before = [value.clone() for value in network.parameters()]
    forget(network, dataclasses.replace(package, **facts), None if given is None else tmp_path / given, 5)
    if drawn is not None:
        set_start(fresh, backbone="lenet", start=drawn, seed=5)
    wanted = before if drawn is None else [*fresh.parameters()]
    assert all(map(torch.equal, network.parameters(), wanted))


def test_a_changed_package_is_not_tuned(file: Path, folder: Path, tmp_path: Path) -> None:
    changed, out = tmp_path / "changed.safetensors", tmp_path / "curve.csv"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    changed.write_bytes(content)
    assert main(["finetune", str(changed), str(folder), "--out", str(out)]) == 1
    assert not out.exists()


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """Forty images of three classes, told by where they are bright; two images a subject."""
    random, labels = np.random.default_rng(0), np.arange(40) % 3
    films = random.integers(0, 60, (40, 16, 16)).astype(np.uint8)
    for film, label in zip(films, labels, strict=True):
        film[5 * label : 5 * label + 5] += 120
    subjects = [f"S{3 * (number // 6) + number % 3}" for number in range(40)]
    return sldd.open_cohort(films, labels, subjects=subjects, cache=tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def told(images: Cohort) -> Package:
    """A package that tells their classes."""
    distilled = sldd.distill(
        "lenet",
        images,
        patches=sldd.PatchSettings(input_size=16),
        outer=sldd.OuterSettings(steps=60, batch_size=24, evaluations=1, statistics_batches=1),
        split=sldd.SplitSettings(validation=0.2, test=0.2),
    )
    return distilled.package


def test_images_of_one_class_each_have_a_curve_by_subjects(told: Package, images: Cohort) -> None:
    settings = dataclasses.replace(TINY, counts=(0, 3, 6), steps=1)
    curve = finetune(told, rebuild(told), images, settings)
    points = {(point.arm, point.count): point.auc.value for point in curve.points}
    assert (curve.score, curve.whose) == ("mean AUC", "subject")
    assert curve.tested + curve.own == images.patients
    assert points.keys() == {(PACKAGE, 0)} | {(arm, k) for arm in (ALONE, PACKAGE, BESIDE) for k in (3, 6, curve.own)}
    assert points[PACKAGE, 0] > 0.95
    assert points[PACKAGE, 3] > points[ALONE, 3]
    with pytest.raises(InputError, match="0, or 3 and more"):
        finetune(told, rebuild(told), images, dataclasses.replace(TINY, counts=(2,)))


@pytest.mark.parametrize(("channels", "place"), [(3, None), (1, 0.5)])
def test_the_command_reads_colours_and_slices_as_the_package_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, channels: int, place: float | None
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    random, classes = np.random.default_rng(0), ("a", "b", "c")
    rows = [f"{number}.npy,{classes[number % 3]}" for number in range(12)]
    for number in range(12):
        shape = (20, 20, 3) if channels == 3 else (5, 20, 20)
        np.save(tmp_path / f"{number}.npy", random.integers(0, 255, shape).astype(np.uint8))
    (tmp_path / "manifest.csv").write_text("\n".join(["image,class", *rows, ""]))
    file = tmp_path / "package.safetensors"
    make(norm="none", channels=channels, slice=place, classes=classes, exclusive=True, delta=None, claims=None).save(
        file
    )
    words = ["--counts", "0", "3", "--steps", "1", "--seeds", "1", "--batch", "6"]
    assert main(["finetune", str(file), str(tmp_path), *words]) == 0


def test_usual_counts_leave_out_those_that_are_too_few() -> None:
    assert counts_of(FinetuneSettings(), 30, fewest=8) == [0, 10, 20, 30]


def test_findings_have_a_curve(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    findings = random.integers(0, 2, (40, 2)).astype(float)
    films = random.integers(0, 60, (40, 16, 16)).astype(np.uint8)
    for film, (upper, lower) in zip(films, findings, strict=True):
        film[:8] += np.uint8(120 * upper)
        film[8:] += np.uint8(120 * lower)
    findings[3, 1] = np.nan
    cohort = sldd.open_cohort(films, findings, classes=["upper", "lower"], cache=tmp_path / "cache")
    distilled = sldd.distill(
        "lenet",
        cohort,
        patches=sldd.PatchSettings(input_size=16),
        outer=sldd.OuterSettings(steps=60, batch_size=24, evaluations=1, statistics_batches=1),
    )
    curve = finetune(distilled.package, rebuild(distilled.package), cohort, TINY)
    assert (curve.score, curve.whose) == ("mean AUC", "patient")
    assert len(curve.points) == 10


def test_films_of_another_kind_or_of_other_classes_are_refused(
    file: Path, told: Package, images: Cohort, cohort: Cohort, tmp_path: Path
) -> None:
    package = Package.load(file)
    with pytest.raises(InputError, match=r"the package is for patches of patients, and the cohort is of images of one"):
        finetune(package, rebuild(package), images)
    with pytest.raises(InputError, match=r"the package is for images of one class each, and the cohort is of patches"):
        finetune(told, rebuild(told), cohort)
    films: Any = np.zeros((12, 16, 16), np.uint8)
    other = sldd.open_cohort(films, list("abcd") * 3, cache=tmp_path / "cache")
    with pytest.raises(InputError, match="its classes are a, b, c, d, and the package's are 0, 1, 2"):
        finetune(told, rebuild(told), other)
    with pytest.raises(InputError, match="--batch: 2, and there are 3 classes, each of which is to be in every batch"):
        finetune(told, rebuild(told), images, dataclasses.replace(TINY, counts=(0, 3), batch_size=2))
