"""Compute settings: the same gradients by other means, and where they differ, how far."""

from __future__ import annotations

import os

import pytest
import torch

from sldd.backbones.init import initialise
from sldd.backbones.norms import keep_no_statistics
from sldd.backbones.registry import build
from sldd.distillation.clip import AdaptiveClip
from sldd.distillation.unroll import Unroll
from sldd.ops.types import Weights
from sldd.training.compute import ComputeSettings, outer_gradient

CPU = torch.device("cpu")


def _gradient(norm: str, settings: ComputeSettings) -> Weights:
    network = build("test_resnet", input_size=32, norm=norm)
    initialise(network, 0)
    keep_no_statistics(network)
    network.to(memory_format=settings.memory_format)
    unroll = Unroll(network)
    weights = [parameter.detach().requires_grad_() for parameter in network.parameters()]
    images = torch.randn(12, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    loss, gradient = outer_gradient(unroll.forward, weights, images, torch.arange(12) % 3, settings)
    assert loss > 0
    return gradient


def _distance(one: Weights, other: Weights) -> float:
    flat = [torch.cat([tensor.flatten() for tensor in weights]) for weights in (one, other)]
    return ((flat[0] - flat[1]).norm() / flat[1].norm()).item()


@pytest.mark.parametrize("size", [5, 12, 99])
def test_micro_batches_add_up_without_batch_norm(size: int) -> None:
    assert (
        _distance(_gradient("group", ComputeSettings(micro_batch=size)), _gradient("group", ComputeSettings())) < 1e-5
    )


def test_micro_batches_are_another_thing_with_batch_norm() -> None:
    assert _distance(_gradient("as_is", ComputeSettings(micro_batch=4)), _gradient("as_is", ComputeSettings())) > 1e-3


def test_channels_last_is_the_same_up_to_rounding() -> None:
    assert (
        _distance(_gradient("as_is", ComputeSettings(channels_last=True)), _gradient("as_is", ComputeSettings())) < 1e-4
    )


def test_bfloat16_is_near() -> None:
    found = _distance(_gradient("group", ComputeSettings(precision="bfloat16")), _gradient("group", ComputeSettings()))
    assert 1e-4 < found < 0.1


def test_inner_steps_in_bfloat16_are_near() -> None:
    network = build("test_resnet", input_size=32, norm="group")
    initialise(network, 0)
    draw = torch.Generator().manual_seed(0)
    problem = (torch.randn(1, 3, 1, 32, 32, generator=draw), torch.eye(3)[None], torch.full((2, 1), 0.01))
    found = []
    for dtype in (None, torch.bfloat16):
        unroll = Unroll(network, autocast=dtype)
        theta = unroll.steps(*problem)
        found.append((theta, unroll.backward([torch.ones_like(weight) for weight in theta])))
    start = [parameter.detach() for parameter in network.parameters()]
    moved = [[after - before for after, before in zip(theta, start, strict=True)] for theta, _ in found]
    assert _distance(moved[1], moved[0]) < 0.1
    assert torch.nn.functional.cosine_similarity(found[0][1].images.flatten(), found[1][1].images.flatten(), 0) > 0.9


def test_settings_reach_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "CUBLAS_WORKSPACE_CONFIG", "")
    monkeypatch.delitem(os.environ, "CUBLAS_WORKSPACE_CONFIG")
    try:
        ComputeSettings().apply(threads=1)
        assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ
        ComputeSettings(deterministic=True).apply(threads=1)
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8", "or PyTorch refuses every product on a GPU"
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.backends.cudnn.benchmark
        assert not torch.backends.cudnn.allow_tf32, "a receiver's CPU knows no TF32"
        assert not torch.backends.cuda.matmul.allow_tf32
    finally:
        ComputeSettings().apply(threads=1)
    assert not torch.are_deterministic_algorithms_enabled()


def test_clip_cuts_what_is_unusual() -> None:
    clip = AdaptiveClip(2.0)
    for _ in range(5):
        usual = {"images": torch.ones(4)}
        clip.apply(usual)
        assert torch.equal(usual["images"], torch.ones(4))
    wild = {"images": torch.full((4,), 100.0)}
    clip.apply(wild)
    assert wild["images"].norm().item() == pytest.approx(4.0)
    still = {"images": torch.zeros(4)}
    clip.apply(still)
    assert torch.equal(still["images"], torch.zeros(4))


def test_clip_lets_go_what_was_zero_at_first() -> None:
    clip = AdaptiveClip(2.0)
    for value in (0.0, 3.0, 3.0, 3.0):
        gradient = {"labels": torch.full((4,), value)}
        clip.apply(gradient)
        assert torch.equal(gradient["labels"], torch.full((4,), value))


def test_what_is_usual_is_the_average_of_clipped_norms() -> None:
    clip, norms = AdaptiveClip(2.0), []
    for value in (1.0, 100.0, 100.0):
        gradient = {"images": torch.full((4,), value)}
        clip.apply(gradient)
        norms.append(float(gradient["images"].norm()))
    assert norms == pytest.approx([2.0, 4.0, 2 * (0.95 * 2 + 0.05 * 4)])
