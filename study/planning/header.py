"""Header of a study (``study.yaml``): command, configuration, provenance, cells."""

from __future__ import annotations

import importlib.metadata
import platform
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from analysis.records.tasks import told
from ledger.ledger import FORMAT
from sldd.data.cohort import Cohort
from sldd.data.split import Split
from sldd.io.film import file_digest
from study.config.loader import as_tree
from study.config.methods import METHODS
from study.config.paths import weights_files
from study.config.schema import StudyConfig
from study.config.tasks import TASKS
from study.planning.plan import PlannedCell
from study.planning.source_cohorts import Collection

_VERSIONED = ("torch", "torchvision", "timm", "ray", "optuna", "numpy", "pandas", "plotly")


def describe(
    config: StudyConfig,
    cohort: Cohort,
    split: Split,
    plan: list[PlannedCell],
    words: Sequence[str],
    before: dict[str, Any] | None,
    collections: Mapping[str, Collection] = MappingProxyType({}),
    networks: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    """The content of ``study.yaml``: command, resolved configuration, provenance and cells, in plain values.

    Args:
        words: the command's arguments.
        split: of the first fold, where folds rotate.
        before: what ``study.yaml`` said so far, where the study is resumed.
        collections: those that networks are trained on first.
        networks: traits of networks at their starts.
    """
    splits = {name: len(patients) for name, patients in vars(split).items()}
    if config.protocol == "paper":
        del splits["validation"]  # it has none: its states were chosen on the test patients
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {
        "format": FORMAT,
        "name": config.name,
        "command": f"python -m study.run {shlex.join(words)}".strip(),
        "config": _plain(as_tree(config)),
        "provenance": {
            "versions": versions(),
            "revision": _revision(),
            "cohort": {
                "fingerprint": cohort.fingerprint,
                "patients": cohort.patients,
                "positive": sum(cohort.labels),
                **_findings(cohort),
                "splits": splits,
            },
            **_sources(collections, before),
            **_weights(config),
            "threads": config.resources.threads,
            "started": before["provenance"]["started"] if before else now,
        },
        "methods": {name: _method(name) for name in dict.fromkeys(entry.cell.method for entry in plan)},
        "tasks": told(config.task, TASKS[config.task].results),
        **({"networks": list(networks)} if networks else {}),
        "cells": [
            {"cell": entry.cell.name, "parameters": entry.parameters, "refused": entry.refused}
            | _costs(entry)
            | _plain(asdict(entry.cell))
            for entry in plan
        ],
    }


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that results or plans depend on."""
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in _VERSIONED}


def _costs(entry: PlannedCell) -> dict[str, Any]:
    """What the plan found a trial to take: a study that is resumed does not measure it again."""
    costs = {
        "expected_seconds": None if entry.seconds is None else round(entry.seconds, 1),
        "fresh_seconds": round(entry.fresh_seconds, 1) or None,
        "memory": entry.memory,
    }
    return {name: cost for name, cost in costs.items() if cost is not None}


def _method(name: str) -> dict[str, Any]:
    """What readers of the study are told of a method, by the names of its attributes."""
    method = METHODS[name]
    return _plain({each: getattr(method, each) for each in ("label", "no_package", "control", "ranges")})


def _findings(cohort: Cohort) -> dict[str, Any]:
    if not cohort.classes:
        return {}
    films = (cohort.film_labels == 1).sum(0).tolist()
    return {"films": len(cohort.film_patients), "findings": dict(zip(cohort.classes, films, strict=True))}


def _sources(collections: Mapping[str, Collection], before: dict[str, Any] | None) -> dict[str, Any]:
    """Fingerprints, also of what is not there this time."""
    known = (before or {}).get("provenance", {}).get("sources") or {}
    known = known | {name: each.cohort.fingerprint for name, each in collections.items()}
    return {"sources": known} if known else {}


def _weights(config: StudyConfig) -> dict[str, Any]:
    """Digests of the files that networks start from, by path: the same path may hold another file later."""
    known = {path: file_digest(Path(path)) for path in weights_files(config)}
    return {"weights": known} if known else {}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _revision() -> str | None:
    """The commit of a checkout; None of an installed package, which may lie in somebody else's."""
    root = Path(__file__).parents[2]
    if not (root / "pyproject.toml").is_file():
        return None
    try:
        found = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()
