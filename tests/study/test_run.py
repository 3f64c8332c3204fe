"""The command as a user meets it: messages, exit status, a whole small study, and what survives being killed."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from ledger.ledger import Ledger
from sldd.overlay import overlay
from sldd.package.rebuild.verify import verify
from sldd.sources.phantom import PhantomSettings, PhantomSource
from study.config.presets import presets
from study.run import main
from study.status import read_status
from tests.analysis.pages import everything_in
from tests.conftest import write_manifest
from tests.study.command import OF_FILES, TINY, Here, Study


def _said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Runs the command, which must refuse; returns its one line."""
    assert main(list(arguments)) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    return lines[0]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (["grid.backbone=resnet_18"], "there is no backbone 'resnet_18'; did you mean resnet18"),
        (["grid.images=0"], "grid.images.0"),
        (["patches.size=129"], "patches.size: 129 pixels is larger than radiograph 1"),
        (["patches.irrelevant_below=1e-9", "patches.organ_above=1"], "no training patch of class"),
        (["data.split.validation=0"], "the validation split has no positive patient"),
        (["grid.images=1"], "every cell is refused; test_resnet-m1-one_hot-as_is-sldd-near_linear-s1e1: batch norm"),
        (["grid.start=[xavier,elsewhere.pt]"], "grid.start: elsewhere.pt: there is no such file"),
        (["package.key=nowhere.key"], "package.key: nowhere.key: there is no such file"),
        (["package.signer=Hospital"], "package.signer: packages are signed with a key; give package.key"),
        (["package.images=jpeg"], "package.images: input should be 'float32', 'float16' or 'uint8'"),
        (["outer.stepz=3"], "unknown setting outer.stepz; did you mean outer.steps?"),
    ],
)
def test_bad_input_gets_one_line_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], settings: list[str], says: str
) -> None:
    assert says in _said(capsys, *TINY, *settings, "--out", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_folder_has_to_be_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "data.root: not given" in _said(capsys, *OF_FILES, "data.source=folder", "--out", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_bad_manifest_is_told_without_naming_a_patient(cohort_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_manifest(cohort_folder, ["Jane Doe,images/jane-doe.png,masks/0.png,1"])
    folder, out = f"data.root={cohort_folder}", str(cohort_folder / "o")
    said = _said(capsys, *OF_FILES, "data.source=folder", folder, "--out", out)
    assert "manifest.csv line 2: the image does not exist" in said
    assert "jane" not in said.lower()


@pytest.mark.parametrize("how", [[], ["--dry-run"]])
@pytest.mark.parametrize("below", [[], ["studies", "new"]])
def test_folder_that_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], how: list[str], below: list[str]
) -> None:
    file = tmp_path / "file"
    file.touch()
    out = str(file.joinpath(*below))
    assert f"--out {out}: {file} is a file; name another folder" in _said(capsys, *TINY, *how, "--out", out)


def test_a_study_whose_own_folder_cannot_be_written_is_refused_before_films_are_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("study.engine.conduct.open_patients", lambda *_: pytest.fail("films were read"))
    (tmp_path / "tiny").touch()
    assert f"{tmp_path / 'tiny'} is a file; name another folder" in _said(capsys, *TINY, "--out", str(tmp_path))

    def read_only(**_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("tempfile.TemporaryFile", read_only)
    said = _said(capsys, *TINY, "--out", str(tmp_path / "new"))
    assert f"{tmp_path} cannot be written to (Read-only file system)" in said


def test_a_list_that_the_shell_has_cut_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    says = "grid.images: '[1,' cannot be read as a value; quote lists as grid.images='[a, b]'"
    assert says in _said(capsys, "grid.images=[1,", "2]")
    with pytest.raises(SystemExit, match="2"):
        main(["demo", "grid.images=[1,", "2]"])
    assert says in capsys.readouterr().err


def test_help_has_a_line_for_every_preset(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    *_, said = capsys.readouterr().out.partition("presets:")
    lines = [line.split(maxsplit=1) for line in said.strip().splitlines()]
    assert [name for name, _ in lines] == presets()
    assert dict(lines)["demo"].startswith("The default: phantom patients, five small backbones")  # type: ignore[arg-type]


def test_dry_run_names_every_cell_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    budget = ["budget.price=1.01", "budget.trials=4"]
    assert main([*TINY, "grid.images=[1,2,3]", *budget, "--dry-run", "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    for images in (1, 2, 3):
        assert f"test_resnet-m{images}-one_hot-as_is-sldd-near_linear-s1e1" in said
    assert "372,691" in said
    assert "refused: test_resnet-m1-one_hot-as_is-sldd-near_linear-s1e1: batch norm sees one value" in said
    assert "2 cells, 6 trials" in said
    assert "(grid.method=[sldd,train]): no count can be shown to suffice for test_resnet" in said
    assert "sizes, width x height: " in said
    assert "organ masks: on " in said
    assert "at 1.01 for an hour of a machine that runs" in said
    assert "budget.trials=4: this takes 6" in said
    assert "1 network can show nothing about growth with parameters" in said
    assert not (tmp_path / "out").exists()


def test_help_does_not_wait_for_the_libraries() -> None:
    code = "import sys, study.run as run; print({'torch', 'ray', 'pandas'} & sys.modules.keys()); run.main(['--help'])"
    asked = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert asked.stdout.startswith("set()\nusage: python -m study.run")


def test_interrupt_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("study.planning.cohorts.prepare", interrupt)
    assert main([*TINY, "--out", str(tmp_path / "out")]) == 130
    assert "interrupted" in capsys.readouterr().err


@pytest.mark.slow
def test_a_whole_study(undisturbed: Study) -> None:
    records = undisturbed.records()
    assert len(records) == 2 * (2 + 1)
    assert set(records["status"]) == {"done"}
    confirm = records[records["phase"] == "confirm"]
    assert len(confirm) == 2
    assert confirm["test_hm"].notna().all()
    assert records.loc[records["phase"] == "search", "test_hm"].isna().all(), "search never sees test patients"
    assert (undisturbed.folder / "dashboard.html").stat().st_size > 1_000_000, "plotly travels inside the page"
    for path in undisturbed.folder.rglob("*"):
        if path.is_file():
            assert b"PHANTOM-" not in path.read_bytes(), f"{path.name} names a patient"
    assert "PHANTOM-" not in everything_in((undisturbed.folder / "dashboard.html").read_text())
    packages = undisturbed.trials("package.safetensors")
    assert len(packages) == 6
    for path in packages:
        verdict = verify(path)
        assert verdict.passed, verdict.failures
        assert verdict.package.claims is not None
        result = json.loads(path.with_name("result.json").read_text())
        test = verdict.package.claims.test
        assert (test.hm if test else None) == (result["test"]["hm"] if result["test"] else None)
    assert not undisturbed.trials("checkpoint")


@pytest.mark.slow
def test_an_overlay_shows_the_votes_that_were_counted(undisturbed: Study, tmp_path: Path) -> None:
    """A package and a test patient's film give, elsewhere, the votes that the trial's result has of that patient."""
    trial = next(path.parent for path in undisturbed.trials("result.json") if path.parent.name == "2")
    result = json.loads((trial / "result.json").read_text())
    voted = {patient["patient"]: patient["votes"] for patient in result["test"]["patients"]}
    source = PhantomSource(PhantomSettings(patients=16, size=128))
    pseudonyms = Ledger(undisturbed.folder).pseudonyms(source.patient_ids)
    tested = [number for number, pseudonym in enumerate(pseudonyms) if pseudonym in voted]
    for number in tested[:3]:
        film = tmp_path / "film.png"
        Image.fromarray(source.read(number)[0]).save(film)
        votes, _ = overlay(trial / "package.safetensors", film)
        assert votes.counts.tolist() == voted[pseudonyms[number]]
        assert votes.delta == result["delta"]
    assert tested


def test_methods_side_by_side(tmp_path: Path) -> None:
    """The control shares nothing, since its images are patients' own; ordinary training may have its own budget."""
    study = Here(
        tmp_path / "out",
        "grid.method=[sldd,random_real,train]",
        "grid.images=1",
        "distill.inner_weights=head",
        "package={images: uint8, weights: true}",
        "outer.steps=8",
        "train={steps: 4, batch_size: 6}",
        "grid.train_patches=[null,9]",
        "grid.train_classes=[INP,NP]",
        "grid.train_view=[patches,whole]",
        "search={trials: 1}",
        "confirm={repeats: 1}",
    )
    assert study.status == 0, study.log.read_text()
    records = study.records()
    assert set(records["status"]) == {"done"}
    trained = records[records["method"] == "train"]
    assert {cell.removeprefix("test_resnet-as_is-train").removesuffix("-near_linear") for cell in trained["cell"]} == {
        "",
        "-NP",
        "-n9",
        "-n9-NP",
        "-whole",
    }
    steps = records.groupby("method")["outer_steps"].unique()
    assert steps["train"].tolist() == [4]
    assert steps["sldd"].tolist() == steps["random_real"].tolist() != [4]
    assert {path.parents[1].name.split("-")[4] for path in study.trials("package.safetensors")} == {"sldd"}
    assert records.loc[records["method"] == "random_real", "memory_star_kb"].notna().all()
    for path in study.trials("package.safetensors"):
        verdict = verify(path)
        assert verdict.passed, verdict.failures
        assert verdict.package.weights is not None
        said = json.loads(path.with_name("result.json").read_text())["stored"]
        assert said["images"] == "uint8"
        assert 0 < said["largest"] < 0.1
        assert verdict.package.claims is not None
        assert said["val_hm"] == verdict.package.claims.validation.hm


def test_folds_rotate_and_counts_are_searched(tmp_path: Path) -> None:
    study = Here(
        tmp_path / "out",
        "grid={backbone: convnet_w32, images: search, most_images: 3}",
        "confirm={repeats: 1, folds: 2}",
        "data.split={validation: 0.2}",
        "minimum={margin: 0.99, floor: 0}",  # whatever comes out suffices: 3 for what is best, then 1
        "search.trials=3",
        "outer={steps: 4, batch_size: 6, evaluations: 1, statistics_batches: 1}",
    )
    assert study.status == 0, study.log.read_text()
    records = study.records()
    assert records.groupby(["images", "fold"])["phase"].value_counts().unstack().to_dict("index") == {
        (3, 0): {"confirm": 1, "search": 3},
        (3, 1): {"confirm": 1, "search": 3},
        (1, 0): {"confirm": 1, "search": 2},
        (1, 1): {"confirm": 1, "search": 2},
    }
    tested = [
        json.loads((path / "result.json").read_text())["test"]["patients"]
        for path in study.folder.glob("trials/*-m3-*/*")
        if json.loads((path / "config.json").read_text())["phase"] == "confirm"
    ]
    names = [patient["patient"] for fold in tested for patient in fold]
    assert len(names) == len(set(names)) == 16, "every patient is tested once"
    log = study.log.read_text()
    assert "searching image counts spared 2 cells and 10 trials of the full grid" in " ".join(log.split())
    assert "not needed" in log
    status = read_status(str(study.folder))
    assert (status.finished, status.remaining) == (True, 0), "the count between is no trial to go"


def test_the_papers_protocol_is_marked_wherever_its_numbers_are(tmp_path: Path) -> None:
    study = Here(
        tmp_path / "out",
        "protocol=paper",
        "grid.backbone=convnet_w32",
        "grid.images=3",
        "data.split.validation=0",
        "search.trials=1",
        "outer={steps: 4, batch_size: 6, evaluations: 2, statistics_batches: 1}",
        page=True,
    )
    assert study.status == 0, study.log.read_text()
    records = study.records()
    assert set(records["protocol"]) == {"paper"}
    assert set(records["delta"]) == {0.4}
    confirm = records[records["phase"] == "confirm"]
    assert confirm["val_hm"].tolist() == confirm["test_hm"].tolist() == confirm["test_hm_at_0.4"].tolist()
    assert "papers&#x27; protocol" in (study.folder / "dashboard.html").read_text()
    assert "the papers' protocol: states were chosen on the test patients" in study.log.read_text()
