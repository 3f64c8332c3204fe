"""The command as a user meets it: messages, exit status, a whole small study, and what survives being killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import psutil
import pytest
from PIL import Image

from analysis.records import MEASURED
from sldd.overlay import overlay
from sldd.package.verify import verify
from sldd.sources.phantom import PhantomSettings, PhantomSource
from study.ledger import Ledger
from study.run import main
from study.worker import PROCESS
from tests.conftest import write_manifest

TINY = [
    "demo", "name=tiny", "grid.backbone=[test_resnet]", "grid.images=[2,3]",
    "data.phantom={patients: 16, size: 128}", "patches={size: 24, stride: 8, input_size: 32}",
    "outer={steps: 40, batch_size: 12, evaluations: 2, statistics_batches: 2, checkpoint_every: 5}",
    "search.trials=2", "confirm.repeats=1",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "user-cache"))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


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
        (["grid.images=1"], "every cell is refused; test_resnet-m1-one_hot-as_is-sldd-s1e1: batch norm sees one value"),
        (["data.source=folder"], "data.root: not given"),
        (["grid.start=[xavier,elsewhere.pt]"], "grid.start: elsewhere.pt: there is no such file"),
        (["package.key=nowhere.key"], "package.key: nowhere.key: there is no such file"),
        (["package.images=jpeg"], "package.images: input should be 'float32', 'float16' or 'uint8'"),
        (["outer.stepz=3"], "unknown setting outer.stepz; did you mean outer.steps?"),
    ],
)
def test_bad_input_gets_one_line_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], settings: list[str], says: str
) -> None:
    assert says in _said(capsys, *TINY, *settings, "--out", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_bad_manifest_is_told_without_naming_a_patient(cohort_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_manifest(cohort_folder, ["Jane Doe,images/jane-doe.png,masks/0.png,1"])
    said = _said(capsys, *TINY, "data.source=folder", f"data.root={cohort_folder}", "--out", str(cohort_folder / "o"))
    assert "manifest.csv line 2: the image does not exist" in said
    assert "jane" not in said.lower()


def test_folder_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert "cannot write to" in _said(capsys, *TINY, "--out", str(tmp_path / "file"))


def test_dry_run_names_every_cell_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    budget = ["budget.price=1.01", "budget.trials=4"]
    assert main([*TINY, "grid.images=[1,2,3]", *budget, "--dry-run", "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    for images in (1, 2, 3):
        assert f"test_resnet-m{images}-one_hot-as_is-sldd-s1e1" in said
    assert "372,691" in said
    assert "refused: test_resnet-m1-one_hot-as_is-sldd-s1e1: batch norm sees one value" in said
    assert "2 cells, 6 trials" in said
    assert "at 1.01 for an hour of a machine that runs" in said
    assert "budget.trials=4: this takes 6" in said
    assert not (tmp_path / "out").exists()


def test_interrupt_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("study.run.prepare", interrupt)
    assert main([*TINY, "--out", str(tmp_path / "out")]) == 130
    assert "interrupted" in capsys.readouterr().err


class Command:
    """The command in a process of its own, with its study's folder."""

    def __init__(self, out: Path, *settings: str) -> None:
        self.study = out / "tiny"
        self.log = out.with_suffix(".log")
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-m", "study.run", *TINY, *settings, "--out", str(out)],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait(self) -> int:
        return self.process.wait(timeout=300)

    def until(self, happened: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 120
        while not happened():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)

    def trials(self, name: str) -> list[Path]:
        return sorted(self.study.glob(f"trials/*/*/{name}"))

    def checkpoints(self) -> dict[Path, int]:
        """Steps in the last checkpoint of every unfinished trial."""
        saved = [path for path in self.trials("checkpoint/*.pt") if not (path.parents[1] / "result.json").exists()]
        return {path.parents[1]: int(path.stem) for path in saved}  # sorted: of two, the later step stays

    def workers(self) -> list[psutil.Process]:
        """The processes that run trials."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [process for process in children if process.name().startswith(PROCESS)]

    def records(self) -> pd.DataFrame:
        return pd.read_csv(self.study / "records.csv").drop(columns=MEASURED)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Command:
    command = Command(tmp_path_factory.mktemp("undisturbed") / "out")
    assert command.wait() == 0, command.log.read_text()
    return command


@pytest.mark.slow
def test_a_whole_study(undisturbed: Command) -> None:
    records = undisturbed.records()
    assert len(records) == 2 * (2 + 1)
    assert set(records["status"]) == {"done"}
    confirm = records[records["phase"] == "confirm"]
    assert len(confirm) == 2
    assert confirm["test_hm"].notna().all()
    assert records.loc[records["phase"] == "search", "test_hm"].isna().all(), "search never sees test patients"
    assert (undisturbed.study / "dashboard.html").stat().st_size > 1_000_000, "plotly travels inside the page"
    for path in undisturbed.study.rglob("*"):
        if path.is_file():
            assert b"PHANTOM-" not in path.read_bytes(), f"{path.name} names a patient"
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
def test_an_overlay_shows_the_votes_that_were_counted(undisturbed: Command, tmp_path: Path) -> None:
    """A package and a test patient's film give, elsewhere, the votes that the trial's result has of that patient."""
    trial = next(path.parent for path in undisturbed.trials("result.json") if path.parent.name == "2")
    result = json.loads((trial / "result.json").read_text())
    voted = {patient["patient"]: patient["votes"] for patient in result["test"]["patients"]}
    source = PhantomSource(PhantomSettings(patients=16, size=128))
    pseudonyms = Ledger(undisturbed.study).pseudonyms(source.patient_ids)
    tested = [number for number, pseudonym in enumerate(pseudonyms) if pseudonym in voted]
    for number in tested[:3]:
        film = tmp_path / "film.png"
        Image.fromarray(source.read(number)[0]).save(film)
        votes, _ = overlay(trial / "package.safetensors", film)
        assert votes.counts.tolist() == voted[pseudonyms[number]]
        assert votes.delta == result["delta"]
    assert tested


@pytest.mark.slow
def test_methods_side_by_side(tmp_path: Path) -> None:
    """The control shares nothing, since its images are patients' own; ordinary training may have its own budget."""
    command = Command(
        tmp_path / "out",
        "grid.method=[sldd,random_real,train]",
        "grid.images=1",
        "distill.inner_weights=head",
        "package={images: uint8, weights: true}",
        "train={steps: 4, batch_size: 6}",
        "grid.train_patches=[null,9]",
        "grid.train_classes=[INP,NP]",
        "grid.train_view=[patches,whole]",
        "search={trials: 1}",
        "confirm={repeats: 1}",
    )
    assert command.wait() == 0, command.log.read_text()
    records = command.records()
    assert set(records["status"]) == {"done"}
    trained = records[records["method"] == "train"]
    assert {cell.removeprefix("test_resnet-as_is-train") for cell in trained["cell"]} == {
        "",
        "-NP",
        "-n9",
        "-n9-NP",
        "-whole",
    }
    steps = records.groupby("method")["outer_steps"].unique()
    assert steps["train"].tolist() == [4]
    assert steps["sldd"].tolist() == steps["random_real"].tolist() != [4]
    assert {path.parents[1].name.split("-")[4] for path in command.trials("package.safetensors")} == {"sldd"}
    assert records.loc[records["method"] == "random_real", "memory_star_kb"].notna().all()
    for path in command.trials("package.safetensors"):
        verdict = verify(path)
        assert verdict.passed, verdict.failures
        assert verdict.package.weights is not None
        said = json.loads(path.with_name("result.json").read_text())["stored"]
        assert said["images"] == "uint8"
        assert 0 < said["largest"] < 0.1
        assert verdict.package.claims is not None
        assert said["val_hm"] == verdict.package.claims.validation.hm


