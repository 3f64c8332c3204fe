"""Networks, starts and budgets that are compared on real films (``benchmarks.distillation.lungs``)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from safetensors.torch import save_file

from sldd.backbones.imagenet import imagenet_start
from sldd.backbones.start import NEAR_LINEAR, SEEDED, XAVIER
from sldd.distillation.image_learner import DistillSettings
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
        """Make the start's file, unless it is there."""
        if self.start in SEEDED or (path := Path(self.start_in(folder))).exists():
            return
        if self.start == "imagenet":
            weights = imagenet_start(self.backbone)
        else:
            settings = replace(PRETEXT, backbone=self.backbone, input_size=self.input_size)
            weights = train_start(read_films(films), settings)
        save_file({name: value.contiguous() for name, value in weights.items()}, path)


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
