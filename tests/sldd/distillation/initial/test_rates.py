"""Initial inner rates: shares of the weights, whatever the network and the scale of its gradients."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sldd.backbones.init import initialise
from sldd.backbones.registry import build
from sldd.distillation.distill import Distillation
from sldd.distillation.image_learner import DistillSettings
from sldd.distillation.initial.images import noise_images
from sldd.distillation.initial.labels import initial_labels
from sldd.distillation.initial.rates import LAST_LAYER, STEEPEST, relative_rate, relative_rates

CPU = torch.device("cpu")
NAMES = ["body.weight", "body.bias", "token", "head.weight", "head.bias"]


def _tensors(seed: int) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=random) for shape in ((4, 3), (4,), (2,), (3, 4), (3,))]


@settings(max_examples=30, deadline=None)
@given(st.floats(1e-4, 1.0), st.floats(1e-3, 0.5), st.integers(0, 99))
def test_each_tensor_changes_by_its_share(scale: float, share: float, seed: int) -> None:
    weights, gradients = _tensors(seed), [g * scale for g in _tensors(seed + 100)]
    rates = relative_rates(NAMES, weights, [gradients], share=share, epochs=1, last="head")
    changes = [float(a * g.norm() / w.norm()) for a, g, w in zip(rates, gradients, weights, strict=True)]
    assert changes[:3] == pytest.approx([share] * 3, rel=1e-4)
    assert changes[3:] == pytest.approx([LAST_LAYER * share] * 2, rel=1e-4)


@settings(max_examples=30, deadline=None)
@given(st.floats(1e2, 1e8), st.floats(1e-3, 0.5), st.integers(0, 99))
def test_a_steep_network_takes_a_smaller_share(scale: float, share: float, seed: int) -> None:
    weights, gradients = _tensors(seed), [g * scale for g in _tensors(seed + 100)]
    rates = relative_rates(NAMES, weights, [gradients], share=share, epochs=1, last="head")
    fall = sum(float(a * g.norm() ** 2) for a, g in zip(rates, gradients, strict=True))
    assert fall == pytest.approx(share * STEEPEST, rel=1e-4)


def test_a_bias_of_zero_moves_the_loss_no_more_than_the_median_tensor() -> None:
    weights, gradients = _tensors(0), _tensors(1)
    weights[1].zero_()
    gradients[1] *= 100.0
    rates = relative_rates(NAMES, weights, [gradients], share=0.1, epochs=1, last="head")
    falls = [float(a * g.norm() ** 2) for a, g in zip(rates, gradients, strict=True)]
    assert falls[1] == pytest.approx(sorted(falls[:1] + falls[2:])[1], rel=1e-4)


def test_most_tensors_without_a_gradient_leave_the_last_layer_its_share() -> None:
    weights, gradients = _tensors(0), _tensors(1)
    for number in range(3):
        gradients[number] *= 1e-6  # as behind a layer scale
    rates = relative_rates(NAMES, weights, [gradients], share=0.02, epochs=1, last="head")
    change = float(rates[3] * gradients[3].norm() / weights[3].norm())
    assert change == pytest.approx(0.02 * LAST_LAYER, rel=1e-4)


def test_the_share_is_that_of_all_steps_together() -> None:
    weights, gradients = _tensors(0), _tensors(1)
    one = relative_rates(NAMES, weights, [gradients], share=0.1, epochs=1, last="head")
    nine = relative_rates(NAMES, weights, [gradients] * 3, share=0.1, epochs=3, last="head")
    torch.testing.assert_close(nine, one / 9)


def test_zero_tensors_take_their_layers_rate_or_the_median() -> None:
    weights, gradients = _tensors(0), _tensors(1)
    for number in (1, 2):
        weights[number].zero_()
    rates = relative_rates(NAMES, weights, [gradients], share=0.1, epochs=1, last="head")
    assert rates[1] == rates[0]
    assert rates[2] in (rates[0], rates[3] / LAST_LAYER, rates[4] / LAST_LAYER)


def test_a_gradient_of_next_to_nothing_does_not_make_a_rate_that_blows_up() -> None:
    weights, gradients = _tensors(0), _tensors(1)
    gradients[0] *= 1e-20
    rates = relative_rates(NAMES, weights, [gradients], share=0.1, epochs=1, last="head")
    assert rates[0] < 1e4 * rates[2]


def test_no_gradient_at_all_leaves_the_share() -> None:
    nothing = [torch.zeros_like(weight) for weight in _tensors(0)]
    assert relative_rates(NAMES, _tensors(0), [nothing], share=0.1, epochs=1, last="head").tolist() == [
        pytest.approx(0.1)
    ] * len(NAMES)
    assert float(relative_rate(_tensors(0), [nothing], share=0.1, epochs=1)) == pytest.approx(0.1)


@pytest.mark.parametrize("rates", ["tensor", "step"])
@pytest.mark.parametrize(
    ("backbone", "norm"), [("paper/vgg16/8", "none"), ("test_resnet", "as_is"), ("test_vit", "as_is")]
)
def test_first_inner_step_changes_any_network_by_about_its_share(backbone: str, norm: str, rates: str) -> None:
    network = build(backbone, norm=norm, input_size=32)
    initialise(network, 0)
    start = [parameter.detach().clone() for parameter in network.parameters()]
    learner = Distillation(
        network,
        noise_images(steps=1, images=3, side=32, seed=0),
        initial_labels("one_hot", 3),
        inner_lr=0.05,
        settings=DistillSettings(rates=rates),  # type: ignore[arg-type]  # one of its two
        seed=0,
        device=CPU,
    )
    after = learner.weights(learner.state())
    change = torch.stack([(a - b).norm() for a, b in zip(after, start, strict=True)]).norm()
    share = float(change / torch.stack([weight.norm() for weight in start]).norm())
    assert share == pytest.approx(0.05, rel=0.01) if rates == "step" else 0.002 < share < 0.5


def test_absolute_rates_are_what_they_say() -> None:
    network = build("test_resnet", input_size=32)
    learner = Distillation(
        network,
        noise_images(steps=2, images=3, side=32, seed=0),
        initial_labels("one_hot", 3),
        epochs=2,
        inner_lr=0.07,
        settings=DistillSettings(rate_unit="absolute"),
        seed=0,
        device=CPU,
    )
    rates = learner.state()["rates"]
    assert rates.shape == (2, 2, len(list(network.parameters())))
    torch.testing.assert_close(rates, torch.full_like(rates, 0.07))


def test_rates_are_by_the_mean_norm_over_batches_and_shared_by_all_steps() -> None:
    weights, gradients = _tensors(0), _tensors(1)
    once, twice, thrice = ([factor * g for g in gradients] for factor in (1, 2, 3))
    share = {"share": 0.1, "epochs": 1}
    mixed, even = ([once, thrice], [twice, twice])
    one, other = (relative_rates(NAMES, weights, each, last="head", **share) for each in (mixed, even))  # type: ignore[arg-type]
    torch.testing.assert_close(one, other)
    torch.testing.assert_close(relative_rate(weights, mixed, **share), relative_rate(weights, even, **share))  # type: ignore[arg-type]
    nine, single = relative_rate(weights, [once] * 3, share=0.1, epochs=3), relative_rate(weights, [once], **share)  # type: ignore[arg-type]
    torch.testing.assert_close(nine, single / 9)
