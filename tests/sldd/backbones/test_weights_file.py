"""Files of weights as training scripts leave them: found under any prefix or wrapper, or refused with its name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from sldd.backbones.registry import build
from sldd.backbones.start import set_start
from sldd.errors import InputError

Weights = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def weights() -> Weights:
    torch.manual_seed(0)
    return {name: value.detach() for name, value in timm.create_model("test_resnet").state_dict().items()}


def _started(path: Path) -> dict[str, torch.Tensor]:
    network: nn.Module = build("test_resnet", input_size=32)
    set_start(network, backbone="test_resnet", start=str(path), seed=3)
    return dict(network.named_parameters())


def _under(prefix: str) -> Callable[[Weights], Any]:
    return lambda weights: {prefix + name: value for name, value in weights.items()}


FOUND: dict[str, Callable[[Weights], Any]] = {
    "module.": _under("module."),
    "backbone.": _under("backbone."),
    "encoder.": _under("encoder."),
    "model.": _under("model."),
    "_orig_mod.": _under("_orig_mod."),
    "module._orig_mod.": _under("module._orig_mod."),
    "in model": lambda weights: {"model": weights, "epoch": 3},
    "in state_dict": lambda weights: {"state_dict": weights, "optimizer": {"lr": 1}},
    "in model_state_dict": lambda weights: {"model_state_dict": weights},
    "in net": lambda weights: {"net": weights, "acc": 0.5},
    "in model, module.": lambda weights: {"model": _under("module.")(weights)},
    "in model and state_dict": lambda weights: {"model": {"state_dict": weights}},
    "lightning": lambda weights: {"state_dict": _under("model.")(weights) | {"criterion.weight": torch.ones(2)}},
    "contrastive": lambda weights: {"state_dict": _under("module.encoder.")(weights) | {"module.queue": torch.ones(2)}},
    "with its optimiser's averages": lambda weights: {"state_dict": weights, "state_dict_ema": weights},
    "half precision": lambda weights: {name: value.half() for name, value in weights.items()},
}


@pytest.mark.parametrize("kind", FOUND)
def test_weights_are_found(tmp_path: Path, weights: Weights, kind: str) -> None:
    torch.save(FOUND[kind](weights), tmp_path / "start.pt")
    found, tolerance = _started(tmp_path / "start.pt"), 1e-3 if kind == "half precision" else 0
    for name in ("layer1.0.conv1.weight", "layer4.0.conv2.weight", "bn1.weight"):
        assert (found[name] - weights[name]).abs().max() <= tolerance
    assert (found["conv1.0.weight"] - weights["conv1.0.weight"].sum(1, keepdim=True)).abs().max() <= tolerance * 10


@pytest.mark.parametrize("prefix", ["module.", "base_model.model."])
def test_prefixes_in_safetensors(tmp_path: Path, weights: Weights, prefix: str) -> None:
    save_file(_under(prefix)(weights), tmp_path / "start.safetensors")
    assert torch.equal(
        _started(tmp_path / "start.safetensors")["layer4.0.conv2.weight"], weights["layer4.0.conv2.weight"]
    )


def _changed(name: str, value: torch.Tensor) -> Callable[[Weights], Any]:
    return lambda weights: weights | {name: value}


LAYER = "layer4.0.conv2.weight"
REFUSED: dict[str, tuple[Callable[[Weights], Any], str]] = {
    "two encoders": (
        lambda weights: _under("encoder_q.")(weights) | _under("encoder_k.")(weights),
        "hold this network under encoder_q. and under encoder_k.",
    ),
    "two sets": (lambda weights: {"model": weights, "net": weights}, "holds weights as model and as net; save one"),
    "other groups": (lambda weights: {"student": weights, "teacher": weights}, "it has student, teacher: save one"),
    "another backbone": (
        lambda weights: {f"module.{name}x": value for name, value in weights.items()},
        "is missing (all names in it begin with module.)",
    ),
    "nan": (lambda weights: weights | {LAYER: weights[LAYER] * torch.nan}, f"layer {LAYER} is not finite"),
    "inf": (lambda weights: weights | {LAYER: weights[LAYER] / 0}, f"layer {LAYER} is not finite"),
    "one nan": (
        lambda weights: weights | {LAYER: weights[LAYER].index_fill(0, torch.tensor([0]), torch.nan)},
        f"layer {LAYER} is not finite",
    ),
    "too large for float32": (
        lambda weights: weights | {LAYER: weights[LAYER].double() * 1e300},
        f"layer {LAYER} is not finite",
    ),
    "whole numbers": (
        lambda weights: weights | {LAYER: (weights[LAYER] * 100).to(torch.int8)},
        f"layer {LAYER} is torch.int8",
    ),
    "nothing": (lambda _: {}, "holds no weights by name"),
    "an optimiser": (
        lambda _: {"optimizer": {"lr": 1.0}},
        "holds no weights by name (a state dictionary); it has optim",
    ),
    "a network": (lambda _: nn.Linear(1, 1), "it holds more than tensors by name"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_not_one_set_of_weights_is_refused(tmp_path: Path, weights: Weights, kind: str) -> None:
    make, says = REFUSED[kind]
    torch.save(make(weights), tmp_path / "start.pt")
    with pytest.raises(InputError) as caught:
        _started(tmp_path / "start.pt")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "a pointer of Git LFS"),
        (b"<!DOCTYPE html><html></html>", "a page of the web"),
        (b"", "not readable as weights"),
    ],
)
@pytest.mark.parametrize("ending", [".pt", ".safetensors"])
def test_what_lies_there_instead_is_named(tmp_path: Path, content: bytes, says: str, ending: str) -> None:
    (tmp_path / f"start{ending}").write_bytes(content)
    with pytest.raises(InputError, match=says):
        _started(tmp_path / f"start{ending}")
