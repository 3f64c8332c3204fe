"""The commands as a receiver meets them: what they print, leave behind and return, also in another process."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from sldd.ops.pixels import at_once
from sldd.package import Package
from sldd.package.apply.films import find_patients
from sldd.package.apply.score_table import COLUMNS as SCORE_COLUMNS
from sldd.package.apply.scoring import score
from sldd.package.apply.sensitivity import COLUMNS
from sldd.package.cli.commands import main
from sldd.package.rebuild.rebuild import rebuild
from sldd.package.rebuild.self_test import with_self_test
from tests.conftest import write_manifest
from tests.sldd.package.conftest import Files, make


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("COLUMNS", "160")
    yield
    torch.set_num_threads(1)


def _ran(capsys: pytest.CaptureFixture[str], *words: Any) -> tuple[int, str]:
    status = main([str(word) for word in words])
    said = capsys.readouterr()
    return status, said.out + said.err


def _table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_info_fits_on_a_screen_and_says_it_all(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, said = _ran(capsys, "info", saved)
    assert status == 0
    assert len(said.splitlines()) <= 24
    for words in (
        "sldd-package/5", "sha256:", "unsigned", "lenet", "seed 3", "2 x 3 of 32 x 32, float32", "delta", "torch ",
        "Sen 0.800  Spe 0.600  HM 0.686  AUC 0.700   24 patients", "8 bit, less 120, by 45",
        "state and delta chosen on validation patients",
    ):  # fmt: skip
        assert words in said


def test_verify_says_ok_or_what_fails(
    saved: Path, package: Package, file_of: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    status, said = _ran(capsys, "verify", saved)
    assert status == 0
    assert said.splitlines()[-1].startswith("passed")
    status, said = _ran(capsys, "verify", file_of(replace(package, labels=package.labels.round())))
    assert status == 1
    assert "FAILS labels" in said
    status, said = _ran(capsys, "verify", saved.parent / "nothing")
    assert status == 2
    assert said.count("\n") == 1


def test_scores_are_a_row_a_patient_under_pseudonyms(
    saved: Path, films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, names = tmp_path / "scores.csv", tmp_path / "names.csv"
    status, said = _ran(capsys, "apply", saved, films, "--out", out, "--names", names, "--batch", 5)
    assert status == 0, said
    assert "7 radiographs in" in said
    assert "a second (cpu, 1 threads)" in said
    assert "claimed, test" in said
    rows = _table(out)
    assert tuple(rows[0]) == SCORE_COLUMNS
    assert sorted(int(row["radiographs"]) for row in rows) == [1, 1, 1, 1, 1, 2]
    assert "Jane" not in out.read_text()
    assert "Jane" not in said
    assert stat.S_IMODE(names.stat().st_mode) == 0o600
    who = {row["patient"]: row["pseudonym"] for row in _table(names)}
    assert who.keys() == {f"Jane Doe {number}" for number in range(6)}
    twice = next(row for row in rows if row["patient"] == who["Jane Doe 0"])
    assert sum(int(twice[f"votes_{name}"]) for name in "INP") == 2 * 9, "two films of 3 x 3 patches"
    for row in rows:
        positive, negative = int(row["votes_P"]), int(row["votes_N"])
        assert row["undecided"] == str(int(positive + negative == 0))
        if positive + negative:
            assert float(row["score"]) == pytest.approx(positive / (positive + negative), abs=1e-6)
            assert row["positive"] == str(int(float(row["score"]) >= 0.45))


def test_a_receivers_manifest_is_read_as_a_studys_is(
    saved: Path, films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "received"
    shutil.copytree(films / "images", folder / "images")
    rows = ["PATIENT ID;Image;Label", "Q1;images\\0.png;TRUE", "q1;images\\1.png;0,0", "X;images\\2.png;"]
    (folder / "manifest.csv").write_bytes("\r\n".join(["sep=;", *rows, ""]).encode("utf-16"))
    status, said = _ran(capsys, "apply", saved, folder, "--out", tmp_path / "scores.csv")
    assert status == 0
    assert "manifest.csv lines 3 and 4: patients whose ids differ only in capitals" in said
    with (tmp_path / "scores.csv").open(newline="") as file:
        assert sorted(row["label"] for row in csv.DictReader(file)) == ["", "0", "1"]
    (folder / "manifest.csv").write_text("patient_id,image\nQ1,images/0.png\nQ2,./images/0.png\n")
    status, said = _ran(capsys, "apply", saved, folder, "--out", tmp_path / "other.csv")
    assert status == 2
    assert "manifest.csv line 3: the image of manifest.csv line 2, but another patient" in said
    assert not (tmp_path / "other.csv").exists()


def test_a_folder_without_labels_or_manifest(
    saved: Path, films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, said = _ran(capsys, "apply", saved, films / "images", "--out", tmp_path / "scores.csv")
    assert status == 0
    assert "claimed" not in said
    rows = _table(tmp_path / "scores.csv")
    assert len(rows) == 7
    assert {row["label"] for row in rows} == {""}
    assert not list(tmp_path.glob(".scores*"))


def test_nothing_broken_is_run(
    package: Package, file_of: Files, films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = file_of(replace(package, rates=torch.full_like(package.rates, float(package.rates.mean()))))
    status, said = _ran(capsys, "apply", changed, films, "--out", tmp_path / "scores.csv")
    assert status == 1
    assert "as a mean would be" in said
    assert "refused" in said
    assert not (tmp_path / "scores.csv").exists()


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("Jane Doe,../secret.png,,1", "manifest.csv line 2: the path leads out of the table's folder"),
        ("Jane Doe,/etc/passwd,,1", "manifest.csv line 2: the path leads out of the table's folder"),
        ("Jane Doe,images/9.png,,1", "manifest.csv line 2: the image does not exist"),
        ("Jane Doe,images/0.png,,2", "manifest.csv line 2: the label is neither 0"),
        (
            "Jane Doe,images/deep.png,,1",
            "manifest.csv line 2: 16 bit, and the package was made for radiographs of 8 bit",
        ),
        ("Jane Doe,images/small.png,,1", "manifest.csv line 2: patches.size: 32 pixels is larger than radiograph 1"),
    ],
)
def test_radiographs_that_cannot_be_used_are_named_by_their_line(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], row: str, says: str
) -> None:
    folder = tmp_path / "folder"
    (folder / "images").mkdir(parents=True)
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(folder / "images" / "0.png")
    Image.fromarray(np.zeros((16, 16), np.uint8)).save(folder / "images" / "small.png")
    Image.fromarray(np.full((64, 64), 3000, np.uint16)).save(folder / "images" / "deep.png")
    write_manifest(folder, [row])
    status, said = _ran(capsys, "apply", saved, folder, "--out", tmp_path / "scores.csv")
    assert status == 2
    assert says in said
    assert "jane" not in said.lower()
    assert not (tmp_path / "scores.csv").exists()


def test_output_does_not_go_through_links(
    saved: Path, films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "target").write_text("mine")
    (tmp_path / "scores.csv").symlink_to(tmp_path / "target")
    status, said = _ran(capsys, "apply", saved, films, "--out", tmp_path / "scores.csv")
    assert status == 2
    assert "a symbolic link" in said
    assert (tmp_path / "target").read_text() == "mine"
    assert _ran(capsys, "apply", saved, films, "--out", tmp_path / "no" / "scores.csv")[0] == 2


def test_outputs_are_two_files_and_none_that_is_read(
    saved: Path, films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = shutil.copytree(films, tmp_path / "films"), tmp_path / "out.csv"
    table, other = folder / "manifest.csv", shutil.copy(saved, tmp_path / "other.safetensors")
    film = next((folder / "images").iterdir())
    before = {path: path.read_bytes() for path in (saved, Path(other), table, film)}
    for words, says in (
        (["--out", out, "--names", tmp_path / "films" / ".." / "out.csv"], "--out is the same file"),
        (["--out", saved], "--out .*: a file that is read here"),
        (["--out", table], "--out .*: a file that is read here"),
        (["--out", film], "--out .*: a radiograph; name another"),
        (["--out", out, "--names", table], "--names .*: a file that is read here"),
        (["--out", out, "--names", other, "--with", other], "--names .*: a file that is read here"),
    ):
        status, said = _ran(capsys, "apply", saved, folder, *words)
        assert status == 2, words
        assert re.search(says, said)
    assert _ran(capsys, "apply", saved, table, "--out", table)[0] == 2
    assert _ran(capsys, "fragility", saved, folder, "--out", table)[0] == 2
    assert not out.exists()
    assert {path: path.read_bytes() for path in before} == before


def test_a_full_gpu_halves_the_patches(package: Package, films: Path) -> None:
    seen: list[int] = []
    network = rebuild(package)

    class Full(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            if len(images) > 3:
                raise torch.OutOfMemoryError("no room")
            seen.append(len(images))
            return network(images)

    patients = find_patients(films)
    device = torch.device("cpu")
    full = score(Full(), package, patients, batch=16, device=device)
    assert max(seen) <= 3
    assert (
        full.votes.counts.tolist() == score(network, package, patients, batch=16, device=device).votes.counts.tolist()
    )


def test_large_patches_are_fewer_at_a_time(package: Package, films: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    network, patients, device = rebuild(package), find_patients(films), torch.device("cpu")
    usual = score(network, package, patients, batch=16, device=device)
    network.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    monkeypatch.setattr("sldd.ops.pixels._MOST_VALUES", 4 * 32**2)
    few = score(network, package, patients, batch=16, device=device)
    assert max(seen) == 4
    assert few.votes.counts.tolist() == usual.votes.counts.tolist()
    assert at_once(128, 1, 1350) == 1, "one at least"


def test_pictures(saved: Path, package: Package, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _ran(capsys, "export-png", saved, tmp_path / "png")[0] == 0
    names = sorted(path.name for path in (tmp_path / "png").iterdir())
    assert names == ["sheet.png", *(f"step-{s}-image-{m}.png" for s in (1, 2) for m in (1, 2, 3))]
    shown = np.asarray(Image.open(tmp_path / "png" / "step-2-image-3.png")).astype(float)
    image = package.images[1, 2, 0].numpy()
    assert np.abs(shown - 255 * (image - image.min()) / (image.max() - image.min())).max() <= 0.5 + 1e-3


def test_compare(saved: Path, package: Package, file_of: Files, capsys: pytest.CaptureFixture[str]) -> None:
    assert _ran(capsys, "compare", saved, saved) == (0, "the same content\n")
    images = package.images.clone()
    images[0, 0] += 0.5
    changed = file_of(replace(package, images=images, delta=0.5, labels=package.labels.flip(0)))
    status, said = _ran(capsys, "compare", saved, changed)
    assert status == 1
    rows = {line.split()[0]: line for line in said.splitlines() if line.strip()}
    assert rows["delta"].split()[1:] == ["0.45", "0.5"]
    share = float((images - package.images).norm() / package.images.norm())
    assert f"at most 0.5, {share:.2%} of the norm" in rows["images"]
    assert "the same ones in another order" in rows["labels"]
    assert "rates" not in rows


def test_convert_and_sign(saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key, out = tmp_path / "ours.key", tmp_path / "small.safetensors"
    assert _ran(capsys, "keygen", key)[0] == 0
    status, said = _ran(capsys, "convert", saved, "--images", "uint8", "--weights", "--out", out)
    assert status == 0
    assert "class probabilities of the self-test by" in said
    small = Package.load(out)
    assert small.weights is not None
    assert small.stored.images == "uint8"
    assert small.claims is not None
    assert small.claims.images == "float32", "claims were measured before"
    signed = tmp_path / "signed.safetensors"
    assert _ran(capsys, "sign", out, "--key", key, "--signer", "Hospital A", "--out", signed)[0] == 0
    assert _ran(capsys, "verify", signed, "--key", f"{key}.pub")[0] == 0
    assert _ran(capsys, "verify", out, "--key", f"{key}.pub")[0] == 1
    assert "Hospital A" in _ran(capsys, "info", signed)[1]
    assert _ran(capsys, "convert", out, "--images", "float16", "--out", tmp_path / "x")[0] == 2
    assert _ran(capsys, "sign", out, "--key", key, "--signer", "A", "--out", out)[0] == 2
    secret = key.read_bytes()
    for words in (
        ("sign", out, "--key", key, "--signer", "A", "--out", key),
        ("convert", out, "--start", key, "--out", key),
    ):
        status, said = _ran(capsys, *words)
        assert (status, "a file that is read here" in said) == (2, True)
    assert key.read_bytes() == secret


def test_convert_makes_no_good_package_of_a_bad_one(
    package: Package, file_of: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.safetensors"
    changed = file_of(replace(package, images=package.images.roll(1, 1)))
    status, said = _ran(capsys, "convert", changed, "--weights", "--out", out)
    assert status == 1
    assert "FAILS images     the order is another" in said
    assert not out.exists()
    untested = file_of(replace(package, self_test=None, expected=None))
    assert _ran(capsys, "convert", untested, "--out", out)[0] == 0


def test_fragility(films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "package.safetensors"
    make().save(path)
    some = shutil.copytree(films, tmp_path / "films")
    lines = (some / "manifest.csv").read_text().splitlines()
    unlabelled = [line[:-1] if number in (2, 5) else line for number, line in enumerate(lines)]
    (some / "manifest.csv").write_text("\n".join([*unlabelled, ""]))
    few = ["--seeds", 1, "--backbones", "convnet_w32"]
    status, said = _ran(capsys, "fragility", path, some, *few)
    assert status == 0, said
    rows = _table(tmp_path / "fragility.csv")
    assert tuple(rows[0]) == COLUMNS
    variants = [row["variant"] for row in rows]
    assert variants == [
        "as made", "order: labels", "order: steps", "rate: mean", "rate: halved", "rate: doubled", "start: seed",
        "backbone", "noise", "noise", "noise", "labels: rounded", "labels: rounded", "images: stored",
        "images: stored", "theta_bn: dropped", "theta_bn: receiver",
    ]  # fmt: skip
    assert {row["status"] for row in rows} == {"done"}
    made = rows[0]
    assert (made["changed_decisions"], float(made["score_change"]), float(made["output_change"])) == ("0", 0.0, 0.0)
    assert all(float(row["output_change"]) > 0 for row in rows[1:])
    changes = {row["level"]: float(row["output_change"]) for row in rows if row["variant"] == "noise"}
    assert changes["0.01"] < changes["0.5"]
    assert {row["patients"] for row in rows} == {"4"}
    assert "4 patients with a label, 5 radiographs; table: " in said
    assert _ran(capsys, "fragility", path, films / "images", *few)[0] == 2, "without labels there is nothing to measure"


def test_what_cannot_run_says_why(films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "package.safetensors"
    make("convnet_w32", norm="as_is", steps=1).save(path)
    out = tmp_path / "t.json"
    assert _ran(capsys, "fragility", path, films, "--seeds", 0, "--backbones", "vgg_99", "--out", out)[0] == 0
    rows = {row["variant"]: row for row in json.loads(out.read_text())}
    assert rows["order: steps"]["note"] == "there is one step"
    assert rows["rate: mean"]["note"] == "there is a single rate"
    assert rows["theta_bn: dropped"]["note"] == "the network has no batch norm"
    assert "no backbone 'vgg_99'" in rows["backbone"]["note"]
    assert rows["backbone"]["status"] == "cannot run"


def test_a_network_that_takes_no_single_image_cannot_run(
    films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    package, path, out = make(), tmp_path / "package.safetensors", tmp_path / "t.json"
    one = replace(package, images=package.images[:1, :1], labels=package.labels[:1, :1], rates=package.rates[:, :1])
    with_self_test(one).save(path)
    status, _ = _ran(capsys, "fragility", path, films, "--seeds", 0, "--backbones", "test_resnet", "--out", out)
    assert status == 0
    rows = {row["variant"]: row for row in json.loads(out.read_text())}
    assert rows["backbone"]["status"] == "cannot run"
    assert rows["backbone"]["note"].startswith("Expected more than 1 value per channel")
    assert rows["theta_bn: receiver"]["status"] == "done"


@pytest.mark.slow
def test_a_fresh_process_with_other_threads_decides_the_same(films: Path, tmp_path: Path) -> None:
    """Even where inner steps are chaotic, as through batch norm over three values."""
    package = make("test_resnet", norm="as_is")
    assert package.self_test is not None
    assert package.self_test.spread > 0.01
    path, out, names = (tmp_path / name for name in ("package.safetensors", "scores.csv", "names.csv"))
    package.save(path)
    command = [sys.executable, "-m", "sldd.package", "apply", path, films, "--out", out, "--names", names]
    environment = os.environ | {"OMP_NUM_THREADS": "2"}
    subprocess.run([*command, "--threads", "2"], check=True, env=environment, stdout=subprocess.DEVNULL)
    who = {row["pseudonym"]: row["patient"] for row in _table(names)}
    there = {who[row["patient"]]: row for row in _table(out)}
    patients = find_patients(films)
    here = score(rebuild(package), package, patients, batch=64, device=torch.device("cpu")).votes
    for patient, expected in zip(patients, here.scores, strict=True):
        row = there[patient.name]
        assert float(row["score"] or -1) == pytest.approx(expected, abs=1e-3)
        assert row["positive"] == str(int(expected >= package.delta))
