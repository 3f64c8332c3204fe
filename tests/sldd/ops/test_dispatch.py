import pytest
import torch
import torch.nn.functional as F

from sldd.ops.dispatch import Kernels


@pytest.mark.parametrize("arguments", [(2,), (3, 2, 1), ((2, 3), 2), (2, 2, 0, 1, True)])
def test_large_maps_are_pooled_faster_with_the_same_result(arguments):
    x = torch.randn(8, 3, 33, 32, generator=torch.Generator().manual_seed(0)).requires_grad_()
    with Kernels():
        ours = F.max_pool2d(x, *arguments)
        small = F.max_pool2d(x[:1], *arguments)
    assert "_MaxPool" in repr(ours.grad_fn)
    assert "_MaxPool" not in repr(small.grad_fn)
    assert torch.equal(ours, F.max_pool2d(x, *arguments))


@pytest.mark.parametrize(
    "layer",
    [
        torch.nn.Conv2d(4, 4, 3, groups=2),
        torch.nn.Conv2d(4, 4, 3, dilation=2),
        torch.nn.Conv2d(4, 4, 3, padding="same"),
        torch.nn.BatchNorm2d(4),
        torch.nn.BatchNorm2d(4).eval(),
        torch.nn.MaxPool2d(2, dilation=2),
        torch.nn.MaxPool2d(2, return_indices=True),
    ],
)
def test_what_is_not_written_here_stays_with_the_library(layer):
    x = torch.randn(2, 4, 60, 60)
    with Kernels():
        ours = layer(x)
    torch.testing.assert_close(ours, layer(x), rtol=0, atol=0)


@pytest.mark.parametrize("layer", [torch.nn.Conv2d(4, 6, 3, 2, 1), torch.nn.BatchNorm2d(4, track_running_stats=False)])
def test_other_layers_differ_by_rounding(layer):
    x = torch.randn(2, 4, 8, 8)
    with Kernels():
        ours = layer(x)
    assert "Member" in repr(ours.grad_fn) or "_BatchNorm" in repr(ours.grad_fn)
    torch.testing.assert_close(ours, layer(x))


def test_one_value_a_channel_is_refused_as_the_library_does():
    with Kernels(), pytest.raises(ValueError, match="more than 1 value per channel"):
        torch.nn.BatchNorm2d(4, track_running_stats=False)(torch.randn(1, 4, 1, 1))


def test_autocast_convolves_in_its_type():
    layer, x = torch.nn.Conv2d(4, 6, 3), torch.randn(2, 4, 8, 8)
    with torch.autocast("cpu", torch.bfloat16), Kernels():
        ours = layer(x)
        assert ours.dtype == torch.bfloat16
        gradients = torch.autograd.grad(ours.float().sum(), list(layer.parameters()))
    with torch.autocast("cpu", torch.bfloat16):
        theirs = layer(x)
    assert [gradient.dtype for gradient in gradients] == [torch.float32] * 2
    torch.testing.assert_close(ours, theirs, rtol=0.02, atol=0.02)
