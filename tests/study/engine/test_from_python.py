"""A study from Python: the command's settings and messages, its table, its answer and its figures."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import sldd
import study
from study.engine.from_python import _flat, _spelled
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


def test_the_command_and_the_function_are_one_name_that_costs_nothing() -> None:
    code = "import sys, study; print({'torch', 'pandas'} & {*sys.modules}); import study.run; print(study.run)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.startswith("set()\n<module 'study.run'")
    assert dir(study) == ["Study", "run"]
    with pytest.raises(AttributeError, match="no attribute 'ran'"):
        study.ran  # noqa: B018
