"""``python -m study.run task=classes``: images of one class each, to the package, its scores and the page."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import optuna
import pytest
from PIL import Image

from analysis.dashboard import main as dashboard
from analysis.figures.cells.confusion import confusion_frame
from analysis.pictures import main as pictures
from analysis.records import tasks as results
from analysis.records.packages import likeliest, read_distilled
from analysis.records.records import read_study, score_word
from analysis.records.runs import read_run
from analysis.stats.evidence import count_evidence
from analysis.tables.cli import main as tables
from sldd.package.cli.commands import main as package
from sldd.package.rebuild.verify import verify
from study.config.tasks import TASKS
from study.export.__main__ import main as export
from study.run import main
from tests.analysis.pages import everything_in
from tests.study.command import without_ray
from tests.study.grades import GRADES

SHORT = [
    "demo", "name=tiny", "task=classes", "data.source=classes", "data.channels=rgb", "grid.backbone=[lenet]",
    "grid.norm=[as_is]", "grid.images=[3]", "grid.method=sldd", "patches.input_size=28", "search.trials=1",
    "resources.concurrent=1",
    "outer={steps: 30, batch_size: 12, evaluations: 1, statistics_batches: 2}", "train.steps=null",
    "minimum.resamples=100",
    "data.split={validation: 0.25, test: 0.35}",
]  # fmt: skip
COLOURS = ("blue", "green", "red")


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    """Twenty-four subjects with two images each; the class is the colour of a square."""
    root, rows = tmp_path / "cells", ["image,class,subject"]
    root.mkdir()
    for number in range(48):
        pixels = np.random.default_rng(number).integers(0, 60, (32, 32, 3), np.uint8)
        pixels[6:24, 6:24, 2 - number % 3] += 150
        Image.fromarray(pixels).save(root / f"{number}.png")
        rows.append(f"{number}.png,{COLOURS[number % 3]},DOE {number // 2}")
    (root / "manifest.csv").write_text("\n".join(rows))
    return root


def _run(root: Path, *settings: str) -> int:
    with without_ray():
        return main([*SHORT, f"data.root={root}", *settings, "--out", str(root.parent / "out"), "--address", "local"])


def test_from_images_to_the_page(cells: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(cells, "grid.method=[train,sldd]", "confirm.repeats=2") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "test balanced accuracy" in said
    assert "24 subjects with 48 images; 16 blue, 16 green, 16 red" in said
    assert "training images" in said
    assert "whole images" in said
    study = read_study(cells.parent / "out" / "tiny")
    records = study.records
    assert records["status"].eq("done").all()
    assert score_word(records) == "balanced accuracy"
    confirmed = records[records["phase"].eq("confirm")]
    assert confirmed["test_balanced_accuracy"].between(0, 1).all()
    assert (confirmed["test_balanced_accuracy_low"] <= confirmed["test_balanced_accuracy_high"]).all()
    for _, row in confirmed.iterrows():
        run = read_run(study, [row["trial"]])
        assert run.balanced_accuracy == pytest.approx(row["test_balanced_accuracy"], abs=1e-12)
        assert run.auc == pytest.approx(row["test_auc"], abs=1e-12)
    test = study.result(confirmed["trial"].iloc[0])["test"]
    subjects = {film["patient"] for film in test["films"]}
    assert len(test["films"]) == 2 * len(subjects), "all images of a subject are on one side"
    told = np.array(test["confusion"])
    assert test["balanced_accuracy"] == pytest.approx((told.diagonal() / told.sum(1)).mean())
    evidence = count_evidence(study)
    assert evidence["interval_low"].notna().all()
    assert evidence["shortfall"].notna().all()
    assert confusion_frame(study).groupby("cell")["images"].sum().eq(len(test["films"])).all()
    base = f"sqlite:///{cells.parent / 'trials.db'}"
    assert export([str(study.folder), "--optuna", base]) == 0
    searched = records[records["phase"].eq("search") & records["images"].notna()].iloc[0]
    (known,) = optuna.load_study(study_name=f"tiny/{searched['cell']}", storage=base).trials
    assert known.value == searched["val_balanced_accuracy"]
    capsys.readouterr()
    assert tables([str(study.folder)]) == 0
    assert "Accuracy" in capsys.readouterr().out
    assert tables([str(study.folder), "--against", "published"]) == 2
    assert pictures([str(study.folder)]) == 0
    assert dashboard([str(study.folder)]) == 0
    page = (study.folder / "dashboard.html").read_text()
    assert "balanced accuracy on test patients" in page
    assert "can stand in for the images of" in page
    seen = re.sub(r"base64,[A-Za-z0-9+/=]*", "", everything_in(page))  # a picture's letters may be any
    assert "Class" in seen
    assert "DOE" not in seen


def test_the_package_tells_a_class(cells: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(cells, "grid.method=[sldd]", "confirm.repeats=1") == 0
    trial = next((cells.parent / "out" / "tiny").glob("trials/*/1"))
    file, out = trial / "package.safetensors", cells.parent / "told.csv"
    verdict = verify(file)
    assert verdict.passed
    assert (verdict.package.task, verdict.package.format) == ("classes", "sldd-package/7")
    assert verdict.package.expected is not None
    assert verdict.package.expected.sum(1).numpy() == pytest.approx(1, abs=1e-6)
    distilled = read_distilled(trial)
    assert distilled is not None
    assert sum(share for _, share in likeliest(distilled, distilled.labels[0, 0], 3)) == pytest.approx(1)
    capsys.readouterr()
    assert package(["apply", str(file), str(cells), "--out", str(out)]) == 0
    assert "balanced accuracy" in (said := capsys.readouterr().out)
    assert "DOE" not in said + out.read_text()
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert len(rows) == 48
    for row in rows:
        shares = {name: float(row[f"probability {name}"]) for name in COLOURS}
        assert sum(shares.values()) == pytest.approx(1, abs=1e-5)
        assert row["told"] == max(shares, key=lambda name: shares[name])
    # Of the films that were scored where it was made, the receiver gets the same probabilities.
    films = json.loads((trial / "result.json").read_text())["test"]["films"]
    received = [sorted(float(row[f"probability {name}"]) for name in COLOURS) for row in rows]
    for film in films:
        wanted = np.sort(film["probabilities"])
        assert np.abs(np.array(received) - wanted).max(1).min() < 1e-3
    assert package(["info", str(file)]) == 0
    assert "balanced accuracy" in capsys.readouterr().out
    (cells / "manifest.csv").write_text("image,class\n0.png,violet\n1.png,blue\n")
    assert package(["apply", str(file), str(cells), "--out", str(out)]) == 2
    assert "class violet is none of the package's (blue, green, red)" in capsys.readouterr().err


def test_a_plan_speaks_of_images_and_their_score(cells: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(cells, "grid.method=[train,sldd]", "confirm.repeats=2", "--dry-run") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "24 subjects with 48 images; classes, images: 16 blue, 16 green, 16 red" in said
    assert "seeds are taken to differ by 0.12 balanced accuracy" in said
    for word in ("film", "finding", "HM"):
        assert word not in said


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (["grid.label_init=[single]"], "grid.label_init: single is no start of task classes; choose from one_hot, "),
        (["grid.label_init=[constant:P]"], "grid.label_init: constant:P is no start of task classes"),
        (["distill.labels=sigmoid"], "distill.labels: an image is of one class, so sigmoid is no choice"),
        (["grid.images=search"], "grid.images: list the counts"),
        (["protocol=paper"], "protocol: the papers' is for patients with one label; leave it out with task=classes"),
        (
            ["data.source=phantom", "data.root=null", "data.channels=gray", "data.phantom={patients: 16, size: 64}"],
            "data.source: films of phantom have patients with one label",
        ),
        (["task=class"], "task: input should be 'patches', 'multilabel' or 'classes' (got 'class')"),
    ],
)
def test_a_setting_that_does_not_go_with_it(
    cells: Path, capsys: pytest.CaptureFixture[str], settings: list[str], says: str
) -> None:
    assert _run(cells, *settings) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"study.run: {says}")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda text: text + "\n0b.png,violet,DOE 0", "the only image of class violet; add some, or remove it"),
        (
            lambda text: "\n".join(
                line + (",split" if not number else f",{('train', 'val', 'test')[number % 3]}")
                for number, line in enumerate(text.split("\n"))
            ),
            "the subject of manifest line 2 is in two splits",
        ),
    ],
    ids=["one image", "two splits"],
)
def test_a_table_that_cannot_be_read(cells: Path, capsys: pytest.CaptureFixture[str], spoil, says: str) -> None:
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(cells / "0b.png")
    table = cells / "manifest.csv"
    table.write_text(spoil(table.read_text()))
    assert _run(cells) == 2
    said = capsys.readouterr().err
    assert says.replace("manifest line", "label table line") in said
    assert said.count("\n") == 1
    assert "DOE" not in said


def _medmnist(path: Path, labels: int) -> Path:
    arrays = {}
    for number, (part, count) in enumerate({"train": 24, "val": 8, "test": 8}.items()):
        truth = np.arange(count)[:, None] % labels
        images = np.random.default_rng(number).integers(0, 90, (count, 28, 28), np.uint8)
        images[np.arange(count), 4:20, 4:20] += (60 * truth[:, :1, None]).astype(np.uint8)
        arrays |= {f"{part}_images": images, f"{part}_labels": truth}
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def test_two_classes_of_medmnist_by_its_own_splits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = _medmnist(tmp_path / "breast.npz", 2)
    given = ["data.source=medmnist", "data.channels=gray", "grid.images=[2]", "grid.method=[sldd,random_real,dd]"]
    named = ["data.medmnist.classes=[malignant,benign]", "confirm.repeats=1"]
    assert _run(file, *given, *named) == 0
    study = read_study(tmp_path / "out" / "tiny")
    assert study.records["status"].eq("done").all()
    test = study.result(study.records["trial"].iloc[-1])["test"]
    assert [(row["class"], row["films"]) for row in test["classes"]] == [("malignant", 4), ("benign", 4)]
    # A column of one finding is the same two classes, to the digit.
    assert _run(file, *given[:-1], "grid.method=dd", named[1], "name=column") == 0
    column = read_study(tmp_path / "out" / "column")
    same = column.result(column.records["trial"].iloc[-1])["test"]
    assert [row["class"] for row in same["classes"]] == ["no label 0", "label 0"]
    assert [row["probabilities"] for row in same["films"]] == [row["probabilities"] for row in test["films"]]
    capsys.readouterr()
    assert _run(file, *given, "data.medmnist.classes=[a,b,c]", "name=other") == 2
    assert capsys.readouterr().err == "study.run: data.medmnist.classes: 3 names for 1 classes\n"
    assert _run(_medmnist(tmp_path / "breast.npz", 4), *given, *named[:1], "name=other") == 2
    assert capsys.readouterr().err == "study.run: data.medmnist.classes: 2 names for 4 classes\n"


def test_a_task_of_ones_own_is_one_file_and_one_line(cells: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TASKS, GRADES.name, GRADES)  # the line; the file is tests/study/grades.py
    monkeypatch.setitem(results.TASKS, GRADES.name, GRADES.results)
    del results.TASKS[GRADES.name]  # not known to analysis, nor afterwards
    assert _run(cells, "task=grades", "grid.method=[sldd]", "confirm.repeats=1") == 0
    study = read_study(cells.parent / "out" / "tiny")
    assert score_word(study.records) == "mean sensitivity"
    assert study.task.seen == "graded images"
    assert study.records["status"].eq("done").all()
    assert verify(next(study.folder.glob("trials/*/1/package.safetensors"))).passed  # type: ignore[attr-defined]
    # Another process, which has never heard of the task, draws the same page from the study's files.
    page = study.folder / "dashboard.html"  # type: ignore[operator]
    page.unlink()
    subprocess.run([sys.executable, "-m", "analysis.dashboard", str(study.folder)], check=True, capture_output=True)
    assert "mean sensitivity on test patients" in page.read_text()