@pytest.mark.slow
def test_folds_rotate_and_counts_are_searched(tmp_path: Path) -> None:
    command = Command(
        tmp_path / "out",
        "grid={backbone: test_resnet, images: search, most_images: 3, norm: group}",
        "confirm={repeats: 1, folds: 2}",
        "minimum={margin: 0.99, floor: 0}",  # whatever comes out suffices: 3 for what is best, then 1
        "outer={steps: 4, batch_size: 6, evaluations: 1, statistics_batches: 1}",
    )
    assert command.wait() == 0, command.log.read_text()
    records = command.records()
    assert records.groupby(["images", "fold"])["phase"].value_counts().unstack().to_dict("index") == {
        (3, 0): {"confirm": 1, "search": 2},
        (3, 1): {"confirm": 1, "search": 2},
        (1, 0): {"confirm": 1, "search": 1},
        (1, 1): {"confirm": 1, "search": 1},
    }
    tested = [
        json.loads((path / "result.json").read_text())["test"]["patients"]
        for path in command.study.glob("trials/*-m3-*/*")
        if json.loads((path / "config.json").read_text())["phase"] == "confirm"
    ]
    names = [patient["patient"] for fold in tested for patient in fold]
    assert len(names) == len(set(names)) == 16, "every patient is tested once"
    log = command.log.read_text()
    assert "searching image counts spared 2 cells and 8 trials of the full grid" in " ".join(log.split())
    assert "not needed" in log


