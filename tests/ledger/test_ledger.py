"""The ledger: whole files or none, one driver, one owner a trial."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest
import torch

from ledger.ledger import FORMAT, Ledger
from ledger.trial_folder import FolderNotVisibleError, ReplacedError, TrialFolder
from sldd.errors import InputError
from tests.conftest import OpenLedger

HEADER = {"format": FORMAT, "name": "x", "config": {}, "provenance": {}}
CONFIG = {"phase": "search", "seed": 0}


@pytest.fixture
def ledger(tmp_path: Path, open_ledger: OpenLedger) -> Ledger:
    return open_ledger(tmp_path / "study")


def test_what_was_begun_and_finished_is_found_again(ledger: Ledger, open_ledger: OpenLedger) -> None:
    first = ledger.begin(ledger.add("cell", dict(CONFIG)))
    second = ledger.begin(ledger.add("cell", dict(CONFIG)))
    TrialFolder(first.folder, first.config["owner"]).finish({"status": "done"})
    again = open_ledger(ledger.folder)
    assert [(t.index, t.status, t.settled) for t in again.of("cell", "search")] == [
        (0, "done", True),
        (1, "running", False),
    ]
    assert again.of("cell", "search")[1].config == second.config


def test_a_new_trial_replaces_none_that_was_not_found(ledger: Ledger) -> None:
    unseen = ledger.begin(ledger.add("cell", dict(CONFIG)))
    ledger.trials.clear()
    with pytest.raises(InputError, match="cell/0 holds a trial that cannot be read; move it elsewhere"):
        ledger.begin(ledger.add("cell", dict(CONFIG)))
    assert json.loads((unseen.folder / "config.json").read_text())["owner"] == unseen.config["owner"]


def test_a_result_that_cannot_be_read_just_now_is_not_dropped(
    ledger: Ledger, open_ledger: OpenLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = ledger.begin(ledger.add("cell", dict(CONFIG)))
    (unfinished,) = open_ledger(ledger.folder).of("cell", "search")
    TrialFolder(trial.folder, trial.config["owner"]).finish({"status": "done"})

    def fail(*_: object) -> bytes:
        raise OSError(116, "Stale file handle")

    with monkeypatch.context() as patched:
        patched.setattr("pathlib.Path.read_bytes", fail)
        with pytest.raises(OSError, match="Stale"):
            ledger.begin(unfinished)
    assert ledger.begin(unfinished).settled


def test_a_driver_stops_its_own_workers_only(ledger: Ledger, open_ledger: OpenLedger) -> None:
    """One that another has taken for dead may not know yet."""
    ledger.header_path.with_name(".lock").unlink()
    successor = Ledger(ledger.folder)
    successor.hold()
    ledger.stop_path.touch()
    assert not successor.stop_path.exists()
    successor.close()
    assert not list(open_ledger(ledger.folder).folder.glob(".stop*"))


def test_what_a_killed_driver_left_stops_nobody(ledger: Ledger, open_ledger: OpenLedger) -> None:
    left = [ledger.folder / name for name in (".stop", ".stop-0123456789abcdef")]
    for path in left:
        path.touch()
    again = open_ledger(ledger.folder)
    assert not any(path.exists() for path in [*left, again.stop_path])


def test_a_study_is_finished_until_it_is_started_again(
    ledger: Ledger, open_ledger: OpenLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    def finished(ledger: Ledger) -> str | None:
        provenance: dict[str, str] = (ledger.header() or {})["provenance"]
        return provenance.get("finished")

    with monkeypatch.context() as patched:
        patched.setattr("ledger.ledger.write_whole", full)
        ledger.finish("2026-01-01")
    assert finished(ledger) is None, "it only looks unfinished"
    ledger.finish("2026-01-01")
    assert finished(ledger) == "2026-01-01"
    assert finished(open_ledger(ledger.folder)) is None


def test_a_result_cut_in_half_counts_as_none(ledger: Ledger, open_ledger: OpenLedger) -> None:
    trial = ledger.begin(ledger.add("cell", dict(CONFIG)))
    (trial.folder / "result.json").write_text('{"status": "do')
    assert open_ledger(ledger.folder).of("cell", "search")[0].status == "running"


def test_ten_trials_are_in_order(ledger: Ledger, open_ledger: OpenLedger) -> None:
    for _ in range(12):
        ledger.begin(ledger.add("cell", dict(CONFIG)))
    assert [trial.index for trial in open_ledger(ledger.folder).of("cell", "search")] == list(range(12))


def test_replaced_worker_writes_nothing(ledger: Ledger) -> None:
    trial = ledger.begin(ledger.add("cell", dict(CONFIG)))
    old = TrialFolder(trial.folder, trial.config["owner"])
    old.save_checkpoint(1, {"step": torch.tensor(1)})
    new = TrialFolder(trial.folder, ledger.begin(trial).config["owner"])
    for write in (
        lambda: old.finish({"status": "done"}),
        lambda: old.save_checkpoint(9, {"step": torch.tensor(9)}),
        lambda: old.note_error("late"),
        lambda: old.save("package.safetensors", b""),
    ):
        with pytest.raises(ReplacedError):
            write()
    saved = new.load_checkpoint(torch.device("cpu"))
    assert saved is not None
    assert saved["step"] == 1


def test_failed_trial_is_tried_again_as_a_new_attempt(ledger: Ledger) -> None:
    trial = ledger.begin(ledger.add("cell", dict(CONFIG)))
    TrialFolder(trial.folder, trial.config["owner"]).note_error("OSError: disk\nsecond line")
    ledger.fail(trial)
    result = trial.result or {}
    assert datetime.fromisoformat(result.pop("finished")).tzinfo
    assert result == {"status": "failed", "error": "OSError: disk", "attempt": 1}
    assert not trial.settled
    ledger.begin(trial)
    assert trial.config["attempt"] == 2
    assert trial.status == "running"
    assert ledger.begin(trial).config["attempt"] == 2, "a resumed trial is the same attempt"


def test_second_driver_is_refused_and_told_of_the_first(ledger: Ledger) -> None:
    code = (
        "import sys; from pathlib import Path; from ledger.ledger import Ledger\n"
        "try: Ledger(Path(sys.argv[1])).hold()\nexcept ValueError as error: print(error)"
    )
    said = subprocess.run([sys.executable, "-c", code, ledger.folder], capture_output=True, text=True, check=True)
    assert "is being run by process" in said.stdout
    assert Ledger(ledger.folder).header() == HEADER


def test_foreign_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.docx").touch()
    with pytest.raises(InputError, match="holds no study"):
        Ledger(tmp_path).header()


def test_superseded_trial_is_moved_not_lost(ledger: Ledger) -> None:
    trial = ledger.begin(ledger.add("cell", {**CONFIG, "phase": "confirm"}))
    TrialFolder(trial.folder, trial.config["owner"]).finish({"status": "done"})
    ledger.supersede(trial)
    assert ledger.of("cell", "confirm") == []
    assert len(list(ledger.folder.glob("superseded/cell/*/result.json"))) == 1
    assert ledger.add("cell", dict(CONFIG)).index == 1, "its name is given to no other"


def test_what_else_lies_among_superseded_trials_is_left_alone(ledger: Ledger, open_ledger: OpenLedger) -> None:
    ledger.supersede(ledger.begin(ledger.add("cell", dict(CONFIG))))
    aside = ledger.folder / "superseded"
    (aside / "emptied").mkdir()
    for stray in (aside / ".DS_Store", aside / "cell" / ".DS_Store", aside / "cell" / "notes-of-mine"):
        stray.touch()
    again = open_ledger(ledger.folder)
    assert [again.add(cell, dict(CONFIG)).index for cell in ("cell", "emptied")] == [1, 0]


def test_pseudonyms_are_the_studys_own(ledger: Ledger, tmp_path: Path, open_ledger: OpenLedger) -> None:
    names = ledger.pseudonyms(["Jane Doe", "John Roe"])
    assert names == ledger.pseudonyms(["Jane Doe", "John Roe"])
    assert len(set(names)) == 2
    other = open_ledger(tmp_path / "other")
    assert not set(names) & set(other.pseudonyms(["Jane Doe", "John Roe"]))
    assert (ledger.folder / "pseudonyms.key").stat().st_mode & 0o077 == 0


def test_worker_started_again_by_ray_replaces_the_one_before(ledger: Ledger) -> None:
    trial = ledger.begin(ledger.add("cell", dict(CONFIG)))
    lost = TrialFolder(trial.folder, trial.config["owner"])
    again = TrialFolder(trial.folder, trial.config["owner"])
    again.save_checkpoint(5, {"step": torch.tensor(5)})
    with pytest.raises(ReplacedError):
        lost.save_checkpoint(3, {"step": torch.tensor(3)})
    assert not again.finished
    again.finish({"status": "done"})
    assert TrialFolder(trial.folder, trial.config["owner"]).finished


def test_what_was_measured_counts_as_getting_ahead(ledger: Ledger) -> None:
    trial = ledger.begin(ledger.add("cell", dict(CONFIG)))
    lost = []
    for rows in range(3):
        worker = TrialFolder(trial.folder, trial.config["owner"])
        lost.append(worker.lost)
        worker.save_measured({"rows": [{}] * rows})
    assert TrialFolder(trial.folder, trial.config["owner"]).lost == 0
    assert TrialFolder(trial.folder, trial.config["owner"]).lost == 1, "this one measured nothing"
    assert lost == [0, 1, 0]


def test_a_result_is_never_replaced_unless_it_is_damaged(ledger: Ledger) -> None:
    """Of a worker that was replaced and had begun to write."""
    trial = ledger.begin(ledger.add("cell", dict(CONFIG)))
    worker, path = TrialFolder(trial.folder, trial.config["owner"]), trial.folder / "result.json"
    path.write_text('{"status": "diverged"}')
    with pytest.raises(ReplacedError, match="was finished by another worker"):
        worker.finish({"status": "done"})
    assert json.loads(path.read_text()) == {"status": "diverged"}
    path.write_text('{"status": "do')
    worker.finish({"status": "done"})
    assert json.loads(path.read_text()) == {"status": "done"}


def test_a_reason_that_is_told_stands_before_what_the_worker_noted(ledger: Ledger) -> None:
    trial = ledger.begin(ledger.add("cell", dict(CONFIG)))
    TrialFolder(trial.folder, trial.config["owner"]).note_error("OSError: disk")
    ledger.fail(trial, "the cohort on this node differs")
    assert (trial.result or {})["error"] == "the cohort on this node differs"


def test_result_of_an_orphaned_worker_is_kept(ledger: Ledger, open_ledger: OpenLedger) -> None:
    """The driver dies, a new one reads the ledger, and only then the old worker finishes."""
    trial = ledger.begin(ledger.add("cell", dict(CONFIG)))
    orphan = TrialFolder(trial.folder, trial.config["owner"])
    (unfinished,) = open_ledger(ledger.folder).of("cell", "search")
    orphan.finish({"status": "done"})
    assert open_ledger(ledger.folder).begin(unfinished).settled
    assert unfinished.result == {"status": "done"}


@pytest.mark.parametrize("left", [0, 1, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
def test_of_a_cut_checkpoint_the_one_before_counts(ledger: Ledger, left: float) -> None:
    trial = ledger.begin(ledger.add("cell", dict(CONFIG)))
    worker = TrialFolder(trial.folder, trial.config["owner"])
    for step in (1, 2, 3):
        worker.save_checkpoint(step, {"step": torch.full((1000,), step), "names": {"of": [step] * 100}})
    assert sorted(path.name for path in (trial.folder / "checkpoint").iterdir()) == ["000000002.pt", "000000003.pt"]
    for step, expected in ((3, 2), (2, None)):
        state = trial.folder / "checkpoint" / f"{step:09}.pt"
        content = state.read_bytes()
        state.write_bytes(content[: int(left if left >= 1 else left * len(content))])
        saved = worker.load_checkpoint(torch.device("cpu"))
        assert (saved and int(saved["step"][0])) == expected


@pytest.mark.parametrize(
    ("where", "error"),
    [("pathlib.Path.read_bytes", OSError(5, "Input/output error")), ("torch.load", torch.OutOfMemoryError("CUDA"))],
)
def test_a_checkpoint_that_cannot_be_read_just_now_is_no_reason_to_begin_anew(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, where: str, error: Exception
) -> None:
    trial = ledger.begin(ledger.add("cell", dict(CONFIG)))
    worker = TrialFolder(trial.folder, trial.config["owner"])
    worker.save_checkpoint(7, {"step": torch.tensor(7)})

    def fail(*_: object, **__: object) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(where, fail)
        with pytest.raises(type(error)):
            worker.load_checkpoint(torch.device("cpu"))
    saved = worker.load_checkpoint(torch.device("cpu"))
    assert saved is not None
    assert saved["step"] == 7


def test_machine_that_does_not_see_the_study_says_so(tmp_path: Path) -> None:
    with pytest.raises(FolderNotVisibleError, match="does not see the study's folder"):
        TrialFolder(tmp_path / "elsewhere", "token")


def test_a_folder_that_is_gone_is_not_taken_for_another_workers(ledger: Ledger, tmp_path: Path) -> None:
    """As of a machine that loses its mount: the trial is not over, but somebody else's to go on with."""
    trial = ledger.begin(ledger.add("cell", {}))
    worker = TrialFolder(trial.folder, trial.config["owner"])
    ledger.folder.rename(tmp_path / "unmounted")
    with pytest.raises(FolderNotVisibleError):
        worker.save_checkpoint(7, {})


def test_driver_killed_before_it_began_leaves_the_folder_usable(tmp_path: Path) -> None:
    (tmp_path / ".lock").write_text("{}")
    assert Ledger(tmp_path).header() is None
