"""A user's own network: what is random in training is off or refused, and so is what no package keeps."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sldd.backbones.own import own_network
from sldd.errors import InputError
from sldd.ops.types import InputSpec

SPEC = InputSpec(8, ("a", "b", "c"), 0.0, 1.0)


class Net(nn.Module):
    """Rows of an image as tokens; one layer, between two that are linear."""

    def __init__(self, layer: nn.Module | None = None) -> None:
        super().__init__()
        self.layer, self.head = layer or nn.Identity(), nn.Linear(64, 3)
        nn.init.zeros_(self.head.weight)  # gives the same whatever comes before

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = self.inside(x.squeeze(1))
        return self.head((found[0] if isinstance(found, tuple) else found).flatten(1))

    def inside(self, rows: torch.Tensor) -> torch.Tensor:
        return self.layer(rows)


class Functional(Net):
    def inside(self, rows: torch.Tensor) -> torch.Tensor:
        return F.dropout(rows, 0.5, self.training)


class Seldom(Net):
    """Skips a layer once in a while."""

    def inside(self, rows: torch.Tensor) -> torch.Tensor:
        return rows if self.training and torch.rand(()) < 0.3 else 2 * rows


class Idle(Net):
    """Draws a number, and does nothing with it."""

    def inside(self, rows: torch.Tensor) -> torch.Tensor:
        return rows + 0 * torch.rand(())


class Auxiliary(Net):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = super().forward(x)
        return (found, found) if self.training else found  # type: ignore[return-value]


class Maps(Net):
    """A layer on maps."""

    def inside(self, rows: torch.Tensor) -> torch.Tensor:
        return self.layer(rows[:, None])


@pytest.mark.parametrize(
    "network",
    [
        Net(nn.TransformerEncoderLayer(8, 2, 16, dropout=0.5, batch_first=True)),
        Net(nn.LSTM(8, 8, 2, dropout=0.5, batch_first=True)),
        Net(nn.Dropout(0.5)),
        Idle(),
        Maps(nn.BatchNorm2d(1)),
    ],
)
def test_dropout_is_off_and_training_changes_nothing(network: nn.Module) -> None:
    before, state = copy.deepcopy(network.state_dict()), torch.get_rng_state()
    own = own_network(network, SPEC).train()
    assert torch.equal(torch.get_rng_state(), state), "the user's random numbers stay as they were"
    assert all(torch.equal(value, before[name]) for name, value in own.state_dict().items())
    nn.init.normal_(own.get_parameter("head.weight"))
    assert torch.equal(*(own(torch.ones(2, 1, 8, 8)) for _ in range(2)))


@pytest.mark.parametrize(
    ("network", "says"),
    [
        (Functional(), "network Functional: is random in training mode, .*; take out what draws"),
        (Seldom(), "network Seldom: is random in training mode"),
        (Auxiliary(), r"gives a tuple for 2 x 1 x 8 x 8 images in training mode, not 2 x 3"),
        (Maps(nn.InstanceNorm2d(1, track_running_stats=True)), r"buffer layer\.running_mean changes in training mode"),
        (Maps(nn.BatchNorm2d(1, track_running_stats=False)), "batch norm layer keeps no statistics"),
    ],
)
def test_what_a_receiver_could_not_repeat_is_refused(network: nn.Module, says: str) -> None:
    with pytest.raises(InputError, match=says):
        own_network(network, SPEC)
