"""Networks, starts and budgets that are compared on real films (``benchmarks.distillation.lungs``)."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.torch import save

from benchmarks.runs_file import plain
from sldd.backbones.imagenet import imagenet_start
from sldd.backbones.start import NEAR_LINEAR, SEEDED, XAVIER
from sldd.distillation.image_learner import DistillSettings
from sldd.errors import InputError
from sldd.io.atomic_file import write_file
from sldd.ops.digest import digest
from sldd.training.pretext import PretextSettings, read_films, train_start

PRETEXT = PretextSettings(patch=75 / 512)
# As measured in docs/lungs.md, before rates by tensor.
ONE_RATE = DistillSettings(rates="step", rate_unit="absolute", rate_lr=1.0, clip=None, average=0.0)
HEAD = replace(ONE_RATE, image_init="real", inner_weights="head", label_update="gradient")
# Today's defaults; and with pink noise, with a bank that a slower network fills in the same time.
SOLVED = DistillSettings(inner_weights="head")
LITE = DistillSettings(image_init="pink", inner_weights="head", feature_bank=6000)


@dataclass(frozen=True)
class Variant:
    """A configuration of training or distillation."""

    backbone: str = "convnet_w32"
    method: str = "sldd"
    start: str = XAVIER
    """A seeded start, or ``pretext`` or ``imagenet``: a file, made first."""
    input_size: int = 48
    steps: int = 1000
    batch_size: int = 96
    statistics_batches: int = 10
    outer_lr: float = 0.05
    inner_lr: float = 0.02
    epochs: int = 1
    distill: DistillSettings = field(default_factory=lambda: replace(ONE_RATE, image_init="real"))

    def start_in(self, folder: str | Path) -> str:
        """The start as ``set_start`` takes it."""
        if self.start in SEEDED:
            return self.start
        return str(Path(folder) / f"{self.start}-{self.backbone}-{self.input_size}.safetensors")

    def make_start(self, folder: Path, films: Path) -> None:
        """Make the start's file, unless it is there.

        Raises:
            InputError: it is there, and was made of other films or by other settings; or it cannot be made.
        """
        if self.start in SEEDED:
            return
        path = Path(self.start_in(folder))
        had = self.made_of(folder)
        if path.exists() and had is None:  # of before files said what they are made of: counts as of these films
            return
        shown = [] if self.start == "imagenet" else read_films(films)
        made_of = digest(asdict(self._pretext), [*map(_content, shown)]) if shown else self.start
        if not path.exists():
            weights = train_start(shown, self._pretext) if shown else imagenet_start(self.backbone)
            tensors = {name: value.contiguous() for name, value in weights.items()}
            write_file(path, save(tensors, {"made_of": made_of}), option="--keep")
        elif had != made_of:
            raise InputError(f"{path}: made of other films than {films}, or by other settings; choose another --keep")

    @property
    def _pretext(self) -> PretextSettings:
        return replace(PRETEXT, backbone=self.backbone, input_size=self.input_size)

    def made_of(self, folder: str | Path) -> str | None:
        """What the start's file says of the films and settings that it is made of; None where it does not."""
        path = Path(self.start_in(folder))
        if self.start in SEEDED or not path.exists():
            return None
        with safe_open(path, "pt") as file:
            known: dict[str, str] = file.metadata() or {}
        return known.get("made_of")

    def definition(self, folder: str | Path) -> dict[str, Any]:
        """What its runs from the starts in a folder are of, as plain values."""
        found: dict[str, Any] = plain(asdict(self) | {"made_of": self.made_of(folder)})
        return found

    def compares_fairly(self, other: Variant) -> bool:
        """Whether the other is ordinary training of the same network from the same start, and this one is not."""
        places = [(each.backbone, each.input_size, each.start) for each in (self, other)]
        return (self.method, other.method) == ("sldd", "train") and places[0] == places[1]


def _content(film: np.ndarray) -> list[Any]:
    return [film.shape, str(film.dtype), hashlib.sha256(film.tobytes()).hexdigest()]


VARIANTS = {
    "train": Variant(method="train", outer_lr=0.003, steps=600),
    "train_pretext": Variant(method="train", start="pretext", outer_lr=0.003, steps=600),
    "sldd": Variant(start="pretext", steps=6000, batch_size=510, distill=HEAD),
    "head": Variant(steps=6000, batch_size=510, distill=HEAD),
    "solved": Variant(steps=2000, batch_size=510, distill=SOLVED),
    "defaults": (defaults := Variant(steps=2000, outer_lr=0.03, distill=DistillSettings())),
    "near_linear": replace(defaults, start=NEAR_LINEAR),
    "all_weights": Variant(),
    "noise": Variant(distill=ONE_RATE),
    "naive": Variant(backbone="test_resnet", outer_lr=0.02, distill=ONE_RATE),
    "naive_train": Variant(backbone="test_resnet", method="train", outer_lr=0.002, steps=600),
    "lite": (
        lite := Variant(
            "tf_efficientnet_lite0", input_size=64, steps=2000, batch_size=510, statistics_batches=2, distill=LITE
        )
    ),
    "lite_pretext": replace(lite, start="pretext"),
    "lite_imagenet": replace(lite, start="imagenet"),
}