@pytest.mark.slow
def test_a_budget_ends_the_command_and_a_larger_one_goes_on(undisturbed: Command, tmp_path: Path) -> None:
    command = Command(tmp_path / "out", "budget.hours=1e-6")
    assert command.wait() == 0, command.log.read_text()
    log = command.log.read_text()
    assert "stopping, budget.hours=1e-06 is used up: running trials are writing their checkpoints" in log
    assert log.splitlines()[-1].startswith("budget.hours=1e-06 is used up, and the study has trials left")
    assert (command.study / "dashboard.html").exists()
    assert len(command.records()) == len(command.checkpoints()) > 0
    left = command.checkpoints()

    command = Command(tmp_path / "out", "budget.trials=3")
    assert command.wait() == 0, command.log.read_text()
    assert command.log.read_text().splitlines()[-1].startswith("budget.trials=3 is used up")
    assert set(command.records()["status"]) == {"done"}
    assert len(command.records()) == 3
    for folder, step in left.items():
        assert step in json.loads((folder / "result.json").read_text())["starts"]

    command = Command(tmp_path / "out", "budget.trials=6")
    assert command.wait() == 0, command.log.read_text()
    assert command.log.read_text().splitlines()[-1].startswith("page: "), "nothing is left to go on with"
    pd.testing.assert_frame_equal(command.records(), undisturbed.records(), check_exact=True)


@pytest.mark.slow
def test_the_papers_protocol_is_marked_wherever_its_numbers_are(tmp_path: Path) -> None:
    command = Command(
        tmp_path / "out",
        "protocol=paper",
        "grid.images=3",
        "data.split.validation=0",
        "search.trials=1",
        "outer={steps: 4, batch_size: 6, evaluations: 2, statistics_batches: 1}",
    )
    assert command.wait() == 0, command.log.read_text()
    records = command.records()
    assert set(records["protocol"]) == {"paper"}
    assert set(records["delta"]) == {0.4}
    confirm = records[records["phase"] == "confirm"]
    assert confirm["val_hm"].tolist() == confirm["test_hm"].tolist() == confirm["test_hm_at_0.4"].tolist()
    assert "papers&#x27; protocol" in (command.study / "dashboard.html").read_text()
    assert "the papers' protocol: states were chosen on the test patients" in command.log.read_text()


@pytest.mark.slow
def test_killed_three_times_loses_and_repeats_nothing(undisturbed: Command, tmp_path: Path) -> None:
    """SIGKILL once a first checkpoint is there, once a first result is, and once a confirm trial is under way."""
    finished: dict[Path, bytes] = {}
    resumed: dict[Path, list[int]] = {}

    def confirming(command: Command) -> bool:
        return any(
            json.loads((folder / "config.json").read_text())["phase"] == "confirm" for folder in command.checkpoints()
        )

    moments: list[Callable[[Command], bool]] = [
        lambda command: bool(command.checkpoints()),
        lambda command: bool(command.trials("result.json")) and bool(command.checkpoints()),
        confirming,
    ]
    for moment in moments:
        command = Command(tmp_path / "out")
        command.until(lambda: moment(command))  # noqa: B023
        os.kill(command.process.pid, signal.SIGKILL)
        command.wait()
        time.sleep(3)  # orphaned workers of the dead driver end by themselves
        for folder, step in command.checkpoints().items():
            resumed.setdefault(folder, []).append(step)
        for path in command.trials("result.json"):
            finished.setdefault(path, path.read_bytes())
    command = Command(tmp_path / "out")
    assert command.wait() == 0, command.log.read_text()

    assert finished
    assert resumed
    for path, content in finished.items():
        assert path.read_bytes() == content, "a finished trial ran again"
    for folder, steps in resumed.items():
        starts = json.loads((folder / "result.json").read_text())["starts"]
        assert set(steps) <= set(starts), f"{folder} had checkpoints at {steps} and started at {starts}"
    pd.testing.assert_frame_equal(command.records(), undisturbed.records(), check_exact=True)


