"""Starts: Xavier, published weights, a file; what does not fit is named by its layer."""

from __future__ import annotations

from pathlib import Path
from urllib.error import URLError

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from sldd.backbones.init import initialise, layer_fingerprints
from sldd.backbones.registry import build
from sldd.backbones.start import SEEDED, check_start, copy_weights, set_start
from sldd.errors import InputError


def _gray() -> nn.Module:
    return build("test_resnet", input_size=32)


def _colour_weights() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {name: value.detach() for name, value in timm.create_model("test_resnet").named_parameters()}


@pytest.mark.parametrize("ending", [".safetensors", ".pt", ".pth"])
def test_a_file_for_other_classes_and_colours(tmp_path: Path, ending: str) -> None:
    weights = _colour_weights()
    path = tmp_path / f"elsewhere{ending}"
    if ending == ".safetensors":
        save_file(weights, path)
    else:
        torch.save({"state_dict": weights} if ending == ".pth" else weights, path)
    network, xavier = _gray(), _gray()
    set_start(network, backbone="test_resnet", start=str(path), seed=3)
    initialise(xavier, 3)
    found, drawn = dict(network.named_parameters()), dict(xavier.named_parameters())
    assert torch.equal(found["conv1.0.weight"], weights["conv1.0.weight"].sum(1, keepdim=True))
    assert torch.equal(found["layer4.0.conv2.weight"], weights["layer4.0.conv2.weight"])
    assert torch.equal(found["fc.weight"], drawn["fc.weight"])  # a thousand classes there, three here


def test_a_gray_image_looks_as_it_did_in_colour() -> None:
    gray, colour = nn.Conv2d(1, 2, 3, bias=False), nn.Conv2d(3, 2, 3, bias=False)
    with torch.no_grad():
        gray.weight.copy_(colour.weight.sum(1, keepdim=True))
    image = torch.randn(1, 1, 8, 8)
    assert torch.allclose(gray(image), colour(image.expand(-1, 3, -1, -1)), atol=1e-6)


def test_published_weights_come_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = _colour_weights()
    asked = []

    def create_model(name: str, pretrained: bool = False) -> nn.Module:
        asked.append((name, pretrained))
        network = original("test_resnet")
        network.load_state_dict(weights, strict=False)
        return network

    original = timm.create_model
    network = _gray()
    monkeypatch.setattr("sldd.backbones.start.timm.create_model", create_model)
    set_start(network, backbone="test_resnet", start="pretrained", seed=0)
    assert asked == [("test_resnet", True)]
    assert torch.equal(dict(network.named_parameters())["layer4.0.conv2.weight"], weights["layer4.0.conv2.weight"])


@pytest.mark.parametrize("error", [OSError("no network"), URLError(OSError("no network"))])
def test_without_a_network_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch, error: OSError) -> None:
    def offline(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("sldd.backbones.start.timm.create_model", offline)
    with pytest.raises(InputError, match=r"weights of test_resnet \(no network\).*say where it is: pretrained="):
        set_start(nn.Linear(1, 1), backbone="test_resnet", start="pretrained", seed=0)


def test_a_layer_that_does_not_fit_is_named(tmp_path: Path) -> None:
    weights = _colour_weights()
    weights["layer2.0.conv1.weight"] = torch.zeros(1, 2, 3, 3)
    save_file(weights, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match=r"layer layer2\.0\.conv1\.weight has shape \(1, 2, 3, 3\), not \(48, 32"):
        set_start(_gray(), backbone="test_resnet", start=str(tmp_path / "other.safetensors"), seed=0)
    del weights["layer2.0.conv1.weight"]
    save_file(weights, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match=r"layer layer2\.0\.conv1\.weight is missing"):
        set_start(_gray(), backbone="test_resnet", start=str(tmp_path / "other.safetensors"), seed=0)


def test_a_file_without_its_classifier_is_a_start_and_one_without_a_body_layer_as_wide_is_none() -> None:
    network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Flatten(), nn.Linear(12, 3))
    weights = {"0.weight": torch.ones(3, 1, 3, 3), "0.bias": torch.ones(3)}
    copy_weights(network, weights, where="f", classes=3)
    assert torch.equal(network.get_parameter("0.bias"), weights["0.bias"])
    del weights["0.bias"]
    with pytest.raises(InputError, match=r"layer 0\.bias is missing in the weights of f"):
        copy_weights(network, weights, where="f", classes=3)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.pt", None, "there is no such file"),
        ("text.pt", b"hello", "not readable as weights"),
        ("text.safetensors", b"hello", "not readable as weights"),
    ],
)
def test_unreadable_files(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        set_start(_gray(), backbone="test_resnet", start=str(tmp_path / name), seed=0)


def test_a_file_that_holds_something_else(tmp_path: Path) -> None:
    torch.save([torch.zeros(1)], tmp_path / "list.pt")
    with pytest.raises(InputError, match="holds no weights by name"):
        set_start(_gray(), backbone="test_resnet", start=str(tmp_path / "list.pt"), seed=0)


def test_another_start_is_named_by_its_first_layer() -> None:
    network = _gray()
    initialise(network, 0)
    prints = layer_fingerprints(network)
    check_start(network, prints, "package")
    with torch.no_grad():
        network.get_parameter("layer3.0.conv2.weight")[0, 0, 0, 0] += 1e-3
    with pytest.raises(InputError, match=r"package: its start has another layer layer3\.0\.conv2\.weight; use"):
        check_start(network, prints, "package")


def test_layouts_of_our_own_have_no_published_weights() -> None:
    with pytest.raises(InputError, match=r"nobody publishes weights of convnet_w32; name a file: pretrained="):
        set_start(build("convnet_w32", input_size=16), backbone="convnet_w32", start="pretrained", seed=0)


def test_a_colour_network_takes_three_channel_weights_as_they_are_and_no_gray_ones() -> None:
    weights = dict(build("test_resnet", input_size=32, channels=3).named_parameters())
    gray, colour = build("test_resnet", input_size=32), build("test_resnet", input_size=32, channels=3)
    (name, first), *_ = weights.items()
    copy_weights(colour, weights, where="f")
    assert torch.equal(colour.get_parameter(name), first)
    copy_weights(gray, weights, where="f")
    assert torch.equal(gray.get_parameter(name), first.sum(1, keepdim=True))
    with pytest.raises(InputError, match=r"weights of f are of a network for gray films.*set data\.channels=gray"):
        copy_weights(colour, dict(gray.named_parameters()), where="f")


def test_near_linear_starts_are_less_steep() -> None:
    """What they are for: to first order, the loss falls by less when all tensors change by a share of their norm."""
    steepness = {}
    for start in SEEDED:
        network = build("paper/resnet34/8", input_size=96).train()
        set_start(network, backbone="paper/resnet34/8", start=start, seed=0)
        images = torch.randn(3, 1, 96, 96, generator=torch.Generator().manual_seed(0))
        torch.nn.functional.cross_entropy(network(images), torch.arange(3)).backward()
        found = [(weight.detach(), weight.grad) for weight in network.parameters() if weight.ndim == 4]
        steepness[start] = sum(float(weight.norm() * grad.norm()) for weight, grad in found if grad is not None)
    assert steepness["near_linear"] < steepness["xavier"] / 3
