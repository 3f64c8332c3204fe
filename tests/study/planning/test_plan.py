"""What cannot be run is refused before anything runs, with the reason."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from sldd.data.cohort import prepare
from sldd.data.patches import CLASSES, Patches
from sldd.data.settings import open_source
from sldd.data.split import split_patients
from sldd.errors import InputError
from sldd.ops.types import InputSpec
from sldd.package import Package
from sldd.package.rebuild.rebuild import rebuild
from sldd.training.supervised import Training
from study.config.cells import cells
from study.config.loader import load
from study.config.schema import StudyConfig
from study.config.tasks.patches import PatchData
from study.grid.axes import Cell
from study.grid.spec import TrialSpec
from study.planning import shape_check, step_time
from study.planning.plan import PlannedCell, plan_cells, trials_of
from study.planning.shape_check import Shapes
from study.planning.step_time import StepTime, trial_seconds
from study.trial.network import build_network, set_transfer_start
from tests.sldd.package.conftest import make


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.getbasetemp() / "cohorts"


def _plan(
    config: StudyConfig,
    cache: Path,
    timed: set[Cell] | None = None,
    memory: int | None = None,
    known: Iterable[PlannedCell] = (),
) -> list[PlannedCell]:
    cohort = prepare(open_source(config.data), cache)
    split = split_patients(cohort, config.data.split)
    patches = Patches(cohort, config.patches, *cohort.intensity(split.train))
    grid = cells(config.grid)
    data_by_stage = {None: PatchData(patches, split)}
    timed = set(grid) if timed is None else timed
    before = {entry.cell: entry for entry in known}
    return plan_cells(grid, config, data_by_stage, timed=timed, memory=memory, known=before)


def _config(*settings: str) -> StudyConfig:
    small = [
        "data.phantom={patients: 16, size: 128}", "data.split={validation: 0.2, test: 0.4}",
        "patches={size: 24, stride: 8, input_size: 32}", "grid.method=sldd",
    ]  # fmt: skip
    return load("demo", [*small, "outer.batch_size=12", *settings])


def test_one_value_a_channel_is_refused(cache: Path) -> None:
    planned = _plan(_config("grid.backbone=test_resnet", "grid.images=[1,2]"), cache, timed=set())
    assert planned[0].refused is not None
    assert "batch norm sees one value a channel" in planned[0].refused
    assert planned[1].refused is None
    assert [entry.parameters for entry in planned] == [372_691] * 2


def test_batches_without_room_for_a_class_are_refused(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ("grid.backbone=lenet", "grid.method=[sldd,train]", "grid.images=2", "train={batch_size: 6}")
    monkeypatch.setattr(PatchData, "fewest", 13)
    distilled, trained = (str(entry.refused) for entry in _plan(_config(*settings), cache, timed=set()))
    assert distilled.startswith("outer.batch_size: 12, and there are 13 classes, each of which is to be in every batch")
    assert trained.startswith("train.batch_size: 6, and there are 13 classes")


def test_where_the_most_images_fit_fewer_are_not_asked(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int | None] = []
    too_many = 99
    check = shape_check._check

    def counting(cell: Cell, *rest: Any) -> Shapes:
        asked.append(cell.images)
        return Shapes(1, "too large") if cell.images == too_many else check(cell, *rest)

    monkeypatch.setattr(shape_check, "_check", counting)
    config = _config("grid.backbone=test_resnet", "grid.images=[1,2,3,5,8]")
    planned = _plan(config, cache, timed=set())
    assert asked == [1, 8]
    assert [entry.refused is None for entry in planned] == [False, True, True, True, True]
    asked.clear()
    too_many = 8
    planned = _plan(config, cache, timed=set())
    assert asked == [1, 8, 2, 3, 5], "one that does not fit says nothing of the others"
    assert [entry.refused is None for entry in planned] == [False, True, True, True, False]


def test_a_network_that_ran_before_is_checked_again_only_where_it_may_not_fit(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = _config("grid.backbone=test_resnet", "grid.images=3")
    (first,) = _plan(config, cache)
    assert first.memory is not None
    with monkeypatch.context() as patched:
        patched.setattr(shape_check, "_check", lambda *_: pytest.fail("checked again"))
        assert _plan(config, cache, timed=set(), memory=first.memory, known=[first]) == [first]
    (small,) = _plan(config, cache, timed=set(), memory=first.memory - 1, known=[first])
    assert "test_resnet at 32 x 32 needs about" in str(small.refused)
    (unknown,) = _plan(config, cache, timed=set(), known=[replace(first, memory=None)])
    assert unknown == first, "what shapes tell is found again, and what was timed is kept"


@pytest.mark.parametrize(("most", "patches"), [(1e9, {12}), (0.0, {8})])
def test_a_slow_network_is_timed_with_fewer_patches(
    cache: Path, monkeypatch: pytest.MonkeyPatch, most: float, patches: set[int]
) -> None:
    seen, step = set(), Training.step

    def watched(self: Training, images: torch.Tensor, classes: torch.Tensor, rate: float) -> None:
        seen.add(len(images))
        step(self, images, classes, rate)

    monkeypatch.setattr(Training, "step", watched)
    monkeypatch.setattr(step_time, "_PASS_SECONDS", most)
    (planned,) = _plan(_config("grid.backbone=test_resnet", "grid.images=2"), cache)
    assert seen == patches
    assert planned.seconds is not None
    assert planned.seconds > 0


def test_same_cell_runs_with_group_norm(cache: Path) -> None:
    planned = _plan(_config("grid.backbone=test_resnet", "grid.images=1", "grid.norm=group"), cache)
    assert planned[0].refused is None
    assert planned[0].seconds is not None


def test_one_image_is_enough_where_only_the_last_layer_changes(cache: Path) -> None:
    settings = ("grid.backbone=test_resnet", "grid.images=1", "distill.inner_weights=head")
    (planned,) = _plan(_config(*settings), cache)
    assert planned.refused is None
    assert planned.seconds is not None


def test_a_trial_that_keeps_features_looks_at_patients_once(cache: Path) -> None:
    settings = ("grid.backbone=test_resnet", "grid.images=1", "distill.inner_weights=head", "outer.evaluations=5")
    step = StepTime(batch=0.0, plain=0.0, inner=0.0, forward=1.0)
    seconds = []
    for share in (8, 0):
        config = _config(*settings, f"resources.feature_cache={share}")
        cohort = prepare(open_source(config.data), cache)
        split = split_patients(cohort, config.data.split)
        data = PatchData(Patches(cohort, config.patches, *cohort.intensity(split.train)), split)
        (cell,) = cells(config.grid)
        seconds.append(trial_seconds(cell, step, config, config.outer, data))
    assert seconds[1] - seconds[0] == 5 * data.scored(cell)


def test_features_that_do_not_fit_into_memory_are_refused(cache: Path) -> None:
    settings = ("grid.backbone=convnet", "grid.images=1", "distill.inner_weights=head", "outer.steps=9000")
    small, large = (
        _plan(_config(*settings, f"distill.feature_bank={rows}"), cache, timed=set(), memory=2 * 2**30)[0].refused
        for rows in (18_000, 180_000)  # of 128 x 4 x 4 values each, or as many as the steps see
    )
    assert small is None
    assert large is not None
    assert "convnet at 32 x 32 needs about" in large


def test_more_patches_than_there_are_is_refused(cache: Path) -> None:
    config = _config("grid.backbone=test_resnet", "grid.images=1", "grid.method=train", "grid.train_patches=[9,99999]")
    few, many = _plan(config, cache, timed=set())
    assert few.refused is None
    assert many.refused is not None
    assert "99,999 patches a class, and class I has" in many.refused


def test_a_network_without_a_last_layer_is_refused_where_only_that_changes(cache: Path) -> None:
    config = _config("grid.backbone=torchvision/squeezenet1_1", "grid.images=3", "distill.inner_weights=head")
    (planned,) = _plan(config, cache, timed=set())
    assert planned.refused is None  # shapes do not tell; the timed step does
    (planned,) = _plan(config, cache)
    assert planned.refused is not None
    assert "the network ends in classifier.1, but does more after it; use 'all'" in planned.refused


def test_more_inner_steps_are_expected_to_take_longer(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ("grid.backbone=test_resnet", "grid.images=3", "grid.distill_steps=[1,9]", "grid.method=[sldd,train]")
    config = _config(*settings, "outer.steps=100", "train.steps=null")
    assert all(entry.seconds for entry in _plan(config, cache)), "each is timed"
    monkeypatch.setattr(
        "study.planning.step_time.time_step", lambda *_: StepTime(batch=0.1, plain=0.2, inner=0.5, forward=0.0)
    )
    times = {(e.cell.method, e.cell.distill_steps): e.seconds for e in _plan(config, cache)}
    assert times == pytest.approx({("sldd", 1): 80.0, ("sldd", 9): 480.0, ("train", None): 30.0})


def test_fresh_starts_are_part_of_what_confirm_trials_take(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ("grid.backbone=test_resnet", "grid.images=3", "grid.method=[sldd,train]", "grid.distill_steps=2")
    config = _config(*settings, "evaluate={starts: 2, backbones: [convnet, lenet], steps: 100}")
    timed = {"test_resnet": 0.2, "convnet": 0.1}

    def time_step(cell: Cell, *_: object) -> StepTime | str:
        plain = timed.get(cell.backbone)
        return "not here" if plain is None else StepTime(batch=0.0, plain=plain, inner=0.5, forward=0.0)

    monkeypatch.setattr("study.planning.step_time.time_step", time_step)
    distilled, trained = _plan(config, cache)
    assert distilled.fresh_seconds == pytest.approx(2 * 100 * (0.2 + 0.1) * 6 / 12)
    assert trained.fresh_seconds == 0


def test_planning_looks_at_each_cell_a_few_times(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = list(range(1, 301))
    config = _config("grid.backbone=test_resnet", "grid.images=3", f"grid.distill_steps={steps}")
    known = [PlannedCell(cell, 1, None, 1.0, memory=1) for cell in cells(config.grid)]
    looked, hashed = 0, Cell.__hash__

    def counted(cell: Cell) -> int:
        nonlocal looked
        looked += 1
        return hashed(cell)

    monkeypatch.setattr(Cell, "__hash__", counted)
    assert _plan(config, cache, timed=set(), known=known) == known
    assert looked < 60 * len(steps)


def test_trials_are_those_that_core_seconds_buy_and_one_confirm_trial_of_what_only_prepares() -> None:
    config = load("demo", ["search={trials: 9, core_seconds: 50}", "confirm.repeats=3"])
    cell = Cell("lenet", "train", "as_is")
    assert [trials_of(config, cell, seconds) for seconds in (None, 20.0, 1.0)] == [9 + 3, 3 + 3, 9 + 3]
    assert trials_of(config, replace(cell, stage="nih"), 20.0) == 3 + 1


def test_unknown_backbone_ends_the_plan(cache: Path) -> None:
    with pytest.raises(InputError, match="did you mean resnet18"):
        _plan(_config("grid.backbone=resnet_18"), cache)


def test_network_too_deep_for_its_input_is_refused(cache: Path) -> None:
    (planned,) = _plan(_config("grid.backbone=torchvision/alexnet", "grid.images=3"), cache, timed=set())
    assert planned.refused is not None
    assert "torchvision/alexnet at 32 x 32" in planned.refused


def test_network_that_does_not_fit_into_memory_is_refused(cache: Path) -> None:
    config = _config("grid.backbone=[test_resnet,vgg19]", "grid.images=3", "grid.distill_epochs=9")
    small, large = _plan(config, cache, timed=set(), memory=2 * 2**30)
    assert small.refused is None
    assert large.refused is not None
    assert "vgg19 at 32 x 32 needs about" in large.refused
    assert "2.0 GiB" in large.refused


def test_network_without_a_second_derivative_is_refused_from_shapes_alone(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sldd.backbones.registry.HardSigmoid", nn.Hardsigmoid)
    (planned,) = _plan(_config("grid.backbone=mobilenetv3_small_050", "grid.images=3"), cache, timed=set())
    assert planned.refused is not None
    assert "cannot be differentiated twice" in planned.refused


def test_a_package_is_a_start_of_its_own_network(cache: Path, tmp_path: Path) -> None:
    make(backbone="test_resnet", norm="as_is").save(tmp_path / "theirs.safetensors")
    config = _config(
        "grid.backbone=[test_resnet,convnet_w32]", "grid.images=3", f"grid.start={tmp_path}/theirs.safetensors"
    )
    fits, other = _plan(config, cache, timed=set())
    assert fits.refused is None
    assert "theirs" in fits.cell.name
    assert other.refused is not None
    assert "is a package of test_resnet, not of convnet_w32" in other.refused
    network = build_network(fits.cell, InputSpec(32, CLASSES, 0.0, 1.0, 1))
    spec = TrialSpec(cell=fits.cell, phase="search", seed=5, outer_lr=0.1, inner_lr=0.1)
    set_transfer_start(network, spec, fits.cell.start, CLASSES, tmp_path)
    wanted = rebuild(Package.load(tmp_path / "theirs.safetensors"))
    assert all(map(torch.equal, network.parameters(), wanted.parameters()))


def test_a_package_is_no_start_under_another_norm(cache: Path, tmp_path: Path) -> None:
    make(backbone="test_resnet", norm="as_is").save(tmp_path / "theirs.safetensors")
    config = _config(
        "grid.backbone=test_resnet", "grid.norm=[group]", "grid.images=3", f"grid.start={tmp_path}/theirs.safetensors"
    )
    (planned,) = _plan(config, cache, timed=set())
    assert planned.refused is not None, "its tensors have the same names and shapes"
    assert "with norm as_is, not group; set grid.norm=[as_is]" in planned.refused


def test_weights_that_do_not_fit_are_refused(cache: Path, tmp_path: Path) -> None:
    torch.save({"fc.weight": torch.zeros(3, 96)}, tmp_path / "elsewhere.pt")
    config = _config("grid.backbone=test_resnet", "grid.images=3", f"grid.start=[xavier,{tmp_path}/elsewhere.pt]")
    fits, other = _plan(config, cache, timed=set())
    assert fits.refused is None
    assert other.refused is not None
    assert "layer conv1.0.weight is missing in the weights of elsewhere.pt" in other.refused
