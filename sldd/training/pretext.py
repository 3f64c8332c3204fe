"""Self-supervised pretraining: a start that two hospitals can share, from public radiographs, without labels.

    python -m sldd.training.pretext FOLDER --out start.safetensors
    python -m sldd.training.pretext FOLDER --backbone resnet18 --input-size 224 --patch 0.1 --out start.safetensors
    python -m study.run lungs data.root=DIR name=ours grid.start='[start.safetensors]'
    python -m sldd.training.pretext FOLDER --backbone resnet18 test_vit paper/vgg16 --out starts
    python -m study.run cohort data.root=DIR name=ours grid.start=pretrained pretrained=starts

The network learns to say where in a radiograph a patch was cut out, and of which (Doersch et al. 2015 let it place two
patches to each other). What it needs for that, its first layers, is then a better start than random weights.
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save

from sldd.backbones.head import Head
from sldd.backbones.init import initialise
from sldd.backbones.registry import build, check_name
from sldd.errors import InputError
from sldd.io.atomic_file import check_output, write_file
from sldd.io.film import CHANNELS, ChannelsError, Colours, channels_of
from sldd.io.radiograph import read_film
from sldd.ops.dispatch import Kernels
from sldd.ops.pixels import planes
from sldd.rng import stream
from sldd.sources.film_files import find_films
from sldd.training.learner import apply_gradients

_FILM_WEIGHT = 0.5
"""Weight of telling films apart beside telling places apart."""


@dataclass(frozen=True)
class PretextSettings:
    """What is learned from, and for how long."""

    backbone: str = "convnet_w32"
    input_size: int = 48
    patch: float = 0.15
    """Side of a patch as a share of the film's shorter side; up to a fifth more or less."""
    places: int = 4
    """Rows and columns of the grid over a film in whose cells a patch is placed."""
    steps: int = 1000
    batch_size: int = 96
    rate: float = 0.002
    """Adam's rate at first, falling to zero along half a cosine."""
    seed: int = 0


def read_films(folder: Path, channels: int = 1) -> list[np.ndarray]:
    """All films below a folder, in the order of their names; masks and hidden files are none (``find_films``).

    Args:
        channels: as of ``read_film``.

    Raises:
        InputError: there is none, or one cannot be read.
    """
    paths = find_films(folder).paths
    films = []
    for number, path in enumerate(paths, 1):
        try:
            films.append(read_film(path, channels).pixels)
        except InputError as error:
            hint = "; leave out --channels" if isinstance(error, ChannelsError) else ""
            raise InputError(f"{folder}: film {number} of {len(paths)} by name: {error}{hint}") from None
    return films


