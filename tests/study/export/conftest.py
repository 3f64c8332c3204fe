"""A study with a trial of every kind, and the command that exports it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow.tracking import MlflowClient

from study.export.__main__ import main
from tests.analysis.conftest import Ledger, save_package

SEARCH = {
    "trials": 4,
    "outer_lr": [0.005, 0.2],
    "inner_lr": [0.005, 0.5],
    "delta": [0.05, 0.95],
    "options": {"clip": [None, 3.0]},
}
HISTORY = [
    {"step": 100, "loss": 1.5, "val_hm": 0.5, "val_auc": 0.6, "val_patch_accuracy": None},
    {"step": 200, "loss": 1.25, "val_hm": 0.75, "val_auc": 0.7, "val_patch_accuracy": 0.5},
]
CURVE = {"delta": [0.2, 0.6, 1.0], "hm": [0.25, 0.75, 0.0]}
PATIENTS = [{"patient": "P-0123456789", "label": 1, "votes": [1, 2, 3]}]


def validation(hm: float = 0.75) -> dict[str, Any]:
    return {"hm": hm, "auc": 0.7, "patch_accuracy": 0.5, "curve": CURVE, "patients": PATIENTS, "undecided_patients": 0}


def search(study: Ledger, cell: str, number: int, *, ended: bool = True, **changed: Any) -> Path:
    folder = study.trial(cell, number, "search", options={"clip": 3.0}, seed=0)
    if ended:
        study.end(folder, **({"validation": validation(), "history": HISTORY} | changed))
    return folder


def confirm(study: Ledger, cell: str, number: int) -> Path:
    folder = study.trial(cell, number, "confirm", options={"clip": 3.0})
    test = validation() | {"sensitivity": 0.8, "specificity": 0.9, "hm": 0.85, "hm_at_0.4": 0.5}
    return study.end(folder, validation=validation(), test=test, history=HISTORY)


@pytest.fixture
def study(tmp_path: Path) -> Ledger:
    """A cell with a trial of every kind, and one of ordinary training."""
    study = Ledger(tmp_path / "results" / "ours", config={"search": SEARCH})
    cell = study.cell("net", 1000, 2)
    search(study, cell, 0)
    search(study, cell, 1, stopped=True, validation=validation(0.5), history=HISTORY[:1])
    search(study, cell, 2, status="diverged", error="the loss is nan", validation=None, history=[])
    search(study, cell, 10, ended=False)
    save_package(confirm(study, cell, 11) / "package.safetensors", np.random.default_rng(0), 2)
    train = study.cell("net", 1000, None, cell="net-train", method="train")
    study.end(study.trial(train, 0, "search", inner_lr=None, outer_lr=0.001), validation=validation())
    return study


@pytest.fixture
def run(study: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., list[str]]:
    """Runs the command on the study; the lines it said."""

    def run(*arguments: object) -> list[str]:
        assert main([str(study.folder), *map(str, arguments)]) == 0
        said = capsys.readouterr()
        assert said.err == ""
        return said.out.splitlines()

    return run


def told(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/study.db"


@pytest.fixture(scope="session")
def mlflow_store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One database for all: making its tables takes longer than all the rest."""
    folder = tmp_path_factory.mktemp("mlflow")
    store = f"sqlite:///{folder}/mlflow.db"
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)  # MLflow writes down where it was first used: no test's own folder
        MlflowClient(tracking_uri=store).search_experiments()
    return store


@pytest.fixture
def mlflow(mlflow_store: str, study: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)  # where artifacts of a local database go
    study.described["name"] = tmp_path.name
    study.save()
    return mlflow_store


def interrupted(monkeypatch: pytest.MonkeyPatch, kind: type, name: str, calls: int) -> None:
    """Let a method of a library be interrupted, from its last of so many calls on."""
    method, made = getattr(kind, name), iter(range(calls - 1))

    def cut(*given: Any, **more: Any) -> Any:
        if next(made, None) is None:
            raise KeyboardInterrupt
        return method(*given, **more)

    monkeypatch.setattr(kind, name, cut)