@pytest.mark.slow
def test_killed_workers_are_replaced(undisturbed: Command, tmp_path: Path) -> None:
    command = Command(tmp_path / "out")
    command.until(lambda: bool(command.checkpoints()))
    begun = command.checkpoints()  # a worker that is only starting up may live on, and get that far meanwhile
    workers = command.workers()
    assert workers
    for worker in workers:
        worker.kill()
    left = {folder: step for folder, step in command.checkpoints().items() if folder in begun}
    assert left
    assert command.wait() == 0, command.log.read_text()
    for folder, step in left.items():
        assert step in json.loads((folder / "result.json").read_text())["starts"]
    pd.testing.assert_frame_equal(command.records(), undisturbed.records(), check_exact=True)


@pytest.mark.slow
def test_a_kill_does_not_change_which_trials_are_stopped(tmp_path: Path) -> None:
    settings = (
        "grid.images=3",
        "search={trials: 7, stop: median, stop_after: 0.2}",
        "outer={steps: 16, batch_size: 6, evaluations: 8, statistics_batches: 1, checkpoint_every: 1}",
    )
    whole = Command(tmp_path / "whole", *settings)
    assert whole.wait() == 0, whole.log.read_text()
    records = whole.records()
    stopped = records[records["stopped"]]
    assert set(stopped["phase"]) == {"search"}
    assert set(stopped["status"]) == {"done"}
    assert (stopped["outer_steps"] < 16).all()
    assert (records.loc[~records["stopped"], "outer_steps"] == 16).all()
    said = f"{len(stopped)} of 7 search trials did worse than the median and were stopped"
    assert said in " ".join(whole.log.read_text().split())

    later = [str(trial) for trial in stopped["trial"]]
    command = Command(tmp_path / "out", *settings)
    command.until(lambda: any(command.study / "trials" / trial in command.checkpoints() for trial in later))
    os.kill(command.process.pid, signal.SIGKILL)
    command.wait()
    time.sleep(3)  # orphaned workers of the dead driver end by themselves
    command = Command(tmp_path / "out", *settings)
    assert command.wait() == 0, command.log.read_text()
    pd.testing.assert_frame_equal(command.records(), records, check_exact=True)


@pytest.mark.slow
def test_a_warned_worker_writes_a_checkpoint(tmp_path: Path) -> None:
    command = Command(
        tmp_path / "out",
        "grid.images=2",
        "search.trials=1",
        "outer={steps: 300, batch_size: 12, evaluations: 1, statistics_batches: 1, checkpoint_every: 100}",
    )
    command.until(lambda: bool(command.checkpoints()))
    (worker,) = command.workers()
    worker.terminate()  # as before a spot machine is taken away
    assert command.wait() == 0, command.log.read_text()
    first, *_ = command.trials("result.json")
    begun, went_on = json.loads(first.read_text())["starts"]
    assert begun == 0
    assert 100 < went_on < 200, "it wrote one of its own"
    assert "lost its worker, or failed; it goes on from its last checkpoint" in command.log.read_text()


@pytest.mark.slow
def test_interrupt_then_resume_then_grow(undisturbed: Command, tmp_path: Path) -> None:
    command = Command(tmp_path / "out")
    command.until(lambda: bool(command.checkpoints()))
    os.kill(command.process.pid, signal.SIGINT)
    assert command.wait() == 130, command.log.read_text()
    assert "the same command goes on" in command.log.read_text()
    assert (command.study / "dashboard.html").exists()
    left = command.checkpoints()
    assert left

    command = Command(tmp_path / "out")
    assert command.wait() == 0, command.log.read_text()
    for folder, step in left.items():
        assert step in json.loads((folder / "result.json").read_text())["starts"]
    pd.testing.assert_frame_equal(command.records(), undisturbed.records(), check_exact=True)

    kept = {path: path.read_bytes() for path in command.trials("result.json")}
    grown = Command(tmp_path / "out", "confirm.repeats=2")
    assert grown.wait() == 0, grown.log.read_text()
    assert len(grown.trials("result.json")) == 8
    assert all(path.read_bytes() == content for path, content in kept.items())

    other = Command(tmp_path / "out", "confirm.repeats=2", "outer.schedule=constant", "seed=3")
    assert other.wait() == 2
    assert "outer.schedule was 'cosine' and is now 'constant'; seed was 0 and is now 3" in other.log.read_text()
