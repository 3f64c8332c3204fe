"""A study from Python: the command's settings and messages, its table, its answer and its figures."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import sldd
import study
from sldd.sources.phantom import PhantomSettings
from study.config.loader import load
from study.config.schema import StudyConfig
from study.config.search_settings import SearchSettings
from study.engine import from_python
from study.engine.from_python import _flat, _spelled
from study.grid.axes import GridSettings
from tests.study.command import without_ray

TINY: dict[str, Any] = {
    "name": "tiny",
    "grid": {"backbone": ["convnet_w32"], "images": [2], "method": ["sldd"]},
    "data": {"phantom": {"patients": 16, "size": 64}, "split": sldd.SplitSettings(validation=0.2, test=0.4)},
    "patches": sldd.PatchSettings(size=24, stride=8, score_stride=16, input_size=16),
    "outer": sldd.OuterSettings(steps=4, batch_size=12, evaluations=2, statistics_batches=2),
    "search": {"trials": 1, "inner_lr": (0.01, 0.02)},
    "confirm": {"repeats": 1},
}


def test_a_study_is_run_opened_and_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with without_ray():
        found = study.run("demo", out=tmp_path, address="local", **TINY)
        assert len(study.run(out=tmp_path, address="local", **TINY).records) == 2  # nothing is run again
    assert capsys.readouterr().out == ""  # nobody looks
    assert (found.name, list(found.records["phase"])) == ("tiny", ["search", "confirm"])
    assert found.config["outer"]["steps"] == 4
    sentence, asked, *_ = found.answer.split("\n\n")
    assert sentence == "No image count is judged for the 1 network."
    assert asked.startswith("Asked: how few distilled images can stand in for the radiographs of")
    assert found._repr_markdown_().startswith("**tiny**\n\nNo image count")
    assert found.networks["verdict"].tolist() == ["not judged"]
    assert "hm-by-parameters" in list(found.figures)
    assert found.figures["hm-by-parameters"].data
    with pytest.raises(KeyError, match="no figure 'hm'; there are: minimum, hm-by-parameters"):
        found.figures["hm"]
    assert repr(found) == f"Study('tiny', 2 trials, {tmp_path / 'tiny'})"
    command = yaml.safe_load((tmp_path / "tiny" / "study.yaml").read_text())["command"]
    assert "grid.images=[2]" in command
    assert "search.inner_lr=[0.01, 0.02]" in command


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"grid": {"imagess": [1]}}, "unknown setting grid.imagess; did you mean grid.images?"),
        ({"outer": {"steps": 0}}, r"outer.steps: input should be greater than or equal to 1 \(got 0\)"),
        ({"search": {"trials": np.ones(2)}}, "search.trials: a ndarray is no value of a setting"),
    ],
)
def test_messages_are_the_commands(tmp_path: Path, settings: dict[str, Any], says: str) -> None:
    with pytest.raises(sldd.InputError, match=says):
        study.run("demo", out=tmp_path, **settings)
    with pytest.raises(sldd.InputError, match="no such folder"):
        study.Study.open(tmp_path / "nowhere")
    assert list(tmp_path.iterdir()) == []


def test_groups_are_mappings_or_dataclasses_and_leaves_stay_whole() -> None:
    given = {"pretrained": {"resnet18": "a.pt"}, "distill": sldd.DistillSettings(), "grid": [{"images": [1]}]}
    flat = dict(_flat(given))
    assert flat["pretrained"] == {"resnet18": "a.pt"}
    assert (flat["distill.labels"], flat["grid"]) == ("raw", [{"images": [1]}])
    assert [_spelled("x", value) for value in (3, "3", None, (1, 2), Path("a b"))] == [
        "3",
        "'3'",
        "null",
        "[1, 2]",
        "a b",
    ]


@pytest.mark.parametrize(
    ("name", "given", "idle"),
    [
        ("data", sldd.DataSettings(), ""),
        ("data", sldd.DataSettings(source="folder", root="x"), "phantom"),
        ("search", SearchSettings(trials=2), ""),
        ("outer", sldd.OuterSettings(), ""),
        ("outer", sldd.OuterSettings(), "steps"),
        ("grid", GridSettings(["lenet"], [1]), ""),
    ],
)
def test_defaults_of_a_dataclass_are_asked_for_by_nobody(
    name: str, given: Any, idle: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are settings all the same, but for those that do nothing; the command that is written down has them."""
    began: list[tuple[StudyConfig, list[str]]] = []
    monkeypatch.setattr(from_python, "conduct", lambda config, _, words, **__: began.append((config, words)) or 1)
    mine, epochs = tmp_path / "mine.yaml", 3 if idle == "steps" else "null"
    mine.write_text(
        f"{{name: mine, grid: {{backbone: lenet, images: 1, epochs: {epochs}}}, data: {{phantom: {{patients: 9}}}}}}"
    )
    with pytest.raises(sldd.InputError, match="no such folder"):
        study.run(str(mine), out=tmp_path / "nowhere", **{name: given})
    ((config, (file, *words)),) = began
    assert load(file, words) == config
    found = config.grid[0] if name == "grid" else getattr(config, name)
    assert found == (replace(given, **{idle: getattr(found, idle)}) if idle else given)


def test_what_a_dataclass_asks_for_and_does_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(sldd.InputError, match=r"search.rungs: does nothing without search.pruner=halving"):
        study.run("demo", out=tmp_path, search=SearchSettings(rungs=[9.0]))
    data = sldd.DataSettings(source="folder", root="x", phantom=PhantomSettings(patients=9))
    with pytest.raises(sldd.InputError, match=r"data.phantom.patients: does nothing without data.source=phantom"):
        study.run("demo", out=tmp_path, data=data)


def test_the_command_and_the_function_are_one_name_that_costs_nothing() -> None:
    code = "import sys, study; print({'torch', 'pandas'} & {*sys.modules}); import study.run; print(study.run)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.startswith("set()\n<module 'study.run'")
    assert dir(study) == ["Study", "run"]
    with pytest.raises(AttributeError, match="no attribute 'ran'"):
        study.ran  # noqa: B018
