import pytest
import torch
from torch.func import functional_call

from sldd.backbones.norms import keep_no_statistics
from sldd.backbones.registry import build
from sldd.distillation.unroll import Unroll
from sldd.ops.layout import channels_last, gains_in_training, to_channels_last
from sldd.training.compute import ComputeSettings, outer_gradient


@pytest.mark.parametrize("backbone", ["lenet", "convnet_w32", "test_resnet", "test_convnext", "test_vit"])
def test_logits_are_the_same_up_to_rounding(backbone: str) -> None:
    torch.manual_seed(0)
    network, images = build(backbone, input_size=32).eval(), torch.randn(6, 1, 32, 32)
    with torch.no_grad():
        expected = network(images)
        names, weights = zip(*network.named_parameters(), strict=True)
        turned = dict(zip(names, channels_last(list(weights)), strict=True))
        found = functional_call(network, turned, (images,))
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
        assert torch.equal(found, to_channels_last(network)(images)), (
            "to the same bits whichever way a network is laid out"
        )


def test_only_weights_of_convolutions_on_a_cpu_are_turned() -> None:
    kernel, matrix, elsewhere = torch.randn(8, 3, 3, 3), torch.randn(4, 3), torch.empty(4, 3, 3, 3, device="meta")
    turned = channels_last([kernel, matrix, elsewhere])
    assert turned[0].is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(turned[0], kernel)
    assert turned[1] is matrix
    assert turned[2] is elsewhere
    few = [torch.randn(6, 3, 3, 3), kernel]
    assert channels_last(few) is few, "fewer channels than a vector has places"
    network = torch.nn.Conv2d(3, 8, 3, device="meta")
    assert to_channels_last(network).weight.is_contiguous()
    assert to_channels_last(torch.nn.Linear(3, 4)).weight.is_contiguous()


@pytest.mark.parametrize(("backbone", "gains"), [("test_resnet", True), ("test_vit", True), ("convnet_w32", False)])
def test_gradients_lie_as_their_weights_do(backbone: str, gains: bool) -> None:
    network = build(backbone, input_size=32)
    assert gains_in_training(network) is gains
    keep_no_statistics(network)
    unroll, images = Unroll(network), torch.randn(6, 1, 32, 32)
    weights = [weight.clone().requires_grad_() for weight in unroll.start]
    assert not any(weight.ndim == 4 and not weight.is_contiguous() for weight in weights)
    _, found = outer_gradient(unroll.forward, weights, images, torch.arange(6) % 3, ComputeSettings())
    _, plain = outer_gradient(unroll.logits, weights, images, torch.arange(6) % 3, ComputeSettings())
    torch.testing.assert_close(found, plain, rtol=1e-3, atol=1e-4)
    assert all(part.stride() == weight.stride() for part, weight in zip(found, weights, strict=True))
