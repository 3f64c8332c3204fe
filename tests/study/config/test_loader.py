"""Settings: presets, overrides, and what a mistake is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sldd.errors import InputError
from study.config.cells import cells
from study.config.loader import as_tree, differences, load, parse
from study.config.methods import METHODS
from study.config.presets import _on_top, presets


@pytest.mark.parametrize("preset", presets())
def test_presets_survive_being_written_and_read(preset: str) -> None:
    config = load(preset, [])
    assert config.name == preset
    assert parse(as_tree(config)) == config
    assert cells(config.grid)


def test_demo_asks_the_question() -> None:
    config = load("demo", [])
    assert len(config.grid[0].backbone) >= 3
    assert config.grid[0].images == [1, 2, 3]


def test_overrides_reach_any_setting() -> None:
    config = load(
        "demo",
        ["search.trials=9", "grid.backbone=[a,b]", "grid.images=2", "search.outer_lr=[1e-3, 0.1]", "patches.size=0.2"],
    )
    assert config.search.trials == 9
    assert config.grid[0].backbone == ["a", "b"]
    assert config.grid[0].images == [2]
    assert config.search.outer_lr == (0.001, 0.1)
    assert config.patches.size == 0.2


def test_a_file_is_named_after_itself(tmp_path: Path) -> None:
    path = tmp_path / "ours.yaml"
    path.write_text("grid: {backbone: resnet18, images: [1, 2]}\n")
    assert load(str(path), []).name == "ours"


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (["serch.trials=3"], "unknown setting serch; did you mean search?"),
        (["search.trial=3"], "unknown setting search.trial; did you mean search.trials?"),
        (["search.trials=many"], "search.trials: input should be a valid integer"),
        (["search.sampler=tpee"], "'qmc', 'random' or 'shared'; did you mean tpe? (got 'tpee')"),
        (["search.trials=-1"], "search.trials: input should be greater than or equal to 0 (got -1)"),
        (["search.trials=0", "search.pruner=median"], "search.pruner: does nothing where search.trials=0"),
        (["search.trials=0", "search.sampler=gp"], "search.sampler: does nothing where search.trials=0"),
        (["grid.images=[1,0]"], "grid.images.1: input should be greater than or equal to 1 (got 0)"),
        (
            ["grid.method=[sldd,sdd]"],
            "grid.method.1: input should be 'sldd', 'dd', 'random_real', ",
        ),
        (
            ["grid.label_init=constant:Q"],
            "grid.label_init: constant:Q is no start of task patches; choose from",
        ),
        (["grid.backbone=[]"], "grid.backbone"),
        (["grid=3"], "grid: a group of settings is a mapping"),
        (["grid.images.x=3"], "grid.images.x: images is a value"),
        (["grid.images=[1"], "cannot be read as a value"),
        (["name=../elsewhere"], "name: '../elsewhere' names a folder"),
        (["search.outer_lr=[0.2, 0.1]"], "search.outer_lr: a range is [lowest, highest], lowest first"),
        (["search.options={clop: [1]}"], "search.options: clop is no setting of distill; choose from image_init, "),
        (["search.options={clip: [null, -1]}"], "search.options: clip: input should be greater than 0"),
        (["grid.start=imagenet"], "grid.start.0: neither xavier, near_linear nor pretrained nor a file of weights"),
        (
            ["grid.start=[a/net.pt,b/net.pt]"],
            "grid.start: two starts are called net, and so would their cells be; rename",
        ),
        (["distill.image_init=noisy"], "distill.image_init: input should be 'noise', 'pink' or 'real'"),
        (["search.inner_lr=[0.1, 1.0e+9]"], "search.inner_lr.1: input should be less than 1000000"),
        (["search.delta=[0.1, 1.5]"], "search.delta.1: input should be less than 1"),
        (["grid.images=[1,1]"], "grid.images"),
        (["data.split.test=1.5"], "data.split.test"),
        (["grid.images=serach"], "grid.images.0: an image count is a whole number; 'search' looks for the smallest"),
        (["search.train_lr=0.1"], "search.train_lr: should be two values, [lowest, highest] (got 0.1)"),
        (["resources.gpus_per_trial=half"], "resources.gpus_per_trial: should be a number, or auto (got 'half')"),
        (["pretrained=x.safetensors"], "pretrained: should be {BACKBONE: FILE, ...}, or a folder of such files"),
        (["grid.backbone=null"], "grid.backbone.0: no value is given; "),
        (["norm=group"], "unknown setting norm; did you mean grid.norm?"),
        (["steps=100"], "unknown setting steps; did you mean outer.steps or train.steps or evaluate.steps?"),
        (["privacy.clip=1"], "privacy.clip: does nothing without privacy.noise"),
        (["outer.epochs=3", "outer.steps=7"], "outer.steps: the number of steps follows from outer.epochs"),
        (["grid.epochs=3", "outer.steps=7"], "outer.steps: the number of steps follows from grid.epochs"),
        (["grid.images=search", "grid.most_images=1"], "grid.most_images"),
        (["budget.hours=0"], "budget.hours: input should be greater than 0 (got 0)"),
        (["budget.gpuhours=1"], "unknown setting budget.gpuhours; did you mean budget.gpu_hours?"),
        (["confirm.folds=1"], "confirm.folds: input should be greater than or equal to 2 (got 1)"),
        (["minimum.level=0.5"], "minimum.level: input should be greater than 0.5"),
        (["protocol=papers"], "protocol: input should be 'validation' or 'paper'; did you mean paper? (got 'papers')"),
    ],
)
def test_mistakes_are_named(settings: list[str], says: str) -> None:
    with pytest.raises(InputError) as caught:
        load("demo", settings)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_steps_count_again_where_epochs_are_given_up() -> None:
    assert load("table1", ["outer.steps=7", "outer.epochs=null"]).outer.steps == 7
    assert load("demo", ["privacy.clip=2", "privacy.noise=null"]).privacy.noise is None
    assert load("demo", ["privacy={}"]).privacy.noise is None


def test_file_in_another_encoding_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes("name: Köln".encode("cp1252"))
    with pytest.raises(InputError, match="not UTF-8"):
        load(str(tmp_path / "a.yaml"), [])


def test_unknown_preset_suggests() -> None:
    with pytest.raises(InputError, match="did you mean demo"):
        load("dmo", [])
    with pytest.raises(InputError, match="no such file"):
        load("none.yaml", [])


def test_ordinary_training_may_have_its_own_number_of_steps() -> None:
    for setting, steps in (("train.steps=7", 7), ("train.steps=null", 150)):
        config = load("demo", [setting])
        assert METHODS["train"].outer_settings(config, 1000, None).steps == steps
        assert METHODS["train"].outer_settings(config, 1000, None).batch_size == 48
        assert METHODS["sldd"].outer_settings(config, 1000, None) is config.outer


def test_a_pass_is_a_pass_whatever_the_size_of_the_batches() -> None:
    config = load("demo", ["outer.batch_size=96", "train={batch_size: 16}"])
    for method, size in (("sldd", 96), ("train", 16)):
        budget = METHODS[method].outer_settings(config, 9600, 30)
        assert (budget.batch_size, budget.steps * size) == (size, 30 * 9600)


def test_a_folder_of_weights_names_them_by_backbone(tmp_path: Path) -> None:
    (tmp_path / "paper").mkdir()
    for name in ("lenet.safetensors", "paper/vgg16.pt", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    found = {"lenet": str(tmp_path / "lenet.safetensors"), "paper/vgg16": str(tmp_path / "paper" / "vgg16.pt")}
    assert load("demo", ["grid.start=pretrained", f"pretrained={tmp_path}"]).pretrained == found
    (tmp_path / "lenet.pt").write_bytes(b"")
    with pytest.raises(InputError, match=r"^pretrained: the folder has two files of weights of one backbone"):
        load("demo", [f"pretrained={tmp_path}"])
    with pytest.raises(InputError, match=r"^pretrained: should be .BACKBONE: FILE, \.\.\.., or a folder of such files"):
        load("demo", [f"pretrained={tmp_path / 'nowhere'}"])


def test_study_may_grow_and_nothing_else() -> None:
    demo = load("demo", [])
    before = as_tree(demo)
    grown = ["search.trials=30", "confirm.repeats=9", "grid.images=[1,2,3,5]", "resources.threads=1", "data.cache=/x"]
    grown += ["budget={trials: 3, hours: 2, gpu_hours: 1, price: 1.2}"]
    assert differences(before, load("demo", grown)) == []
    assert differences(before, load("demo", ["grid.images=search", "minimum.margin=0.05"])) == []
    starts = "grid.start=[near_linear, pretrained]"
    begun = as_tree(load("demo", [starts]))
    assert differences(begun, load("demo", [starts, "pretrained={resnet10t: x.pt}"])) == []
    older = as_tree(load("demo", []))
    older["search"]["stop"] = older["search"].pop("pruner")
    assert differences(older, demo) == [], "a setting that had another name"
    del (
        older["search"]["stop"],
        older["search"]["rungs"],
        older["search"]["stop_after"],
        older["search"]["sampler"],
        older["budget"],
    )
    assert differences(older, demo) == []
    del older["search"]["score"]
    assert differences(older, demo) == ["search.score was 'headline' and is now 'smooth'"]
    older["search"]["score"] = "smooth"
    del older["distill"]["label_update"]
    assert differences(older, demo) == [], "all weights"
    older["distill"]["inner_weights"] = "head"
    head = load("demo", ["distill.inner_weights=head"])
    assert differences(older, head) == ["distill.label_update was 'gradient' and is now 'auto'"]
    older["distill"]["inner_weights"] = "all"
    (line,) = differences(older, load("demo", ["search.trials=3", "search.stop=median"]))
    assert line == "search.pruner was 'none' and is now 'median'"
    (line,) = differences(older, load("demo", ["search.trials=3", "search.sampler=random"]))
    assert line == "search.sampler was 'tpe' and is now 'random'"
    (block,) = older["grid"]
    del block["start"]
    (line,) = differences(older, demo)
    assert line.startswith("grid had the cell convnet_w32-as_is-train and 19 more"), "there was Xavier's start only"
    assert differences(older, load("demo", ["grid.start=xavier"])) == []
    for setting, named in [
        ("confirm.repeats=1", "confirm.repeats"),
        ("grid.images=[1,2]", "-m3-one_hot-as_is-sldd-near_linear-s1e1 and 4 more and has not now"),
        ("grid.start=[x/s.pt]", "grid had the cell"),
        ("confirm.folds=3", "confirm.folds was None and is now 3"),
        ("protocol=paper", "protocol was 'validation' and is now 'paper'"),
        ("outer.steps=7", "outer.steps was 150 and is now 7"),
        ("data.phantom.size=128", "data.phantom.size"),
        ("resources.threads=2", "resources.threads"),
    ]:
        (line,) = differences(before, load("demo", [setting]))
        assert named in line


def test_a_start_of_the_same_name_elsewhere_is_another_start() -> None:
    old, new = (load("demo", ["grid.method=sldd", f"grid.start=[{folder}/s.pt]"]) for folder in "xy")
    (line,) = differences(as_tree(old), new)
    assert "-s-s1e1 (start x/s.pt) and 14 more and has not now" in line


def test_how_images_are_stored_is_what_a_study_means_and_the_rest_is_not() -> None:
    tree = {"name": "x", "grid": {"backbone": "lenet", "images": 3}}
    old = as_tree(parse(tree))
    del old["package"]  # a study of an earlier version
    assert differences(old, parse(tree)) == []
    signed = parse(tree | {"package": {"weights": True, "key": "k", "signer": "A"}})
    assert differences(old, signed) == []
    smaller = parse(tree | {"package": {"images": "uint8"}})
    assert differences(old, smaller) == ["package.images was 'float32' and is now 'uint8'"]


@pytest.mark.parametrize(
    ("began", "settings"),
    [
        (["grid.method=train"], ["grid.method=[train, sldd]", "distill.inner_weights=head", "evaluate.starts=2"]),
        (["grid.method=sldd"], ["grid.method=[sldd, train]", "train.steps=900"]),
        (["grid.method=sldd"], ["grid.method=[sldd, mtt]", "match.experts.count=5"]),
        ([], ["grid.images=search", "search.warm_trials=3"]),
    ],
)
def test_a_study_grows_by_what_has_settings_of_its_own(began: list[str], settings: list[str]) -> None:
    """They did nothing until then, so that no trial has run by others."""
    assert differences(as_tree(load("demo", began)), load("demo", settings)) == []
    (line,) = differences(as_tree(load("demo", ["outer.batch_size=33", *began])), load("demo", settings))
    assert line.startswith("outer.batch_size was 33")


def test_a_method_that_there_is_no_longer_is_said() -> None:
    new = load("demo", [])
    old = as_tree(new)
    old["grid"][0]["method"] = ["sldd", "gone"]
    assert "its grid cannot be read" in differences(old, new)


@pytest.mark.parametrize(
    ("preset", "settings", "began", "counts"),
    [
        ("demo", ["task=classes", "data.source=classes"], {"patches": {"size": 299.0, "stride": 50.0}}, False),
        ("demo", [], {"patches": {"size": 299.0, "stride": 50.0}}, True),
        ("lungs", [], {"pretrained": {"resnet18": "starts/resnet18.pt"}}, False),
        ("lungs", ["grid.start=pretrained"], {"pretrained": {"resnet18": "starts/resnet18.pt"}}, True),
        ("cohort", [], {"data": {"phantom": {"patients": 20}}}, False),
        ("demo", [], {"data": {"phantom": {"patients": 20}}}, True),
        ("demo", [], {"search": {"receiver_lr": (0.1, 1.0)}}, False),
        ("demo", ["grid.method=[sldd, dm]"], {"search": {"receiver_lr": (0.1, 1.0)}}, True),
        ("demo", [], {"sources": {"nih": {"part": "1/2"}}}, False),
        ("demo", ["outer.epochs=3"], {"outer": {"steps": 7}}, False),
        ("demo", [], {"outer": {"steps": 7}}, True),
        ("demo", ["evaluate.starts=0"], {"evaluate": {"starts": 2}}, True),
        ("demo", ["grid.method=random_real"], {"package": {"images": "uint8"}}, True),
        ("demo", ["grid.method=random_real"], {"package": {"key": "mine"}}, False),
        ("demo", ["grid.method=sldd"], {"train": {"steps": 9}}, False),
    ],
)
def test_a_study_goes_on_whatever_it_said_where_that_does_nothing(
    preset: str, settings: list[str], began: dict[str, Any], counts: bool
) -> None:
    """Typed again it would be refused, so that what was recorded could be matched by no command."""
    config = load(preset, settings)
    told = _on_top(began, as_tree(config))
    parse(told)
    assert bool(differences(told, config)) is counts
