"""``python -m study.run`` on films with findings: a line on what is wrong with them, exit status 2, nothing left."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from analysis.records.multilabel_runs import pooled_film_run
from analysis.records.records import read_study
from analysis.stats.evidence import count_evidence
from sldd.package.rebuild.verify import verify
from study.anonymity import main as anonymity
from study.run import main
from study.status import read_status
from tests.conftest import write_dicom
from tests.study.command import without_ray

HEADER = "Image Index,Finding Labels,Follow-up #,Patient ID"
ROWS = ["DOE_000.png,Mass|Hernia,0,DOE", "DOE_001.png,No Finding,1,DOE", "ROE_000.png,Edema,0,ROE"]


@pytest.fixture
def nih(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    root = tmp_path / "films"
    root.mkdir()
    for number, row in enumerate(ROWS):
        noise = np.random.default_rng(number).integers(0, 256, (64, 64), dtype=np.uint8)
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
        (lambda root: None, "data.source: films of nih have 14 classes of findings, and task=patches is about"),
    ],
    ids=["missing film", "unknown label", "truncated film", "no task"],
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
    assert "label table line 2: the DICOM file is cut off" in _refusal(capsys, nih, "hospital")


@pytest.mark.parametrize("source", ["nih", "chexpert", "hospital", "medmnist"])
def test_an_empty_folder(nih: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], source: str) -> None:
    (tmp_path / "empty").mkdir()
    assert "study.run: data" in (said := _refusal(capsys, tmp_path / "empty", source)) or "label table" in said
    assert "there is no" in _refusal(capsys, tmp_path / "nowhere", source)


STUDY = [
    "task=multilabel", "name=films", "grid.backbone=[test_resnet]", "grid.images=[2,3]", "grid.method=[train,sldd]",
    "grid.label_init=clusters", "patches.input_size=32", "outer.steps=4", "outer.evaluations=2", "outer.batch_size=6",
    "outer.statistics_batches=2", "train.steps=null", "data.split.validation=0.25", "data.split.test=0.35",
    "search.trials=1", "confirm.repeats=2", "resources.concurrent=1", "minimum.resamples=100",
]  # fmt: skip


def _many_films(root: Path) -> None:
    """Twelve patients with two films each, whose findings are bright places."""
    rows = []
    for patient in range(12):
        for number, labels in enumerate((["Mass"] if patient % 2 else [], ["Edema"] if patient % 3 else [])):
            film = np.random.default_rng(patient).integers(0, 100, (40, 40), dtype=np.uint8)
            film[:10, :10] += 120 * np.uint8("Mass" in labels)
            film[20:30, 20:30] += 120 * np.uint8("Edema" in labels)
            name = f"{patient:04}_{number:03}.png"
            Image.fromarray(film).save(root / name)
            rows.append(f"{name},{'|'.join(labels) or 'No Finding'},{number},DOE{patient}")
    (root / "table.csv").write_text("\n".join([HEADER, *rows]))


def test_a_study_of_films_with_findings(nih: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _many_films(nih)
    out = nih.parent / "out"
    command = ["data.source=nih", f"data.root={nih}", *STUDY, "--out", str(out), "--address", "local"]
    with without_ray():
        assert main(command) == 0
    said = capsys.readouterr().out
    assert "test AUC" in said
    assert "12 patients with 24 films; " in said

    study = read_study(out / "films")
    records = study.records
    assert records["status"].eq("done").all()
    assert records["task"].eq("multilabel").all()
    confirmed = records[records["phase"].eq("confirm")]
    assert len(confirmed) == 6
    assert confirmed["test_hm"].isna().all()
    assert confirmed[["test_auc", "test_ap", "test_hamming_loss"]].notna().all(axis=None)
    searched = records[records["phase"].eq("search")]
    assert searched[["test_auc", "test_ap", "test_hamming_loss"]].isna().all(axis=None)

    means = count_evidence(study)
    assert means["images"].tolist() == [2, 3]
    for _, row in means.iterrows():
        trials = confirmed[confirmed["images"].eq(row["images"])]
        assert row["hm"] == pytest.approx(trials["test_auc"].mean())
        for trial, auc in zip(trials["trial"], trials["test_auc"], strict=True):
            films = pooled_film_run([study.result(trial)])
            assert films is not None
            assert films.auc == pytest.approx(auc), "the page's AUC is the trial's own"
            verdict = verify(Path(str(study.trial_folder(trial))) / "package.safetensors")
            assert verdict.passed
            assert verdict.package.delta is None
            assert len(verdict.package.classes) == 14
    everything = "".join(path.read_text() for path in (out / "films").rglob("*") if path.suffix in (".json", ".csv"))
    assert "DOE" not in everything
    page = (out / "films" / "dashboard.html").read_text()
    assert "AUC by parameters" in page
    assert "HM by parameters" not in page
    assert anonymity([str(out / "films")]) == 2
    assert "its package is of task=multilabel, which no attack here is about" in capsys.readouterr().err


def test_patients_with_one_label_have_no_findings(nih: Path, capsys: pytest.CaptureFixture[str]) -> None:
    patients = "data.phantom={patients: 2, size: 64}"
    assert main(["task=multilabel", patients, "--out", str(nih / "out"), "--address", "local"]) == 2
    assert "films of phantom have no findings" in capsys.readouterr().err


def test_networks_go_on_from_other_collections(nih: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a chain, both collections at once, and both side by side; one that is not there keeps its own cells only."""
    _many_films(nih)
    out = nih.parent / "out"
    parts = [f"nih_{name}: {{source: nih, root: {nih}, part: {part}/3}}" for name, part in (("a", 1), ("b", 2))]
    command = [
        "task=multilabel", "name=films", "grid.backbone=test_resnet", "grid.images=1", "grid.method=train",
        "grid.chain=[[nih_a, nih_b], [chexpert]]", "grid.transfer=[regular, mixed, co_trained]",
        f"sources={{{', '.join(parts)}, chexpert: {{source: chexpert}}}}", "data.source=nih", f"data.root={nih}",
        "data.part=3/3", "patches.input_size=32", "outer.steps=2", "outer.evaluations=1", "outer.batch_size=4",
        "outer.statistics_batches=2", "search.trials=1", "confirm.repeats=2", "resources.concurrent=1",
        "train.steps=null", "minimum.resamples=100",
        *(f"{each}.split={{validation: 0.25, test: 0.25}}" for each in ("data", "sources.nih_a", "sources.nih_b")),
        "--out", str(out), "--address", "local",
    ]  # fmt: skip
    with without_ray():
        assert main(command) == 0
    said = capsys.readouterr().out
    assert "films, nih_a: 4 patients with 8 films" in said
    assert "regular-chexpert: sources.chexpert.root: no folder is named" in said

    records = read_study(out / "films").records
    done = records[records["status"].eq("done")]
    assert done["cell"].nunique() == 7
    assert read_status(str(out / "films")).remaining == 0
    assert done.groupby("cell").size().sort_index().tolist() == [3, 3, 2, 2, 2, 3, 2]
    folder = out / "films" / "trials"
    assert {path.parent.parent.name.rpartition("on=")[2] for path in folder.rglob("weights.safetensors")} == {
        "nih_a", "nih_b", "nih_a=nih_b",
    }  # fmt: skip
    for path in folder.glob("*mixed-nih_a-nih_b/*/config.json"):
        first, second = json.loads(path.read_text())["starts_from"]
        assert first.endswith("on=nih_a/1")
        assert second.endswith("on=nih_b/1")
    assert (done.loc[done["cell"].str.contains("mixed"), "parameters"] > 2 * 350_000).all()
    everything = "".join(path.read_text() for path in (out / "films").rglob("*") if path.suffix in (".json", ".csv"))
    assert "DOE" not in everything

    with without_ray():
        assert main(command) == 0, "nothing is left to run"
    assert read_study(out / "films").records.equals(records)
    with Image.open(nih / "0000_000.png") as film:
        turned = film.transpose(Image.Transpose.ROTATE_180)
    turned.save(nih / "0000_000.png")
    assert main(command) == 2
    assert "the data (fingerprint) changed" in capsys.readouterr().err
