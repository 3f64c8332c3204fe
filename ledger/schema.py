"""Schema of a study's records: the columns of `records.csv`, and which of them are axes of the grid.

An axis is a field of `study.grid.axes.Cell`, and a key of a cell in `study.yaml` and of its trials' `config.json`. All
that reads, filters, compares, exports or tells apart cells goes by `AXES`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

SCHEMA: dict[str, str] = {
    "trial": "string",
    "cell": "string",
    "phase": "string",
    "attempt": "Int64",
    "status": "string",
    "error": "string",
    "method": "string",
    "backbone": "string",
    "parameters": "Int64",
    "images": "Int64",
    "label_init": "string",
    "norm": "string",
    "distill_steps": "Int64",
    "distill_epochs": "Int64",
    "seed": "Int64",
    "outer_lr": "float64",
    "inner_lr": "float64",
    "delta": "float64",
    "val_hm": "float64",
    "val_auc": "float64",
    "val_patch_accuracy": "float64",
    "test_sensitivity": "float64",
    "test_specificity": "float64",
    "test_hm": "float64",
    "test_hm_at_0.4": "float64",
    "test_auc": "float64",
    "test_patch_accuracy": "float64",
    "undecided_patients": "Int64",
    "outer_steps": "Int64",
    "seconds": "float64",
    "peak_memory_mib": "float64",
    "device": "string",
    "memory_mib": "float64",
    "memory_star_kb": "float64",
    "compression_rate": "float64",
    "start": "string",
    "train_patches": "Int64",
    "train_classes": "string",
    "train_view": "string",
    "fold": "Int64",
    "protocol": "string",
    "shared_kb": "float64",
    "epochs": "Int64",
    "stopped": "boolean",
    "finished": "string",
    "micro_batch": "Int64",
    "epsilon": "float64",
    "task": "string",
    "val_ap": "float64",
    "test_ap": "float64",
    "test_hamming_loss": "float64",
    "test_auc_low": "float64",
    "test_auc_high": "float64",
    "test_ap_low": "float64",
    "test_ap_high": "float64",
    "defined_classes": "Int64",
    "chain": "string",
    "transfer": "string",
    "stage": "string",
    "note": "string",
    "ended": "string",
    "best_step": "Int64",
    "val_balanced_accuracy": "float64",
    "val_accuracy": "float64",
    "test_balanced_accuracy": "float64",
    "test_accuracy": "float64",
    "test_balanced_accuracy_low": "float64",
    "test_balanced_accuracy_high": "float64",
    "core_seconds": "float64",
    "fresh_score": "float64",
    "options": "string",
}
"""Column -> dtype, in the order of `records.csv`: a contract, other programs read it; new columns go to the end."""


@dataclass(frozen=True)
class Axis:
    """One axis of the grid.

    Attributes:
        filter: name of the page's filter for it; None where there is none.
        words: puts a value of it (None where a cell has none) into words. Networks are compared only where they are
            equal in every axis that has ``words`` (``SETTING``); None for an axis in which they may differ.
        short: format of a value in the terminal's table, `{}` for the value; None for an axis that is left out there.
        of: the cells that have it: those of distilled images, those of ordinary training, or all.
        none: the filter's choice for cells without a value. Empty where that is no choice: such cells are then shown
            whatever is chosen.
    """

    filter: str | None = None
    words: Callable[[Any], str] | None = None
    short: str | None = None
    of: Literal["all", "images", "training"] = "all"
    none: str = ""


AXES = {
    "backbone": Axis("Network"),
    "images": Axis("Distilled images", of="images"),
    "method": Axis("Method", lambda method: str(method).upper().replace("_", " ")),
    "norm": Axis("Norm", "norm {}".format, "norm {}"),
    "start": Axis("Start", "start {}".format, "{}"),
    "transfer": Axis(
        "Transfer", lambda how: f"{str(how).replace('_', '-')} transfer" if how is not None else "", "{}", none="none"
    ),
    "chain": Axis(
        "Trained on before",
        lambda chain: f"on {chain} before" if chain is not None else "on no other films before",
        "after {}",
        none="none",
    ),
    "label_init": Axis("Labels start", "labels {}".format, "labels {}", "images"),
    "distill_steps": Axis("Distill steps", "distill steps {}".format, "S = {}", "images"),
    "distill_epochs": Axis("Distill epochs", "distill epochs {}".format, "E = {}", "images"),
    "train_patches": Axis(
        None, lambda count: f"{count:,} patches a class" if count is not None else "all patches", of="training"
    ),
    "train_classes": Axis(
        None, lambda classes: "N and P only" if classes == "NP" else "all classes", "{} only", "training"
    ),
    "train_view": Axis(None, lambda view: "whole pictures" if view == "whole" else "patches", of="training"),
    "epochs": Axis(
        "Epochs", lambda count: f"{count} epochs" if count is not None else "the study's epochs", "{} epochs"
    ),
    "fold": Axis(),
    "stage": Axis(short="on {}"),
}
SETTING = [name for name, axis in AXES.items() if axis.words is not None]
"""Axes in which networks of a study have to be equal to be compared. The protocol is none of them, since a study has
one, nor is the fold: folds are pooled."""
DISTILLED_ALIKE = [name for name in SETTING if AXES[name].of != "training"]
"""Those of SETTING that cells of distilled images have."""
TRAINED_ALIKE = ["backbone", *(name for name in SETTING if AXES[name].of == "all" and name not in ("method", "epochs"))]
"""Axes in which ordinary training is equal to the distillation that it is held against. Epochs are none of them: both
may have their own."""
