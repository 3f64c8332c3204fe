"""Methods by name: what ``grid.method`` chooses from. A new one is a file here and a line of ``METHODS``."""

from __future__ import annotations

from torch import nn

from sldd.training.dp_sgd import refusal
from study.config.methods.base import Method
from study.config.methods.core_sets import HERDING, HERDING_HARD, K_CENTER, K_CENTER_HARD
from study.config.methods.dc import DC, DC_SOFT
from study.config.methods.dd import DD
from study.config.methods.dm import DM
from study.config.methods.frepo import FREPO, FREPO_HARD
from study.config.methods.mtt import MTT, MTT_SOFT
from study.config.methods.random_real import RANDOM_REAL, RANDOM_REAL_HARD
from study.config.methods.sldd import SLDD
from study.config.methods.train import TRAIN

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        SLDD,
        DD,
        *(RANDOM_REAL, RANDOM_REAL_HARD, HERDING, HERDING_HARD, K_CENTER, K_CENTER_HARD),
        *(DM, DC, DC_SOFT, FREPO, FREPO_HARD, MTT, MTT_SOFT),
        TRAIN,
    )
}


def private_refusal(name: str, network: nn.Module, image_init: str) -> str | None:
    """Why a method cannot give a private result; None where it can."""
    if METHODS[name].private:
        return refusal(network, image_init)
    able = " or ".join(method.name for method in METHODS.values() if method.private)
    return f"privacy: {name} has no private version; use {able}, or privacy.noise=null"
