"""The learner of every method: it takes steps, resumes bit for bit, keeps what it does not learn, and hands it over."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sldd.backbones.init import initialise
from sldd.data.cohort import prepare
from sldd.data.patches import Patches
from sldd.data.settings import open_source
from sldd.data.split import split_patients
from sldd.errors import InputError
from sldd.training.outer_loop import OuterLoop
from study.config.cells import cells
from study.config.loader import parse, read
from study.config.methods import METHODS
from study.config.methods.matching import Matched
from study.config.schema import StudyConfig
from study.config.tasks.patches import PatchData
from study.grid.spec import TrialSpec
from study.planning.step_time import StepTime, time_step
from study.trial.network import build_network
from tests.sldd.training.resuming import finish, same

EXPERTS = ["match={experts: {count: 2, snapshots: 3, every: 2, latest: 2, span: 2, student_epochs: 2, batch_size: 6}}"]
MORE = {
    "dc_soft": ["match={redraw: 3, network_steps: 2}"],
    "mtt": EXPERTS,
    "mtt_soft": EXPERTS,
    "frepo": ["match={pool: 2, pool_updates: 2}"],
}
CPU = torch.device("cpu")
SETTINGS = [
    "grid.backbone=convnet_w32", "grid.images=3", "data.phantom={patients: 16, size: 128}",
    "data.split={validation: 0.2, test: 0.4}", "patches={size: 24, stride: 8, score_stride: 16, input_size: 32}",
    "outer={steps: 4, batch_size: 12, evaluations: 1, statistics_batches: 1}", "train.steps=null",
]  # fmt: skip


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.getbasetemp() / "cohorts"


@pytest.fixture(scope="module")
def data(cache: Path) -> PatchData:
    config = parse(read("demo", SETTINGS))
    cohort = prepare(open_source(config.data), cache)
    split = split_patients(cohort, config.data.split)
    return PatchData(Patches(cohort, config.patches, *cohort.intensity(split.train)), split)


def _config(cache: Path, method: str, *more: str) -> StudyConfig:
    """As a file of settings may have it, where some do nothing (``study.config.checks.why_idle``)."""
    return parse(read("demo", [*SETTINGS, f"data.cache={cache}", f"grid.method={method}", *more]))


def _loop(data: PatchData, config: StudyConfig) -> OuterLoop:
    (cell,) = cells(config.grid)
    assert METHODS[cell.method].refusal(cell, config, data) is None
    spec = TrialSpec(cell, "search", 0, outer_lr=0.03, inner_lr=0.05)
    network = build_network(cell, data.input)
    initialise(network, 0)
    learned = data.learned(spec, config, augment=False)
    learner = METHODS[cell.method].learner(spec, network, data, config, CPU)
    budget = METHODS[cell.method].outer_settings(config, data.size, None)
    return OuterLoop(
        learner, learned.evaluator, learned.drawn, data.split, budget, rate=0.03, seed=0, device=CPU
    )  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_resuming_is_bit_for_bit(
    cache: Path, data: PatchData, tmp_path_factory: pytest.TempPathFactory, method: str
) -> None:
    config = _config(cache, method, *MORE.get(method, []))
    ended = finish(_loop(data, config)).state_dict()
    file = tmp_path_factory.mktemp("cut") / "state.pt"

    @settings(max_examples=2, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(cut=st.integers(1, 3))
    def check(cut: int) -> None:
        first = _loop(data, config)
        for _ in range(cut):
            first.advance()
        torch.save(first.state_dict(), file)
        second = _loop(data, config)
        second.load_state_dict(torch.load(file, weights_only=True))
        assert same(finish(second).state_dict(), ended)

    check()


@pytest.mark.parametrize("method", [name for name in METHODS if name != "train"])
def test_what_is_not_learned_stays_and_all_of_it_is_handed_over(cache: Path, data: PatchData, method: str) -> None:
    loop = _loop(data, _config(cache, method, *MORE.get(method, [])))
    begun = {name: value.clone() for name, value in loop.learner.state().items()}
    ended = finish(loop).learner.state()
    changed = {name for name in begun if not torch.equal(begun[name], ended[name])}
    learned = set(METHODS[method].learned)  # type: ignore[attr-defined]
    assert changed - {"rates"} == learned - {"rates"}
    assert begun.keys() == ended.keys() == {"images", "labels", "rates"}
    assert loop.best is not None
    weights = loop.learner.weights(loop.best.state)
    assert any(not torch.equal(w, p) for w, p in zip(weights, loop.learner.network.parameters(), strict=True))


@pytest.mark.parametrize("method", ["herding", "k_center"])
def test_core_sets_need_one_class_a_film_and_enough_candidates(cache: Path, data: PatchData, method: str) -> None:
    config = _config(cache, method, "grid.images=[3,400]")
    few, many = (METHODS[method].refusal(cell, config, data) for cell in cells(config.grid))
    assert few is None
    assert data.class_sizes[1] < 133 < data.class_sizes[0]
    there = f"{data.class_sizes[1]} of class N"
    assert many == f"{method} chooses from {there}, and is to find 133; ask for fewer images"
    findings = SimpleNamespace(
        input=data.input, image_classes=lambda labels: None, initial_labels=lambda *_: torch.eye(3)
    )
    (cell, _) = cells(config.grid)
    assert "a film has several findings" in str(METHODS[method].refusal(cell, config, findings))  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["herding", "k_center", "random_real"])
def test_core_sets_refuse_what_all_that_distil_refuse(cache: Path, data: PatchData, method: str) -> None:
    settings = ["distill={inner_weights: head, label_update: solved}", "grid.distill_epochs=3"]
    (cell,) = cells((config := _config(cache, method, *settings)).grid)
    assert "labels cannot be solved" in str(METHODS[method].refusal(cell, config, data))
    hard = f"{method}_hard"
    (cell,) = cells((config := _config(cache, hard, *settings)).grid)
    assert METHODS[hard].refusal(cell, config, data) is None
    _loop(data, config)


@pytest.mark.parametrize("method", ["herding_hard", "random_real_hard"])
def test_real_images_are_different_ones(cache: Path, data: PatchData, method: str) -> None:
    images = _loop(data, _config(cache, method, "grid.images=30")).learner.state()["images"][0]
    assert len(images.flatten(1).unique(dim=0)) == 30


def test_images_stand_for_the_class_of_their_label(cache: Path, data: PatchData) -> None:
    config = _config(cache, "dm", "grid.label_init=constant:P")
    (cell,) = cells(config.grid)
    assert "1 of 3 have an image" in str(METHODS["dm"].refusal(cell, config, data))
    assert data.image_classes(data.initial_labels("uniform", 4, 0)) == [0, 1, 2, 0]


@pytest.mark.parametrize("method", ["dm", "frepo", "dc"])
def test_matching_holds_no_more_real_images_than_it_is_told(cache: Path, data: PatchData, method: str) -> None:
    config, seen = _config(cache, method, "compute.micro_batch=4", *MORE.get(method, [])), []
    loop = _loop(data, config)
    first = next(module for module in loop.learner.network.modules() if isinstance(module, torch.nn.Conv2d))
    first.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    loop.advance()
    assert max(seen) == 4


def test_the_receivers_own_start_is_no_expert_to_follow(cache: Path, data: PatchData) -> None:
    config = _config(cache, "mtt", "match.networks=start")
    (cell,) = cells(config.grid)
    assert "set match.networks=fresh" in str(METHODS["mtt"].refusal(cell, config, data))


@pytest.mark.parametrize("method", ["sldd", "dm"])
def test_what_no_package_may_hold_is_refused(cache: Path, data: PatchData, method: str) -> None:
    config = _config(cache, method, "grid.distill_epochs=10001")
    (cell,) = cells(config.grid)
    assert "10,001 inner steps on 3 images; 10,000 steps" in str(METHODS[method].refusal(cell, config, data))
    larger = _config(cache, method, "patches.input_size=1536")
    (cell,) = cells(larger.grid)
    assert "patches.input_size: 1,536 pixels; 1,024 are allowed" in str(METHODS[method].refusal(cell, larger, data))


@pytest.mark.parametrize("method", ["train", "random_real"])
def test_what_leaves_no_package_may_see_larger_images(cache: Path, data: PatchData, method: str) -> None:
    config = _config(cache, method, "patches.input_size=1536")
    (cell,) = cells(config.grid)
    assert METHODS[method].refusal(cell, config, data) is None


MATCHED = [name for name, method in METHODS.items() if isinstance(method, Matched)]


@pytest.mark.parametrize("method", MATCHED)
@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (["distill.inner_weights=head"], "takes no inner steps to learn by: distill.inner_weights is for sldd and dd"),
        (["search.options={window: [null, 2]}"], "distill.window is for sldd and dd; set null"),
        (["distill.label_update=solved"], "distill.label_update is for sldd and dd; set auto"),
    ],
)
def test_what_has_no_meaning_is_refused(
    cache: Path, data: PatchData, method: str, settings: list[str], says: str
) -> None:
    config = _config(cache, method, *settings)
    (cell,) = cells(config.grid)
    assert says in str(METHODS[method].refusal(cell, config, data))


@pytest.mark.parametrize("method", MATCHED)
def test_findings_and_missing_classes_are_refused(cache: Path, data: PatchData, method: str) -> None:
    config = _config(cache, method, "grid.images=2")
    (cell,) = cells(config.grid)
    by_class = METHODS[method].by_class  # type: ignore[attr-defined]
    assert ("2 of 3 have an image" in str(METHODS[method].refusal(cell, config, data))) == by_class
    findings = SimpleNamespace(
        input=data.input, image_classes=lambda labels: None, initial_labels=lambda *_: torch.eye(3)
    )
    assert "several findings" in str(METHODS[method].refusal(cell, config, findings))  # type: ignore[arg-type]


def test_a_student_that_outruns_its_expert_is_refused(cache: Path, data: PatchData) -> None:
    config = _config(cache, "mtt", "match={experts: {snapshots: 4, latest: 4, span: 2}}")
    (cell,) = cells(config.grid)
    assert "raise match.experts.snapshots to 5" in str(METHODS["mtt"].refusal(cell, config, data))


def test_experts_see_every_class(cache: Path, data: PatchData) -> None:
    config = _config(cache, "mtt", "match={experts: {batch_size: 2}}")
    (cell,) = cells(config.grid)
    assert "match.experts.batch_size: 2, and there are 3 classes" in str(METHODS["mtt"].refusal(cell, config, data))


def test_experts_have_room_or_are_refused(cache: Path, data: PatchData) -> None:
    needed, refused = [], pytest.raises(InputError, match=r"100 experts of convnet_w32 take .* GiB")
    for room in (0, 1, 0.001):
        config = _config(cache, "mtt", "match={experts: {count: 100}}", f"resources.feature_cache={room}")
        (cell,) = cells(config.grid)
        with torch.device("meta"):
            network = build_network(cell, data.input)
        with refused if room == 0.001 else nullcontext():
            needed.append(METHODS["mtt"].memory(network, cell, config, config.outer, data))
    assert needed[0] - needed[1] == 100 * 21 * sum(parameter.nbytes for parameter in network.parameters())


def test_rates_that_follow_are_worked_out_where_a_state_is_evaluated(
    cache: Path, data: PatchData, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, asked = _loop(data, _config(cache, "dm")), []
    rates_at = loop.learner._rates_at  # type: ignore[attr-defined]
    monkeypatch.setattr(loop.learner, "_rates_at", lambda found: asked.append(loop.progress.step) or rates_at(found))
    finish(loop)
    assert asked == [4], "of four steps, after the last"
    assert loop.best is not None
    assert torch.equal(loop.best.state["rates"], loop.learner.state()["rates"])


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (["distill.label_update=solved"], "the inner step changes all weights"),
        (["distill.label_update=solved", "distill.inner_weights=head", "grid.distill_epochs=2"], "2 inner steps"),
        (["search.options={label_update: [auto, solved], inner_weights: [head, all]}"], "changes all weights"),
        (["distill.label_update=solved", "distill.inner_weights=head"], None),
        (["distill.inner_weights=all"], None),
    ],
)
def test_labels_that_cannot_be_solved_are_refused_in_the_plan(
    cache: Path, data: PatchData, settings: list[str], says: str | None
) -> None:
    config = _config(cache, "sldd", *settings)
    found = [METHODS["sldd"].refusal(cell, config, data) for cell in cells(config.grid)]
    assert all(says in str(line) if says else line is None for line in found)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ([], None),
        (["distill.window=2"], "distill.window"),
        (["search.options={window: [null, 2]}"], "distill.window"),
        (["privacy={noise: 1.0, clip: 1.0}"], "privacy.noise"),
    ],
)
def test_steps_that_cannot_be_recorded_are_refused_in_the_plan(
    cache: Path, data: PatchData, settings: list[str], says: str | None
) -> None:
    config = _config(cache, "sldd", "compute.cuda_graph=true", *settings)
    found = [METHODS["sldd"].refusal(cell, config, data) for cell in cells(config.grid)]
    assert all(says in str(line) if says else line is None for line in found)


def test_a_plan_without_a_gpu_times_steps_that_will_be_recorded_elsewhere(cache: Path, data: PatchData) -> None:
    config = _config(cache, "sldd", "compute.cuda_graph=true")
    cell = cells(config.grid)[0]
    found = time_step(cell, config, METHODS["sldd"].outer_settings(config, data.size, None), data)
    assert isinstance(found, StepTime), found
