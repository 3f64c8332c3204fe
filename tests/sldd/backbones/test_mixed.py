"""Weights copied from another collection's network, and several bodies under one classifier."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sldd.backbones.init import initialise, layer_fingerprints
from sldd.backbones.mixed import Mixed, build_mixed, carry_over, set_mixed_start
from sldd.backbones.registry import build, parameter_count
from sldd.backbones.start import PRETRAINED
from sldd.errors import InputError


def _network(classes: int, seed: int) -> nn.Module:
    network = build("test_resnet", input_size=32, norm="as_is", classes=classes)
    initialise(network, seed)
    return network


def _weights(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in network.named_parameters()}


@pytest.mark.parametrize("classes", [3, 5])
def test_all_but_the_classifier_is_carried_over(classes: int) -> None:
    given, network = _network(3, seed=1), _network(classes, seed=2)
    own = layer_fingerprints(network)
    carry_over(network, _weights(given), where="cell/0", classes=classes)
    found, theirs = layer_fingerprints(network), layer_fingerprints(given)
    assert found["fc.weight"] == own["fc.weight"] != theirs["fc.weight"], "the same number of other findings"
    assert {name: value for name, value in found.items() if not name.startswith("fc.")} == {
        name: value for name, value in theirs.items() if not name.startswith("fc.")
    }


def test_weights_of_another_backbone_are_refused() -> None:
    with pytest.raises(InputError, match=r"grid.start: layer conv1.0.weight is missing in the weights of cell/0"):
        carry_over(_network(3, seed=0), {}, where="cell/0", classes=3)


def test_a_mixed_model_gives_all_features_to_one_classifier() -> None:
    network = build_mixed("test_resnet", 2, input_size=32, norm="as_is", classes=4)
    first, second = _network(3, seed=1), _network(3, seed=2)
    set_mixed_start(network, [_weights(first), _weights(second)], backbone="test_resnet", seed=3)
    network.eval(), first.eval(), second.eval()
    images = torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    features = []
    for each in (first, second):
        each.set_submodule("fc", nn.Identity())
        features.append(each(images))
    expected = network.classifier(torch.cat(features, 1))
    torch.testing.assert_close(network(images), expected)
    assert expected.shape == (2, 4)
    bodies = sum(parameter_count(each) for each in (first, second))
    assert parameter_count(network) == bodies + parameter_count(network.classifier)


def test_the_start_of_a_mixed_model_is_known(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "weights.pt"
    torch.save(_weights(_network(3, seed=1)), path)
    found = []
    for _ in range(2):
        network = build_mixed("test_resnet", 2, input_size=32, norm="as_is", classes=4)
        starts = [PRETRAINED, _weights(_network(3, seed=2))]
        set_mixed_start(network, starts, backbone="test_resnet", seed=5, pretrained=str(path))
        found.append(layer_fingerprints(network))
    assert found[0] == found[1]
    assert found[0]["bodies.0.conv1.0.weight"] == layer_fingerprints(_network(3, seed=1))["conv1.0.weight"]


def test_a_network_without_features_cannot_be_mixed() -> None:
    with pytest.raises(InputError, match="a mixed model needs features"):
        Mixed([nn.Sequential(nn.Conv2d(1, 3, 3), nn.AdaptiveAvgPool2d(1))] * 2, classes=3)
