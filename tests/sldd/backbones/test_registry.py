"""Backbones from timm and torchvision, gray in, three classes out, with any norm setting."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sldd.backbones.init import initialise
from sldd.backbones.norms import NORMS, batch_norms, keep_no_statistics
from sldd.backbones.registry import HardSigmoid, build, check_name, parameter_count
from sldd.distillation.unroll import Unroll
from sldd.errors import InputError


@pytest.mark.parametrize(
    "name", ["test_resnet", "test_vit", "test_efficientnet", "torchvision/resnet18", "torchvision/squeezenet1_1"]
)
def test_gray_in_three_classes_out(name: str) -> None:
    network = build(name, input_size=64)
    assert network.training
    assert network(torch.zeros(2, 1, 64, 64)).shape == (2, 3)
    with torch.device("meta"):
        assert parameter_count(network) == parameter_count(build(name, input_size=64))


# The literature's ConvNet for CIFAR-10 has 320,010 parameters; two thirds of its first layer are for colour.
@pytest.mark.parametrize(
    ("name", "size", "classes", "count"), [("lenet", 28, 10, 61_706), ("convnet", 32, 10, 320_010 - 2 * 9 * 128)]
)
def test_layouts_to_the_parameter(name: str, size: int, classes: int, count: int) -> None:
    network = build(name, input_size=size, classes=classes)
    assert parameter_count(network) == count
    assert network(torch.zeros(2, 1, size, size)).shape == (2, classes)


def test_torchvision_resnet18_to_the_parameter() -> None:
    # 11,689,512 as torchvision documents it, less the head (513,000) and two thirds of the stem, plus our head.
    assert (
        parameter_count(build("torchvision/resnet18", input_size=224)) == 11_689_512 - 513_000 - 2 * 64 * 49 + 513 * 3
    )


@pytest.mark.parametrize("name", ["torchvision/alexnet", "torchvision/convnext_tiny", "test_vit"])
def test_nothing_in_training_is_random(name: str) -> None:
    network = build(name, input_size=64)
    image = torch.ones(2, 1, 64, 64)
    assert torch.equal(network(image), network(image))


@pytest.mark.parametrize("name", ["test_vit", "mobilenetv3_small_050"])
def test_attention_and_hard_sigmoids_are_differentiated_twice(name: str) -> None:
    network = build(name, input_size=32)
    initialise(network, 0)
    keep_no_statistics(network)
    unroll = Unroll(network)
    theta = unroll.steps(torch.randn(1, 2, 1, 32, 32), torch.eye(3)[None, :2], torch.full((1, 1), 0.1))
    outer = torch.autograd.grad(
        unroll.forward(theta, torch.randn(4, 1, 32, 32)).square().sum(),
        theta,
        allow_unused=True,
        materialize_grads=True,
    )
    assert unroll.backward(outer).images.abs().sum() > 0


def test_hard_sigmoid_has_the_values_of_pytorchs() -> None:
    x = torch.linspace(-5, 5, 101)
    assert torch.allclose(HardSigmoid()(x), torch.nn.functional.hardsigmoid(x))


@pytest.mark.parametrize("norm", NORMS)
def test_norm_settings(norm: str) -> None:
    network = build("test_resnet", input_size=64, norm=norm)
    kept = len(batch_norms(network))
    assert (kept > 0) == (norm in ("as_is", "batch"))
    kinds = {"group": nn.GroupNorm, "instance": nn.InstanceNorm2d}
    if norm in kinds:
        assert any(isinstance(module, kinds[norm]) for module in network.modules())
    assert network(torch.randn(2, 1, 64, 64)).shape == (2, 3)


def test_batch_norm_is_added_after_every_convolution() -> None:
    network = build("torchvision/alexnet", input_size=64, norm="batch")
    convolutions = sum(isinstance(module, nn.Conv2d) for module in network.modules())
    assert len(batch_norms(network)) == convolutions == 5


def test_removing_batch_norm_keeps_the_activations() -> None:
    whole, without = (build("test_resnet", input_size=32, norm=norm) for norm in ("as_is", "none"))
    activations = [sum(isinstance(m, nn.ReLU) for m in network.modules()) for network in (whole, without)]
    assert activations[0] == activations[1]


@pytest.mark.parametrize("name", ["resnet81", "torchvision/vgg61", "test_resnett"])
def test_unknown_names_get_suggestions(name: str) -> None:
    with pytest.raises(InputError, match=rf"no backbone '{name}'; did you mean"):
        check_name(name)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("timm/resnet18.a1_in1k", "resnet18.a1_in1k"),
        ("hf-hub:timm/resnet18.a1_in1k", "resnet18.a1_in1k"),
        ("hf_hub:timm/resnet18.a1_in1k", "resnet18.a1_in1k"),
        ("resnet18.a1_in1k", "resnet18.a1_in1k"),
        ("timm/resnet18", "resnet18"),
        ("test_resnet.r160_in1k", "test_resnet.r160_in1k"),
    ],
)
def test_names_as_model_cards_have_them(name: str, found: str) -> None:
    assert check_name(name) == ("timm", found)


def test_a_card_builds_the_network_of_its_name() -> None:
    one, other = (build(name, input_size=32) for name in ("timm/test_resnet.r160_in1k", "test_resnet"))
    assert {name: value.shape for name, value in one.named_parameters()} == {
        name: value.shape for name, value in other.named_parameters()
    }


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("timm/resnet18.a1_in2k", r"timm has no weights 'resnet18\.a1_in2k'; there are resnet18\.a1_in1k"),
        ("resnet18.", r"no weights|no backbone"),
        ("timm/convnet_w32", "no backbone 'timm/convnet_w32'"),
        ("hf-hub:someone/resnet18", "no backbone 'hf-hub:someone/resnet18'"),
    ],
)
def test_cards_that_there_are_not(name: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        check_name(name)


@pytest.mark.parametrize(
    "name", ["lenet", "convnet_w32", "test_vit", "torchvision/alexnet", "paper/alexnet/8", "csatv2"]
)
def test_a_network_in_colour(name: str) -> None:
    gray, colour = (build(name, input_size=64, channels=channels).eval() for channels in (1, 3))
    with torch.no_grad():
        assert colour(torch.randn(2, 3, 64, 64)).shape == gray(torch.randn(2, 1, 64, 64)).shape == (2, 3)
