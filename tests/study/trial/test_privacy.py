"""A private trial from its settings to its record."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from analysis.records.records import read_study
from sldd.data.cohort import prepare
from sldd.data.patches import Patches
from sldd.data.settings import open_source
from sldd.package import Package
from sldd.training.dp_sgd import PrivacySettings
from study.config.cells import cells
from study.config.loader import load
from study.config.tasks.patches import PatchData
from study.grid.protocol import make_split
from study.planning.plan import plan_cells
from tests.study.test_anonymity import SETTINGS, run_here

PRIVATE = ["privacy={noise: 1.2, clip: 2, delta: 0.01, patches: 3}", "outer.evaluations=3"]


@pytest.mark.parametrize("inner", ["all", "head"])
def test_a_private_trial_keeps_its_last_state_and_tells_its_epsilon(
    inner: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    settings = [*PRIVATE, "grid.norm=[group]", f"distill.inner_weights={inner}"]
    run_here(tmp_path / "tiny", tmp_path_factory.getbasetemp() / "cohorts", (1,), *settings)
    (path,) = (tmp_path / "tiny").rglob("result.json")
    result = json.loads(path.read_text())
    assert result["status"] == "done"
    assert result["best_step"] == result["outer_steps"] == 6
    expected = PrivacySettings(noise=1.2, delta=0.01, patches=3).epsilon(steps=6, batch_size=12, patients=10)
    assert result["epsilon"] == expected
    records = read_study(tmp_path / "tiny").records
    assert "epsilon" in records.columns
    assert records["epsilon"].tolist() == [expected]
    assert Package.load(path.parent / "package.safetensors").sides == (), "epsilon does not cover film sizes"


def test_a_trial_that_is_not_private_has_no_epsilon(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    run_here(tmp_path / "tiny", tmp_path_factory.getbasetemp() / "cohorts", (1,))
    assert pd.isna(read_study(tmp_path / "tiny").records["epsilon"].iloc[0])
    (package,) = (tmp_path / "tiny").rglob("package.safetensors")
    assert Package.load(package).sides


def test_cells_that_cannot_be_private_are_refused_by_the_plan(tmp_path_factory: pytest.TempPathFactory) -> None:
    cache = tmp_path_factory.getbasetemp() / "cohorts"
    grid = ["grid.norm=[as_is,group]", "grid.method=[sldd,random_real]"]
    config = load("demo", [*SETTINGS, f"data.cache={cache}", *PRIVATE, *grid])
    cohort = prepare(open_source(config.data), cache)
    split = make_split(cohort, config.data.split, config.protocol, None, None)
    patches = Patches(cohort, config.patches, *cohort.intensity(split.train))
    plan = plan_cells(cells(config.grid, None), config, {None: PatchData(patches, split)}, timed=set(), memory=None)
    refused = {(entry.cell.norm, entry.cell.method): entry.refused for entry in plan}
    assert refused["group", "sldd"] is None
    assert "use grid.norm=group or none" in str(refused["as_is", "sldd"])
    assert "random_real has no private version" in str(refused["group", "random_real"])
