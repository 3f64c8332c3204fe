from __future__ import annotations

import pytest
import torch
from timm.layers import RmsNorm2d
from torch import nn
from torch.nn.functional import cross_entropy

from sldd.backbones.registry import build
from sldd.backbones.start import NEAR_LINEAR, XAVIER, set_start
from sldd.backbones.traits import Traits, measure_traits


def _traits(network: nn.Module, side: int = 32) -> Traits:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(8, 1, side, side, generator=generator)
    return measure_traits(network, images, torch.arange(8) % 3, cross_entropy)


def _started(name: str, start: str = NEAR_LINEAR) -> nn.Module:
    network = build(name, input_size=32)
    set_start(network, backbone=name, start=start, seed=0)
    return network


@pytest.mark.parametrize(("name", "depth"), [("convnet_w32", 4), ("lenet", 5), ("resnet18", 18), ("resnet34", 34)])
def test_depth_is_what_the_name_says(name: str, depth: int) -> None:
    assert _traits(_started(name)).depth == depth


def test_a_shortcut_is_not_the_longest_way() -> None:
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.short = nn.Conv2d(1, 4, 1)
            self.long = nn.Sequential(*(nn.Conv2d(1 if number == 0 else 4, 4, 3, padding=1) for number in range(3)))
            self.head = nn.Linear(4, 3)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.head((self.short(images) + self.long(images)).mean((2, 3)))

    assert _traits(Branches()).depth == 4


def test_a_linear_network_is_linear_and_another_is_less() -> None:
    torch.manual_seed(0)
    linear = nn.Sequential(nn.Flatten(), nn.Linear(1024, 16), nn.Linear(16, 3))
    assert _traits(linear).linearity == pytest.approx(1.0, abs=1e-6)
    bent = nn.Sequential(nn.Flatten(), nn.Linear(1024, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 3))
    assert _traits(bent).linearity < 0.9


def test_width_is_the_geometric_mean_of_layers_before_the_last() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(1024, 4), nn.Linear(4, 16), nn.Linear(16, 3))
    assert _traits(network).width == pytest.approx(8.0)
    assert _traits(_started("convnet_w32")).width == pytest.approx(32.0)


@pytest.mark.parametrize("kernel", [3, 5, 9])
def test_a_single_convolution_sees_its_kernel(kernel: int) -> None:
    convolution = nn.Conv2d(1, 64, kernel, padding=kernel // 2)
    nn.init.normal_(convolution.weight)
    network = nn.Sequential(convolution, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 3))
    seen = _traits(network).receptive_field
    assert seen is not None
    assert 0.3 * kernel**2 < seen * 32**2 <= kernel**2


@pytest.mark.parametrize("side", [6, 7])
def test_the_receptive_field_is_that_of_the_unit_in_the_middle(side: int) -> None:
    """At an edge half of it would be cut off."""
    convolution = nn.Conv2d(1, 64, 15, stride=4, padding=7)
    nn.init.ones_(convolution.weight)
    network = nn.Sequential(convolution, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 3))
    seen = _traits(network, 4 * side).receptive_field
    assert seen is not None
    assert seen * (4 * side) ** 2 == pytest.approx(15**2, rel=1e-4)


def test_the_middle_of_tokens_is_that_of_their_square() -> None:
    class Tokens(nn.Module):
        """36 tokens of 4 x 4 pixels each, after a token of the class; each sees itself alone."""

        num_features, num_prefix_tokens = 16, 1

        def __init__(self) -> None:
            super().__init__()
            self.patches, self.head = nn.Conv2d(1, 16, 4, stride=4), nn.Linear(16, 3)
            self.scale = torch.ones(36)
            self.scale[3 * 6 + 3] = 0

        def forward_features(self, images: torch.Tensor) -> torch.Tensor:
            tokens = self.patches(images).flatten(2).mT * self.scale[:, None]
            return torch.cat([tokens.mean(1, keepdim=True), tokens], 1)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.head(self.forward_features(images)[:, 0])

    assert _traits(Tokens(), 24).receptive_field is None, "what is in the middle is always zero"


def test_behind_a_layer_norm_a_unit_sees_its_kernel() -> None:
    """There the sum of a unit's channels and the sum of their squares have no derivative but rounding errors."""

    class Normed(nn.Module):
        num_features = 64

        def __init__(self) -> None:
            super().__init__()
            self.convolution, self.norm = nn.Conv2d(1, 64, 5, padding=2), nn.LayerNorm(64)
            self.head = nn.Linear(64, 3)

        def forward_features(self, images: torch.Tensor) -> torch.Tensor:
            return self.norm(self.convolution(images).movedim(1, -1))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.head(self.forward_features(images).mean((1, 2)))

    network = Normed()
    nn.init.normal_(network.convolution.weight, generator=torch.Generator().manual_seed(0))
    seen = _traits(network).receptive_field
    assert seen is not None
    assert 0.6 * 5**2 < seen * 32**2 <= 5**2


