"""Gradient matching (Zhao et al. 2021) with Siamese augmentation (Zhao & Bilen 2021), labels fixed or learned."""

from dataclasses import replace

from sldd.distillation.alternatives.gradients import GradientMatching
from study.config.methods.matching import Matched

DC = Matched(
    name="dc",
    label="DC",
    learned=("images",),
    learns=GradientMatching,
    match_settings=("augment", "redraw", "network_"),
)
DC_SOFT = replace(DC, name="dc_soft", label="DC, soft labels", learned=("images", "labels"))
