"""A report of `study.anonymity` as it is written: nothing found, and the controls as they must be."""

from __future__ import annotations

import copy
from typing import Any

from analysis.text.anonymity import FORMAT

MEASURES = ("pixel", "ssim", "feature")


def found(auc: float = 0.5, p: float = 0.6, held_out: int = 20) -> dict[str, Any]:
    """A group test that came to this."""
    return {
        "auc": auc, "auc_low": auc - 0.1, "auc_high": auc + 0.1, "p": p, "tpr": 0.05, "tpr_low": 0.0, "tpr_high": 0.15,
        "false_alarms": held_out // 100, "training": 20, "held_out": held_out,
    }  # fmt: skip


def subject(copies: int, p: float, matched: int | None = None) -> dict[str, Any]:
    """What the attacks on images say of the package's, or of a control's."""
    near = {
        "training": 0.41, "held_out": 0.4, "effect": found(), "highest": 0.45, "unseen": 0.6, "unseen_highest": 0.8,
        "beyond": copies, "copies": copies, "copy_p": p,
    }  # fmt: skip
    tied = {
        "images": 3, "chance": 0.5, "first": 2, "first_p": 0.4, "few": 0.53, "few_p": 0.4, "tied": copies, "tied_p": p,
        "matched": matched,
    }  # fmt: skip
    return {
        "nearest": {measure: copy.deepcopy(near) for measure in MEASURES},
        "reidentification": {measure: dict(tied) for measure in MEASURES},
    }


def anonymity_report() -> dict[str, Any]:
    """Of one package of three images."""
    return {
        "format": FORMAT, "trial": "net-m3/4", "cell": "net-m3", "package": "00", "settings": {}, "images": 3,
        "patients": {"training": 20, "held_out": 20}, "patches": {"training": 1234, "held_out": 1200},
        "divided": "random", "protocol": "validation",
        "membership": {
            "raw": found(0.6), "calibrated": found(0.52), "references": {"kind": "halves", "number": 8, "each": 4}
        },
        "theta_bn": {"found": found(0.55), "pools": [{"patients": 2, "auc": 0.97, "tpr": 0.9}]},
        "controls": {"real": subject(3, 0.0005, 3), "noise": subject(0, 0.9)},
        **subject(0, 0.9),
    }  # fmt: skip
