"""What ``task: multilabel`` allows, and what it does unless told otherwise."""

from __future__ import annotations

import pytest

from sldd.errors import InputError
from study.config.cells import cells
from study.config.loader import as_tree, load, parse
from study.config.tasks import TASKS

FINDINGS = ["task=multilabel", "data.source=nih", "data.root=films"]


def test_defaults_are_those_of_the_task_and_stay_when_read_again() -> None:
    config = load("demo", FINDINGS)
    assert config.distill.labels == "sigmoid"
    assert {cell.label_init for cell in cells(config.grid, None, config.task)} == {"single", None}
    assert parse(as_tree(config)) == config
    assert load("demo", []).distill.labels == "raw"


def test_ordinary_training_sees_whole_films() -> None:
    config = load("demo", [*FINDINGS, "grid.method=train", "grid.backbone=test_resnet"])
    (cell,) = cells(config.grid, None, config.task)
    assert (cell.train_view, cell.train_classes, cell.train_patches) == ("whole", None, None)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ([*FINDINGS, "grid.label_init=one_hot"], "grid.label_init: one_hot is no start of task multilabel"),
        (["grid.label_init=clusters"], "grid.label_init: clusters is no start of task patches"),
        ([*FINDINGS, "distill.labels=softmax"], "distill.labels: a film has several findings"),
        ([*FINDINGS, "grid.train_patches=100"], "grid.train_patches: training on films"),
        ([*FINDINGS, "grid.train_classes=NP"], "grid.train_classes: training on films"),
        ([*FINDINGS, "grid.images=search"], "grid.images: list the counts"),
        ([*FINDINGS, "privacy.noise=1"], "privacy.noise: is for patches"),
        ([*FINDINGS, "protocol=paper"], "protocol: the papers' is for patients"),
    ],
)
def test_what_does_not_go_together_is_refused(settings: list[str], says: str) -> None:
    with pytest.raises(InputError, match=says):
        load("demo", settings)


def test_the_score_that_trials_are_compared_by() -> None:
    assert TASKS["patches"].main_score({"hm": 0.7, "auc": 0.9}) == 0.7
    assert TASKS["multilabel"].main_score({"val_auc": 0.6}, "val_") == 0.6
    assert TASKS["patches"].main_score({"hm": None, "auc": 0.9}) == 0.0
