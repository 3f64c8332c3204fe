"""A start from unlabelled films: it learns places, is the same every time, and serves as a study's start."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from sldd.backbones.init import layer_fingerprints
from sldd.backbones.registry import build
from sldd.backbones.start import set_start
from sldd.errors import InputError
from sldd.training import pretext
from sldd.training.pretext import PlacedPatches, PretextSettings, read_films


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """Three films of 64 x 96 pixels that brighten to the right and are striped below."""
    folder = tmp_path / "films"
    random = np.random.default_rng(0)
    for number in range(3):
        pixels = np.add.outer(np.zeros(64), np.arange(96)) + random.integers(0, 9, (64, 96))
        pixels[32:] += 60 * (np.arange(96) // 4 % 2)
        (folder / f"{number % 2}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number % 2}" / f"{number}.png")
    (folder / "labels.csv").write_text("not a film")
    return folder


def test_a_patch_is_named_by_the_cell_that_its_middle_lies_in() -> None:
    rows, columns = np.mgrid[:64, :128]
    film = (rows // 16 * 40 + columns // 32 * 10).astype(np.uint8)  # a value tells its cell of the four by four
    patches = PlacedPatches([film, film.T.copy()], PretextSettings(input_size=8, patch=0.04, batch_size=200))
    images, places, which = patches.draw(0)
    assert images.shape == (200, 1, 8, 8)
    assert set(which.tolist()) == {0, 1}
    row, column = places // 4, places % 4
    values = torch.where(which == 0, row * 40 + column * 10, column * 40 + row * 10)
    together = torch.corrcoef(torch.stack([images.mean((1, 2, 3)), values.float()]))
    assert together[0, 1] > 0.9  # patches are brightened and darkened at random
    assert torch.equal(patches.draw(1)[0], patches.draw(1)[0])


def test_places_are_learned(films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "start.safetensors"
    command = [str(films), "--backbone", "convnet_w32", "--input-size", "16", "--patch", "0.2", "--out", str(out)]
    assert pretext.main([*command, "--steps", "60"]) == 0
    said = capsys.readouterr().out.splitlines()
    shares = [int(line.split(": ")[1].split("%")[0]) for line in said[:-1]]
    assert len(shares) == 20
    assert sum(shares[-5:]) > sum(shares[:5]) + 50
    once = out.read_bytes()
    assert pretext.main([*command, "--steps", "60"]) == 0
    assert out.read_bytes() == once

    network, xavier = (build("convnet_w32", input_size=16) for _ in range(2))
    set_start(network, backbone="convnet_w32", start=str(out), seed=3)
    set_start(xavier, backbone="convnet_w32", start="xavier", seed=3)
    found, drawn = layer_fingerprints(network), layer_fingerprints(xavier)
    differing = {name.split(".")[0] for name in found if found[name] != drawn[name]}
    assert differing == {name.split(".")[0] for name in load_file(out)} == {"0", "1", "4", "5", "8", "9"}


def test_folders_that_hold_no_films_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match=r"no PNG, JPEG, TIFF, DICOM, NIfTI or \.npy file in it"):
        read_films(tmp_path)
    (tmp_path / "ANNA.png").write_bytes(b"half a fi")
    assert pretext.main([str(tmp_path), "--out", str(tmp_path / "start.safetensors")]) == 2
    said = capsys.readouterr().err
    assert "film 1 of 1 by name: the image cannot be read" in said
    assert "ANNA" not in said
    assert pretext.main([str(tmp_path), "--out", str(tmp_path / "start.pt")]) == 2
    assert "name a .safetensors file" in capsys.readouterr().err
    assert pretext.main([str(tmp_path), "--out", str(tmp_path / "start.safetensors"), "--patch", "75"]) == 2
    assert "--patch 75: a share of the film's shorter side" in capsys.readouterr().err


def test_any_backbone_can_be_started(films: Path) -> None:
    weights = pretext.train_start(
        read_films(films), PretextSettings(backbone="test_resnet", input_size=32, steps=2, batch_size=6)
    )
    assert "fc.weight" not in weights
    assert all(bool(value.isfinite().all()) for value in weights.values())


def test_starts_of_several_networks_are_a_folder_that_goes_on(
    films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, options = tmp_path / "made" / "starts", ["--input-size", "28", "--steps", "2", "--backbone"]
    command = [str(films), "--out", str(out), *options]
    assert pretext.main([*command, "lenet", "paper/lenet"]) == 2
    assert "no backbone 'paper/lenet'" in capsys.readouterr().err
    assert not out.exists()
    assert pretext.main([str(films), "--out", str(tmp_path / "a.safetensors"), *options, "lenet", "test_vit"]) == 2
    assert "one file cannot hold 2 networks; name a folder" in capsys.readouterr().err
    assert pretext.main([*command, "lenet", "convnet_w32"]) == 0
    assert "grid.start=pretrained and pretrained to this folder" in capsys.readouterr().out
    made = {path.name: path.read_bytes() for path in out.iterdir()}
    assert made.keys() == {"lenet.safetensors", "convnet_w32.safetensors"}
    (out / "lenet.safetensors").write_bytes(b"as it was")
    assert pretext.main([*command, "lenet", "paper/resnet18/8"]) == 0
    assert (out / "lenet.safetensors").read_bytes() == b"as it was"
    assert (out / "paper" / "resnet18" / "8.safetensors").is_file()


def test_a_start_for_colour(films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "start.safetensors"
    command = [str(films), "--backbone", "lenet", "--input-size", "16", "--steps", "2", "--out", str(out)]
    command += ["--channels", "rgb"]
    assert pretext.main(command) == 2
    assert "film 1 of 3 by name: the image is gray; leave out --channels" in capsys.readouterr().err
    for path in films.rglob("*.png"):
        Image.merge("RGB", [Image.open(path)] * 3).save(path)
    assert pretext.main(command) == 0
    network = build("lenet", input_size=16, channels=3)
    set_start(network, backbone="lenet", start=str(out), seed=3)
    name, first = next(iter(network.named_parameters()))
    assert torch.equal(first, load_file(out)[name])
    assert first.shape[1] == 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--threads", "0"], "--threads 0: at least 1"),
        (["--input-size", "0"], "--input-size 0: at least 8"),
        (["--input-size", "9", "--backbone", "vgg11"], "backbone vgg11: does not take 9 x 9 pixels"),
    ],
)
def test_numbers_that_serve_no_network_are_refused(
    films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    assert pretext.main([str(films), "--out", str(tmp_path / "start.safetensors"), *options]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "start.safetensors").exists()
