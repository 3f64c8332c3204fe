"""What ``task: multilabel`` allows, and what it does unless told otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from sldd.data.settings import open_source
from sldd.errors import InputError
from study.config.cells import cells
from study.config.loader import as_tree, load, parse
from study.config.tasks import TASKS
from study.config.tasks.patches import PATCHES

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
        (
            [*FINDINGS, "grid.method=train", "grid.transfer=mixed", "grid.chain=[[nih]]"],
            "grid.transfer: mixed and co_trained take a chain of two",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(settings: list[str], says: str) -> None:
    with pytest.raises(InputError, match=says):
        load("demo", settings)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (["search.rungs=[0.3]"], "search.rungs: does nothing without search.pruner=halving; give that too"),
        (["search={rungs: [0.3], pruner: median}"], "search.rungs: does nothing without search.pruner=halving"),
        (["search.stop_after=0.3"], "search.stop_after: does nothing without search.pruner=median"),
        (["search.warm_trials=2"], "search.warm_trials: does nothing without grid.images=search"),
        (["grid.most_images=4"], "grid.most_images: does nothing without grid.images=search"),
        (["data.root=films"], "data.root: does nothing without data.source=folder, data.source=nih, .*; give that too"),
        (["data.film_size=64"], "data.film_size: does nothing without data.source=nih, .* or data.source=classes"),
        (
            ["data.phantom.patients=40", "data.source=folder"],
            "data.phantom.patients: does nothing without",
        ),
        (["pretrained={lenet: x.pt}"], "pretrained.lenet: does nothing without grid.start=pretrained"),
        (["sources={nih: {source: nih, root: films}}"], r"sources.nih.\w+: does nothing without grid.chain"),
        (["search.receiver_lr=[0.1, 1]"], "search.receiver_lr: does nothing without grid.method=.*dm"),
        (["data.classes.subject=film"], "data.classes.subject: does nothing without data.source=classes"),
        ([*FINDINGS, "patches.size=64"], "patches.size: does nothing without task=patches"),
        ([*FINDINGS, "grid.train_view=[patches]"], "grid.train_view: does nothing without task=patches"),
        (["evaluate.steps=10"], "evaluate.steps: does nothing without evaluate.starts=1 or more"),
        (["augment.train=false"], "augment.train: does nothing without task=multilabel or task=classes"),
        (
            ["match.experts.count=3"],
            r"match.experts.count: does nothing without grid.method=mtt or mtt_soft; give that too",
        ),
        (["grid.method=dm", "match.experts.count=3"], "match.experts.count: does nothing without grid.method=mtt or"),
        (
            ["grid.method=sldd", "match.augment=false"],
            "match.augment: does nothing without grid.method=dm, dc, dc_soft or 2 others; give that too",
        ),
        (["grid.method=frepo", "match.augment=false"], "match.augment: does nothing without grid.method=dm, dc, dc"),
        (["grid.method=mtt", "match.pool=5"], "match.pool: does nothing without grid.method=frepo or frepo_hard"),
        (["grid.method=dm", "match.network_lr=0.5"], "match.network_lr: does nothing without grid.method=dc or dc_s"),
        (["grid.method=train", "package.images=uint8"], "package.images: does nothing without grid.method=sldd, dd"),
        ([*FINDINGS, "grid.method=train", "augment.distill=true"], "augment.distill: does nothing without grid.method"),
        ([*FINDINGS, "grid.method=sldd", "augment.train=false"], "augment.train: does nothing without grid.method=tr"),
        ([*FINDINGS, "grid.method=sldd", "augment.rotate=3"], "augment.rotate: does nothing without augment.train=tr"),
        (["grid.method=sldd", "train.steps=9"], "train.steps: does nothing without grid.method=train; give that too"),
        (["grid.method=[sldd, dd]", "grid.train_classes=NP"], "grid.train_classes: does nothing without .*=train"),
        (["grid.method=sldd", "search.train_lr=[0.1, 1]"], "search.train_lr: does nothing without grid.method=train"),
        (["grid.method=train", "distill.labels=softmax"], "distill.labels: does nothing without grid.method=sldd, dd"),
        (["grid.method=train", "search.options={clip: [3]}"], "search.options.clip: does nothing without"),
        (["grid.method=train", "evaluate.starts=1"], "evaluate.starts: does nothing without grid.method=sldd, dd"),
        (["grid.method=herding", "distill.image_init=pink"], "distill.image_init: does nothing without grid.method="),
        (["grid.method=herding", "package.key=mine.key"], "package.key: does nothing without grid.method=sldd"),
        (["distill.feature_bank=90"], "distill.feature_bank: does nothing without distill.inner_weights=head"),
        (
            ["grid.method=dd", "distill.label_lr=3"],
            "distill.label_lr: does nothing without grid.method=sldd, random_re",
        ),
        (["grid.method=dd", "search.options={label_lr: [1, 3]}"], "search.options.label_lr: does nothing without grid"),
        (["grid.method=dd", "distill.label_update=solved"], "distill.label_update: does nothing without grid.method="),
        (["grid.method=[dm, dc_soft]", "distill.rate_lr=1"], "distill.rate_lr: does nothing without grid.method=sldd"),
        (
            ["grid.method=sldd", "grid.distill_epochs=1", "distill={inner_weights: head, label_lr: 3}"],
            "distill.label_lr: does nothing without distill.label_update=gradient: these labels are solved; give that",
        ),
        (["grid.method=train", "train.steps=9", "outer.steps=5"], "outer.steps: train.steps decides in this study .9."),
        (["grid.method=train", "outer.epochs=5"], "outer.epochs: train.steps decides in this study .250., which only"),
        (["grid.method=train", "grid.epochs=5"], "grid.epochs: train.steps decides in this study .250., which only tr"),
        (["confirm.folds=3", "data.split.test=0.2"], "data.split.test: does nothing without confirm.folds=null"),
        (["protocol=paper", "search.delta=[0.1, 0.2]"], "search.delta: does nothing without a task whose threshold"),
        ([*FINDINGS, "search.delta=[0.1, 0.2]"], "search.delta: does nothing without a task whose threshold"),
        ([*FINDINGS, "grid.transfer=mixed"], "grid.transfer: does nothing without grid.chain"),
    ],
)
def test_what_is_typed_and_does_nothing_is_refused(settings: list[str], says: str) -> None:
    with pytest.raises(InputError, match=says):
        load("demo", settings)


def test_patches_are_settings_of_every_task_that_is_not_about_whole_films(monkeypatch: pytest.MonkeyPatch) -> None:
    class Mine(type(PATCHES)):  # type: ignore[misc]
        name = "mine"

    monkeypatch.setitem(TASKS, "mine", Mine())
    config = load("demo", ["task=mine", "patches.size=24", "grid.train_view=[patches, whole]"])
    assert config.patches.size == 24
    with pytest.raises(InputError, match=r"augment\.train: does nothing without task=multilabel"):
        load("demo", ["task=mine", "augment.train=false"])


@pytest.mark.parametrize("preset", ["lungs", "cells-small"])
def test_phantoms_stand_in_for_the_films_of_a_preset(preset: str) -> None:
    words = ["task=patches", "data.source=phantom", "data.channels=gray", "data.phantom={patients: 8, size: 64}"]
    told = as_tree(load(preset, words))
    assert told["data"]["root"] is not None, "which phantoms do not read"
    assert len(open_source(parse(told).data).films) == 8, "as a study that was begun so is opened"


def test_a_folder_whose_kind_nobody_names_is_not_taken_for_phantoms(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("{grid: {backbone: lenet, images: 1}, data: {root: films}}")
    with pytest.raises(InputError, match=r"^data.root: the kind of what lies there is not named; add data.source=fol"):
        load(str(tmp_path / "mine.yaml"), [])
    assert load(str(tmp_path / "mine.yaml"), ["data.source=folder"]).data.root == "films"


def test_a_setting_for_every_block_may_leave_some_without_a_cell() -> None:
    config = load("chest-transfer", ["data.root=films", "grid.chain=[]"])
    assert [len(cells([block], None, config.task)) for block in config.grid] == [2, 0, 0]
    assert parse(as_tree(config)) == config, "as a study that was begun so is opened"
    assert len(cells(load("chest-transfer", ["data.root=films", "grid.chain=[nih]"]).grid, None, "multilabel")) == 2
    with pytest.raises(InputError, match=r"grid\.transfer: mixed and co_trained take .* there is no cell"):
        load("chest-transfer", ["data.root=films", "grid.chain=[]", "grid.transfer=mixed"])


@pytest.mark.parametrize(
    "words",
    [
        ["distill={inner_weights: head, label_update: gradient}"],
        ["distill.inner_weights=head", "grid.distill_epochs=[1, 3]"],
        ["search.options={inner_weights: [all, head]}"],
        ["distill.inner_weights=head", "distill.labels=softmax"],
        ["distill.inner_weights=head", "grid.method=[sldd, dc_soft]"],
    ],
)
def test_labels_have_a_rate_where_some_may_follow_their_gradient(words: list[str]) -> None:
    assert load("demo", ["grid.method=sldd", *words, "distill.label_lr=3"]).distill.label_lr == 3


def test_what_is_typed_with_what_it_needs_is_taken() -> None:
    halved = load(
        "demo", ["search={trials: 8, pruner: halving}", "search.rungs=[0.3]", "evaluate={starts: 1, steps: 10}"]
    )
    assert (list(halved.search.rungs), halved.evaluate.steps) == ([0.3], 10)
    searched = load("demo", ["grid.images=search", "search.warm_trials=null", "grid.most_images=4"])
    assert (searched.search.warm_trials, searched.grid[0].most_images) == (None, 4)
    matched = load(
        "demo", ["grid.method=[sldd, dm]", "match.augment=false", "evaluate.starts=0", "search.warm_trials=null"]
    )
    assert (matched.match.augment, matched.evaluate.starts) == (False, 0)
    packed = load("demo", ["grid.method=random_real", "package.images=uint8"])
    assert packed.package.images == "uint8", "real images are scored as they would be sent"


@pytest.mark.parametrize("task", ["[1]", "{a: 1}"])
def test_a_task_that_is_no_word_is_refused_in_a_line(task: str) -> None:
    with pytest.raises(InputError, match=r"^task: input should be a valid string"):
        load("demo", [f"task={task}"])


def test_the_score_that_trials_are_compared_by() -> None:
    assert TASKS["patches"].main_score({"hm": 0.7, "auc": 0.9}) == 0.7
    assert TASKS["multilabel"].main_score({"val_auc": 0.6}, "val_") == 0.6
    assert TASKS["patches"].main_score({"hm": None, "auc": 0.9}) == 0.0
