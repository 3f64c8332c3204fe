"""From the checks of a study to its first trial: what may happen in between."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from rich.console import Console

from ledger.ledger import FORMAT, Ledger
from sldd.errors import InputError
from study.cluster.ray_cluster import Slots
from study.config.loader import load
from study.engine import conduct
from study.grid.axes import Cell
from study.planning.plan import PlannedCell
from study.run import main
from tests.study.command import TINY

HEADER = {"format": FORMAT, "name": "tiny", "config": {}, "provenance": {"started": "by another"}}


def test_a_study_that_another_start_began_meanwhile_is_not_written_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hold, held = Ledger.hold, tmp_path / "tiny" / "study.yaml"

    def late(ledger: Ledger, *given: Any, **named: Any) -> None:
        hold(ledger, *given, **named)
        held.write_text(yaml.safe_dump(HEADER))

    monkeypatch.setattr(Ledger, "hold", late)
    monkeypatch.setattr(conduct, "plan_cells", _planned)
    monkeypatch.setattr(conduct, "traits_of", lambda *_: [])
    monkeypatch.setattr(conduct, "describe", lambda *_: {})
    monkeypatch.setattr(conduct, "_run_trials", lambda *_: pytest.fail("it began"))
    assert main([*TINY, "--out", str(tmp_path)]) == 2
    assert "was changed by another start meanwhile; run again" in capsys.readouterr().err
    assert yaml.safe_load(held.read_text()) == HEADER


def _planned(grid: list[Cell], *_: Any, **__: Any) -> list[PlannedCell]:
    return [PlannedCell(cell, 1, None, 1.0) for cell in grid]


def test_cuda_graphs_without_a_gpu_are_refused_before_the_first_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def connect(*_: Any) -> Iterator[tuple[str, Slots]]:
        yield "Ray on this machine: 2 CPUs, 0 GPUs", Slots(cpus=1, gpus=0, concurrent=2)

    monkeypatch.setattr(conduct, "connect", connect)
    study: Any = SimpleNamespace(config=load("demo", ["compute.cuda_graph=true"]), ledger=None, patients=None)
    with pytest.raises(InputError, match=r"compute\.cuda_graph: the trials have no GPU; set it to false"):
        conduct._run_trials(study, {}, [], None, Console(quiet=True))
