"""A new method takes one file and one line of the registry: grid, dry run, page and tables have it then."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from analysis.page.content import make_content
from analysis.records.records import read_study
from analysis.tables.cli import main as print_tables
from sldd.package.rebuild.verify import verify
from study.config.methods import METHODS
from study.run import main
from tests.study.command import TINY, Here

FILE = """
from dataclasses import dataclass

from study.config.methods.distilling import Distilling


@dataclass(frozen=True, kw_only=True)
class _Fresh(Distilling):
    def refusal(self, cell, config, data):
        return "fresh: wants two images" if cell.images != 2 else None


FRESH = _Fresh(name="fresh", label="a fresh idea", learned=("images",))
"""


def test_one_file_and_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "fresh.py").write_text(FILE)
    found = importlib.util.spec_from_file_location("fresh", tmp_path / "fresh.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    monkeypatch.setitem(METHODS, "fresh", module.FRESH)

    settings = (
        "grid.backbone=convnet_w32", "grid.method=[fresh,train]", "outer.steps=2", "train.steps=null",
        "outer.evaluations=1", "search.trials=1",
    )  # fmt: skip
    assert main([*TINY, *settings, "--dry-run", "--out", str(tmp_path / "none")]) == 0
    said = capsys.readouterr().out
    assert "convnet_w32-m2-one_hot-as_is-fresh-near_linear-s1e1" in said
    assert "refused: convnet_w32-m3-one_hot-as_is-fresh-near_linear-s1e1: fresh: wants two images" in said

    study = Here(tmp_path / "out", *settings)
    assert study.status == 0
    records = study.records()
    assert records.loc[records["method"] == "fresh", "status"].tolist() == ["done", "done", "refused"]
    assert (study.folder / "trials/convnet_w32-m2-one_hot-as_is-fresh-near_linear-s1e1/1/package.safetensors").is_file()
    assert "a fresh idea, 2 images" in str(make_content([read_study(study.folder)]).charts["study-0-methods"])
    assert print_tables([str(study.folder)]) == 0
    assert "_hot-as_is-fresh-" in capsys.readouterr().out


@pytest.mark.slow
def test_each_of_the_others_runs_a_study_and_hands_over_what_verifies(tmp_path: Path) -> None:
    experts = "match={experts: {count: 2, snapshots: 3, every: 2, latest: 2, student_epochs: 2}, pool: 2}"
    study = Here(
        tmp_path / "out", "grid.method=[herding,dm,dc_soft,frepo,mtt]", "grid.backbone=[convnet_w32]", "grid.images=3",
        "grid.distill_epochs=3", "outer.steps=4", "outer.evaluations=1", "search.trials=1", experts,
        f"data.cache={tmp_path / 'cache'}",
    )  # fmt: skip
    assert study.status == 0, study.log.read_text()
    records = study.records()
    assert records["status"].tolist() == ["done"] * 10
    shared = study.trials("package.safetensors")
    assert len(shared) == 4 * 2, "all but those of patients' own patches"
    for path in shared[:8:2]:
        assert verify(path).passed
    assert len(list((tmp_path / "cache" / "features").glob("*.features"))) == 3, "two experts, and what the plan timed"
