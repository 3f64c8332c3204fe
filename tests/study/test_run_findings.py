"""``python -m study.run`` on films with findings: a line on what is wrong with them, exit status 2, nothing left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from study.run import main
from tests.conftest import write_dicom

HEADER = "Image Index,Finding Labels,Follow-up #,Patient ID"
ROWS = ["DOE_000.png,Mass|Hernia,0,DOE", "DOE_001.png,No Finding,1,DOE", "ROE_000.png,Edema,0,ROE"]


@pytest.fixture
def nih(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    root = tmp_path / "films"
    root.mkdir()
    for row in ROWS:
        noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
        Image.fromarray(noise).save(root / row.split(",")[0])
    (root / "table.csv").write_text("\n".join([HEADER, *ROWS]))
    return root


def _refusal(capsys: pytest.CaptureFixture[str], root: Path, source: str) -> str:
    out = root.parent / "out"
    assert main([f"data.source={source}", f"data.root={root}", "--out", str(out), "--address", "local"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("study.run: ")
    assert said.count("\n") == 1
    assert "DOE" not in said
    assert not out.exists() or not list(out.iterdir())
    return said


def _missing_film(root: Path) -> None:
    (root / "DOE_001.png").unlink()


def _unknown_label(root: Path) -> None:
    (root / "table.csv").write_text("\n".join([HEADER, *ROWS]).replace("Mass", "DOE JANE"))


def _truncated_film(root: Path) -> None:
    (root / "ROE_000.png").write_bytes((root / "ROE_000.png").read_bytes()[:1000])


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_missing_film, "label table line 3: the film is not among the PNG files of data.root"),
        (_unknown_label, "label table line 2: a label is none of the 14 of ChestX-ray14"),
        (_truncated_film, "label table line 4: the image cannot be read (OSError)"),
        (lambda root: None, "data.source: films of nih have 14 classes of findings"),
    ],
    ids=["missing film", "unknown label", "truncated film", "no study yet"],
)
def test_nih(nih: Path, capsys: pytest.CaptureFixture[str], spoil: Callable[[Path], None], says: str) -> None:
    spoil(nih)
    assert says in _refusal(capsys, nih, "nih")


def test_what_was_found_and_left_out_is_said(nih: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (nih / "labels.csv").write_text(
        "patient_id,image,findings\nDOE,DOE_000.png,scoliosis\nDOE,DOE_000.png,mass\nROE,big.png,mass|goitre\n"
    )
    Image.fromarray(np.zeros((600, 64), np.uint8)).save(nih / "big.png")
    main([
        "data.source=hospital", f"data.root={nih}", "data.hospital.smallest_class=2",
        "--out", str(nih.parent / "out"), "--address", "local",
    ])  # fmt: skip
    said = capsys.readouterr().out
    assert "2 patients with 2 films; 2 mass\n" in said
    assert "copies of films left out: 1\n" in said
    assert "findings on fewer than 2 films dropped: goitre (1), scoliosis (1)\n" in said


def test_a_malformed_dicom_film(nih: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stored = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    path = write_dicom(nih / "DOE.dcm", stored)
    path.write_bytes(path.read_bytes()[:-700])
    (nih / "labels.csv").write_text("patient_id,image,findings\nDOE,DOE.dcm,scoliosis\n")
    assert "label table line 2: the DICOM file cannot be decoded (ValueError)" in _refusal(capsys, nih, "hospital")


@pytest.mark.parametrize("source", ["nih", "chexpert", "hospital", "medmnist"])
def test_an_empty_folder(nih: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], source: str) -> None:
    (tmp_path / "empty").mkdir()
    assert "study.run: data" in (said := _refusal(capsys, tmp_path / "empty", source)) or "label table" in said
    assert "there is no" in _refusal(capsys, tmp_path / "nowhere", source)