@pytest.mark.parametrize("name", ["test_vit", "test_convnext"])
def test_the_receptive_field_is_no_rounding_error(name: str) -> None:
    def of(dtype: torch.dtype) -> float | None:
        network = _started(name).to(dtype)
        images = torch.randn(8, 1, 32, 32, generator=torch.Generator().manual_seed(0)).to(dtype)
        return measure_traits(network, images, torch.arange(8) % 3, cross_entropy).receptive_field

    assert of(torch.float32) == pytest.approx(of(torch.float64), rel=1e-3)


def test_attention_sees_more_than_a_convolution() -> None:
    vit, convnet = (_traits(_started(name)).receptive_field for name in ("test_vit", "convnet_w32"))
    assert vit is not None
    assert convnet is not None
    assert vit > 3 * convnet


def test_norms_are_told_apart() -> None:
    assert _traits(_started("resnet18")).batch_norm == 1
    assert _traits(_started("convnet_w32")).batch_norm == 0
    assert 0 < _traits(_started("mobilevit_xxs")).batch_norm < 1
    assert _traits(_started("lenet")).batch_norm == 0


def test_steepness_is_the_first_order_fall_and_near_linear_starts_are_gentler() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(1024, 3, bias=False))
    images, targets = torch.randn(8, 1, 32, 32), torch.arange(8) % 3
    found = measure_traits(network, images, targets, cross_entropy).steepness
    (weight,) = network.parameters()
    (gradient,) = torch.autograd.grad(cross_entropy(network(images), targets), weight)
    assert found == pytest.approx(float(weight.detach().norm() * gradient.norm()))
    assert _traits(_started("resnet34")).steepness < _traits(_started("resnet34", XAVIER)).steepness


def test_a_network_of_no_map_has_no_receptive_field() -> None:
    class Flat(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(1024, 3)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.head(images.reshape(len(images), -1))

    found = _traits(Flat())
    assert found.receptive_field is None
    assert (found.depth, found.width) == (1, 0.0)


class _Around(nn.Module):
    """A layer of one's own between a flat image and a last layer."""

    def __init__(self, inner: nn.Module, features: int) -> None:
        super().__init__()
        self.inner, self.head = inner, nn.Linear(features, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.inner(images.flatten(1)))


class _Summed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1024, 8))

    def forward(self, flat: torch.Tensor) -> torch.Tensor:
        return torch.einsum("bi,io->bo", flat, self.weight)


class _Attending(nn.Module):
    """Products of what was computed, behind a layer of weights."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1024, 8)

    def forward(self, flat: torch.Tensor) -> torch.Tensor:
        found = self.layer(flat)
        return (found @ found.T).softmax(1) @ found


class _Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.GRU(64, 8, batch_first=True)

    def forward(self, flat: torch.Tensor) -> torch.Tensor:
        return self.layer(flat.view(-1, 16, 64))[0][:, -1]


@pytest.mark.parametrize(
    ("inner", "features", "depth"), [(_Summed(), 8, 2), (_Attending(), 8, 2), (_Recurrent(), 8, None)]
)
def test_depth_counts_layers_of_weights(inner: nn.Module, features: int, depth: int | None) -> None:
    assert _traits(_Around(inner, features)).depth == depth


def test_width_is_of_outputs_and_the_same_for_any_number_of_layers() -> None:
    up = nn.Sequential(nn.Conv2d(1, 4, 1), nn.ConvTranspose2d(4, 64, 1), nn.Flatten(), nn.Linear(65536, 3))
    assert _traits(up).width == pytest.approx(16.0)
    widths = {
        _traits(nn.Sequential(nn.Flatten(), nn.Linear(1024, 32), *[nn.Linear(32, 32)] * more, nn.Linear(32, 3))).width
        for more in range(8)
    }
    assert widths == {32.0}


def test_other_norms_are_norms() -> None:
    maps = [nn.Conv2d(1, 4, 1), nn.BatchNorm2d(4), RmsNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    assert _traits(nn.Sequential(*maps, nn.RMSNorm(4), nn.Linear(4, 3))).batch_norm == pytest.approx(1 / 3)
