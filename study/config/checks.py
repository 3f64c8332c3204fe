"""What ``task`` means for the rest of a study's configuration."""

from __future__ import annotations

from typing import Any

from sldd.data.cohort import Cohort
from sldd.distillation.initial_findings import FINDING_STARTS
from sldd.errors import InputError
from study.config.schema import StudyConfig


def with_task_defaults(tree: dict[str, Any]) -> dict[str, Any]:
    """A configuration's tree with what a study of findings does unless it is told otherwise."""
    if tree.get("task") != "multilabel" or "grid" not in tree:
        return tree
    blocks = tree["grid"] if isinstance(tree["grid"], list) else [tree["grid"]]
    return tree | {
        "distill": {"labels": "sigmoid"} | tree.get("distill", {}),
        "grid": [{"label_init": FINDING_STARTS[0]} | block for block in blocks],
    }


def check_task(config: StudyConfig) -> None:
    """Raise an InputError where a setting does not go with the task."""
    findings = config.task == "multilabel"
    for block in config.grid:
        for start in block.label_init:
            if (start in FINDING_STARTS) != findings and set(block.method) != {"train"}:
                raise InputError(
                    f"grid.label_init: {start} is no start of task {config.task}; choose from "
                    + ", ".join(FINDING_STARTS if findings else ("one_hot", "smoothed", "uniform", "constant:N"))
                )
        if block.chain != [[]] and (not findings or "train" not in block.method):
            raise InputError(
                "grid.chain: transfer is ordinary training (method: train) of films with findings (task: multilabel); "
                "leave it out"
            )
    if not findings:
        return
    for block in config.grid:
        if block.images == "search":
            raise InputError("grid.images: list the counts; searching them is for patients with one label")
        for name, only in (("train_patches", [None]), ("train_classes", ["INP"])):
            if getattr(block, name) != only:
                raise InputError(f"grid.{name}: training on films with findings has no such choice; leave it out")
    if set(config.search.options.get("labels", [config.distill.labels])) != {"sigmoid"}:
        raise InputError(
            "distill.labels: a film has several findings, each of which is there or not; the only choice is sigmoid"
        )
    if config.privacy.noise is not None:
        raise InputError("privacy.noise: is for patches of patients with one label; leave it out with task=multilabel")
    if config.protocol != "validation":
        raise InputError("protocol: the papers' is for patients with one label; leave it out with task=multilabel")


def check_cohort(config: StudyConfig, cohort: Cohort) -> None:
    """Raise an InputError where the cohort is not what the task is about."""
    source = f"data.source: films of {config.data.source}"
    if cohort.classes and config.task == "patches":
        raise InputError(
            f"{source} have {len(cohort.classes)} classes of findings, and task=patches is about patients with one "
            "label and an organ mask; set task=multilabel, or use a folder with a manifest (data.source=folder)"
        )
    if not cohort.classes and config.task == "multilabel":
        raise InputError(
            f"{source} have no findings, which task=multilabel is about; use another source or task=patches"
        )
