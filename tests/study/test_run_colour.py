"""``python -m study.run`` on images in colour: patches and whole images, to the package, its scores and its attacks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from analysis.dashboard import main as dashboard
from analysis.records.packages import read_distilled
from analysis.records.records import read_study
from sldd.package.cli.commands import main as package
from sldd.package.rebuild.verify import verify
from sldd.sources.phantom import PhantomSettings, phantom_label, phantom_patient
from study.anonymity import main as anonymity
from study.run import main
from tests.conftest import write_film, write_manifest
from tests.study.command import OF_FILES, without_ray

COUNT = 24
SHORT = [
    "grid.images=[3]", "search.trials=1", "resources.concurrent=1",
    "outer={steps: 6, batch_size: 12, evaluations: 1, statistics_batches: 2}",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


def _tinted(pixels: np.ndarray) -> np.ndarray:
    return np.stack([pixels, pixels // 2 + 60, 255 - pixels], axis=2)


def _run(out: Path, *settings: str) -> int:
    with without_ray():
        return main([*settings, "--out", str(out), "--address", "local"])


def test_patches_of_phantoms_in_colour(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    films, rows = tmp_path / "films", []
    for index in range(COUNT):
        pixels, mask = phantom_patient(PhantomSettings(patients=COUNT, size=64), index)
        write_film(films, f"{index}.png", pixels, mask)
        Image.fromarray(_tinted(pixels)).save(films / f"images/{index}.png")
        rows.append(f"DOE {index},images/{index}.png,masks/{index}.png,{phantom_label(index)}")
    write_manifest(films, rows)
    colour = ["data.source=folder", f"data.root={films}", "data.channels=rgb"]
    small = ["patches={size: 16, stride: 8, input_size: 32}", *SHORT]
    assert _run(tmp_path / "out", *OF_FILES, *colour, *small) == 0
    study = tmp_path / "out" / "tiny"
    records = read_study(study).records
    assert records["status"].eq("done").all()
    file = next(study.glob("trials/*/1/package.safetensors"))
    verdict = verify(file)
    assert verdict.passed
    assert verdict.package.images.shape[2:] == (3, 32, 32)
    footprint = json.loads(file.with_name("result.json").read_text())["memory_star_kb"]
    assert footprint > 3 * 3 * 32 * 32 * 4 / 1000, "all three channels are shared"
    assert package(["apply", str(file), str(films), "--out", str(tmp_path / "scores.csv")]) == 0
    assert anonymity([str(study)]) == 0
    report = json.loads(file.with_name("anonymity.json").read_text())
    assert report["controls"]["real"]["nearest"]["pixel"]["copies"] == 3, "what was cut out of films is found"
    assert _run(tmp_path / "out", *OF_FILES, *colour, *small) == 0, "nothing is left to run"
    capsys.readouterr()
    assert _run(tmp_path / "out", *OF_FILES, *colour, *small, "data.channels=gray") == 2
    assert "data.channels was 'rgb' and is now 'gray'" in capsys.readouterr().err


def _medmnist(path: Path) -> Path:
    arrays = {}
    for number, (part, count) in enumerate({"train": 24, "val": 9, "test": 9}.items()):
        labels = np.arange(count)[:, None] % 3
        noise = np.random.default_rng(number).integers(0, 90, (count, 28, 28, 3), np.uint8)
        noise[np.arange(count), 4:20, 4:20, labels[:, 0]] += 150
        arrays |= {f"{part}_images": noise, f"{part}_labels": labels}
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def test_whole_images_in_colour(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = _medmnist(tmp_path / "bloods.npz")
    settings = ["demo", "name=tiny", "task=multilabel", "data.source=medmnist", f"data.root={file}", *SHORT]
    settings += [
        "grid.backbone=[lenet]",
        "grid.norm=[as_is]",
        "grid.label_init=single",
        "grid.method=sldd",
        "patches.input_size=28",
    ]
    assert _run(tmp_path / "out", *settings) == 2
    assert capsys.readouterr().err == "study.run: data.root: train_images are in colour; set data.channels=rgb\n"
    assert _run(tmp_path / "out", *settings, "data.channels=rgb", "confirm.repeats=1") == 0
    trial = next((tmp_path / "out" / "tiny").glob("trials/*/1"))
    assert verify(trial / "package.safetensors").passed
    distilled = read_distilled(trial)
    assert distilled is not None
    assert distilled.images.shape == (1, 3, 28, 28, 3)


def test_images_of_one_class_each_are_attacked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = _medmnist(tmp_path / "bloods.npz")
    settings = ["demo", "name=tiny", "task=classes", "data.source=medmnist", f"data.root={file}", "data.channels=rgb"]
    settings += ["grid.backbone=[test_resnet]", "grid.norm=[as_is]", "grid.method=sldd", "patches.input_size=32"]
    assert _run(tmp_path / "out", *settings, *SHORT, "confirm.repeats=1") == 0
    study = tmp_path / "out" / "tiny"
    capsys.readouterr()
    assert anonymity([str(study), "--references", "2"]) == 0
    said = capsys.readouterr().out
    assert "24 patients who trained and 9 held-out patients (24 and 9 images)" in said
    assert "of 3 real training images in the images' place 3 were found as copies and 3 matched" in said
    assert "patch" not in said
    (path,) = study.rglob("anonymity.json")
    report = json.loads(path.read_text())
    assert report["divided"] == "manifest"
    assert report["controls"]["noise"]["nearest"]["pixel"]["copies"] == 0
    assert report["membership"]["references"] == {"kind": "halves", "number": 2, "each": 1}
    assert report["theta_bn"]["pools"][-1]["patients"] == 24
    assert dashboard([str(study)]) == 0
    assert "What the packages give away" in (study / "dashboard.html").read_text()


def test_a_gray_collection_before_images_in_colour(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = _medmnist(tmp_path / "bloods.npz")
    settings = ["demo", "task=multilabel", "data.source=medmnist", f"data.root={file}", "data.channels=rgb"]
    chain = ["grid.method=train", "grid.chain=[[other]]", f"sources={{other: {{source: medmnist, root: {file}}}}}"]
    assert _run(tmp_path / "out", *settings, *chain) == 2
    said = capsys.readouterr().err
    assert "sources.other.channels: is gray, and data.channels is rgb" in said
    assert said.count("\n") == 1
