"""Outer steps as CUDA graphs: nothing in them waits for the device, and they change no bit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from sldd.backbones.init import initialise
from sldd.backbones.registry import build
from sldd.distillation import distill
from sldd.distillation.distill import Distillation, ungraphable
from sldd.distillation.image_learner import DistillSettings
from sldd.errors import InputError
from sldd.ops import cuda_graph
from sldd.training.compute import ComputeSettings
from tests.sldd.ops.test_cuda_graph import rerun

CPU = torch.device("cpu")
GRAPH = ComputeSettings(memory="keep", cuda_graph=True)


def _learner(backbone: str = "lenet", *, device: torch.device = CPU, **settings: Any) -> Distillation:
    compute = settings.pop("compute", ComputeSettings(memory="keep"))
    network = build(backbone, input_size=32, norm="as_is")
    initialise(network, 0)
    images = torch.randn(2, 3, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    given = {"epochs": 2, "inner_lr": 0.02, "settings": DistillSettings(**settings), "compute": compute, "seed": 0}
    return Distillation(network, images, torch.eye(3), device=device, **given)


def _batch(number: int, device: torch.device = CPU) -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.randn(9, 1, 32, 32, generator=torch.Generator().manual_seed(number))
    return images.to(device), (torch.arange(9) % 3).to(device)


@pytest.fixture
def graphs_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distill, "ungraphable", lambda *_, **__: None)


def test_a_recorded_step_is_the_same_step(graphs_anywhere: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def recorded(work: Any, device: torch.device) -> Any:
        def flat() -> list[torch.Tensor]:
            loss, gradients = work()
            return [loss, *gradients.values()]

        (loss, *gradients), again = rerun(flat, device)
        return (loss, dict(zip(("images", "labels", "rates"), gradients, strict=True))), again

    monkeypatch.setattr(cuda_graph, "recorded", recorded)
    plain, graphed = _learner(), _learner(compute=GRAPH)
    for number in range(7):
        assert plain.step(*_batch(number), 0.01) == graphed.step(*_batch(number), 0.01)
    for name, value in plain.state().items():
        assert torch.equal(value, graphed.state()[name]), name


@pytest.mark.parametrize("settings", [
    {}, {"rates": "step"}, {"labels": "softmax", "inner_momentum": 0.5}, {"inner_weights": "head"},
], ids=str)  # fmt: skip
@pytest.mark.parametrize("backbone", ["lenet", "test_resnet", "test_vit"])
def test_nothing_in_a_step_waits_for_its_device(backbone: str, settings: dict[str, Any], graphs_anywhere: None) -> None:
    """On a device without memory, whatever would come back to the CPU fails."""
    meta = torch.device("meta")
    learner = _learner(backbone, compute=GRAPH, **settings)
    learner.network.to(meta)
    learner._unroll.start = [weight.to(meta) for weight in learner._unroll.start]
    learner._learned = {name: value.to(meta) for name, value in learner._learned.items()}
    inputs, classes = _batch(0, meta)
    if learner._head is not None:
        inputs = learner.inputs(inputs)
    loss, gradients = learner._gradients(inputs, classes)
    assert isinstance(loss, torch.Tensor)
    assert loss.device == meta
    assert {gradient.device for gradient in gradients.values()} == {meta}


def test_what_cannot_be_recorded_is_refused_before_it_is_tried() -> None:
    assert ungraphable(DistillSettings(), private=False) is None
    for settings, private, gpu, what in (
        (DistillSettings(), False, False, "there is no GPU"),
        (DistillSettings(), True, True, "privacy.noise"),
        (replace(DistillSettings(), window=2), False, True, "distill.window"),
    ):
        reason = ungraphable(settings, private=private, gpu=gpu)
        assert reason is not None
        assert what in reason
        assert reason.endswith("set it to false")
    with pytest.raises(InputError, match=r"compute\.cuda_graph: .* there is no GPU"):
        _learner(compute=GRAPH)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that PyTorch can use")
@pytest.mark.parametrize("backbone", ["lenet", "test_resnet"])
def test_a_gpu_takes_the_same_steps_from_a_graph(backbone: str) -> None:
    cuda = torch.device("cuda")
    plain, graphed = _learner(backbone, device=cuda), _learner(backbone, device=cuda, compute=GRAPH)
    for number in range(7):
        one, other = (learner.step(*_batch(number, cuda), 0.001) for learner in (plain, graphed))
        assert one == pytest.approx(other, rel=1e-3)