class PlacedPatches:
    """Patches cut anywhere out of films, standardised film by film, at any brightness.

    Args:
        films: (height, width) each, or (height, width, channels).
    """

    def __init__(self, films: list[np.ndarray], settings: PretextSettings) -> None:
        self._films, self._settings = films, settings
        self._scales = [(float(film.mean()), max(float(film.std()), 1e-6)) for film in films]

    def draw(self, number: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Batch ``number``: (batch, channels, input, input) patches, (batch,) places and (batch,) films."""
        random = stream(self._settings.seed, "pretext", number)
        cut = [self._cut(random) for _ in range(self._settings.batch_size)]
        images, places, films = zip(*cut, strict=True)
        return torch.cat(images), torch.tensor(places), torch.tensor(films)

    def _cut(self, random: np.random.Generator) -> tuple[torch.Tensor, int, int]:
        """A (1, channels, input, input) patch, its place (the number of a cell), and the number of its film."""
        settings = self._settings
        number = int(random.integers(len(self._films)))
        film, (mean, std) = self._films[number], self._scales[number]
        height, width = film.shape[:2]
        shorter = min(height, width)
        side = min(shorter, max(2, round(settings.patch * shorter * random.uniform(0.8, 1.2))))
        top, left = (int(random.integers(length - side + 1)) for length in (height, width))
        patch = planes(film[top : top + side, left : left + side])[None]
        size = (settings.input_size, settings.input_size)
        patch = F.interpolate(patch, size=size, mode="bilinear", antialias=True, align_corners=False)
        patch = (patch - mean) / std * random.uniform(0.7, 1.4) + random.normal(0, 0.3)
        row = int((top + side / 2) / height * settings.places)
        column = int((left + side / 2) / width * settings.places)
        return patch, row * settings.places + column, number


def train_start(films: list[np.ndarray], settings: PretextSettings, *, say: bool = False) -> dict[str, torch.Tensor]:
    """Weights by parameter name, all but those of the last layer, which says places and films and nothing more.

    Args:
        films: as of ``PlacedPatches``, all of as many channels.
        say: print the loss as it goes.

    Raises:
        InputError: the backbone is unknown, does not take patches of that size, or has no last layer that gives class
            scores.
    """
    places = settings.places**2
    channels, classes = channels_of(films[0]), places + len(films)
    network = build(settings.backbone, input_size=settings.input_size, channels=channels, classes=classes)
    initialise(network, settings.seed)
    last = Head(network).path
    network.train().requires_grad_(True)
    patches = PlacedPatches(films, settings)
    _check_side(network, channels, settings)
    optimiser = torch.optim.Adam(network.parameters())
    every = max(1, settings.steps // 20)
    hits = 0.0
    for number in range(settings.steps):
        images, place, film = patches.draw(number)
        with Kernels():
            scores = network(images)
        loss = F.cross_entropy(scores[:, :places], place) + _FILM_WEIGHT * F.cross_entropy(scores[:, places:], film)
        gradients = torch.autograd.grad(loss, list(network.parameters()), allow_unused=True, materialize_grads=True)
        rate = settings.rate * 0.5 * (1 + math.cos(math.pi * number / settings.steps))
        apply_gradients(optimiser, gradients, [rate])
        hits += float((scores[:, :places].argmax(1) == place).float().mean())
        if say and (number + 1) % every == 0:
            print(f"step {number + 1:>5} of {settings.steps}: {hits / every:.0%} of patches placed", flush=True)
        if (number + 1) % every == 0:
            hits = 0.0
    return {name: value.detach() for name, value in network.named_parameters() if not name.startswith(f"{last}.")}


def _check_side(network: torch.nn.Module, channels: int, settings: PretextSettings) -> None:
    side = settings.input_size
    try:
        with torch.no_grad():
            network(torch.zeros(2, channels, side, side))
    except (RuntimeError, ValueError, AssertionError) as error:  # a network may object to a size in any way
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"backbone {settings.backbone}: does not take {side} x {side} pixels ({reason})") from None


def main(arguments: list[str] | None = None) -> int:
    """``python -m sldd.training.pretext``; 2 where the films or the backbone cannot be used."""
    options = _parser().parse_args(arguments)
    settings = PretextSettings(
        input_size=options.input_size, patch=options.patch, steps=options.steps, seed=options.seed
    )
    try:
        outputs = _outputs(options.out, options.backbone)
        if not 0 < options.patch <= 1:
            raise InputError(f"--patch {options.patch:g}: a share of the film's shorter side, above 0 and at most 1")
        for name, least in (("steps", 1), ("threads", 1), ("input-size", 8)):
            if (given := getattr(options, name.replace("-", "_"))) < least:
                raise InputError(f"--{name} {given}: at least {least}")
        if _is_file(options.out):
            check_output(options.out)
        torch.set_num_threads(options.threads)
        films = read_films(options.films, CHANNELS[options.channels])
        for backbone, path in outputs.items():
            if len(options.backbone) > 1:
                print(f"{backbone} -> {path}", flush=True)
            weights = train_start(films, replace(settings, backbone=backbone), say=True)
            _make_folder(path.parent)
            write_file(path, save({name: value.contiguous() for name, value in weights.items()}))
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    use = "grid.start to this file" if _is_file(options.out) else "grid.start=pretrained and pretrained to this folder"
    print(f"{options.out}: set {use}; send it to whoever is to use the packages")
    return 0


def _parser() -> argparse.ArgumentParser:
    """The command's options; the defaults are those of ``PretextSettings``."""
    parser = argparse.ArgumentParser(
        prog="python -m sldd.training.pretext",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    default = PretextSettings()
    parser.add_argument("films", type=Path, metavar="FOLDER", help="radiographs, no manifest (docs/reading.md)")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="PATH", help="a .safetensors file, or a folder for one a backbone"
    )
    parser.add_argument(
        "--backbone",
        nargs="+",
        default=[default.backbone],
        metavar="NAME",
        help="as the study's grid.backbone; what the folder has already is left as it is (default: convnet_w32)",
    )
    for name, kind, words in (
        ("input-size", int, "pixels; as the study's patches.input_size"),
        ("patch", float, "side, as a share of the radiograph's shorter one"),
        ("steps", int, "steps of training"),
        ("seed", int, "of weights and patches"),
    ):
        usual = getattr(default, name.replace("-", "_"))
        parser.add_argument(f"--{name}", type=kind, default=usual, help=f"{words} (default: %(default)s)")
    parser.add_argument(
        "--channels", choices=get_args(Colours), default="gray", help="as the study's data.channels (default: gray)"
    )
    parser.add_argument(
        "--threads", type=int, default=1, help="of PyTorch; the weights differ with it in their last bits (default: 1)"
    )
    return parser


def _is_file(out: Path) -> bool:
    return out.suffix == ".safetensors"


def _outputs(out: Path, backbones: list[str]) -> dict[str, Path]:
    """Files to be written, by backbone: all in ``out``, or those that it has not yet where it is a folder."""
    if _is_file(out):
        if len(backbones) > 1:
            raise InputError(f"--out {out}: one file cannot hold {len(backbones)} networks; name a folder")
        return {backbones[0]: out}
    if out.is_file() or (out.suffix and not out.is_dir()):
        raise InputError(f"--out {out}: name a .safetensors file, or a folder")
    for backbone in backbones:
        check_name(backbone)
    paths = {backbone: out / f"{backbone}.safetensors" for backbone in backbones}
    return {backbone: path for backbone, path in paths.items() if not path.exists()}


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {folder}: cannot be made ({error.strerror})") from None


if __name__ == "__main__":
    sys.exit(main())
