"""Check that a command resumes the study that its folder holds, and what that study's plan found."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from ledger.storage import Folder
from sldd.backbones.start import PRETRAINED
from sldd.data.cohort import Cohort
from sldd.errors import InputError
from sldd.io.film import file_digest
from study.config.loader import differences
from study.config.paths import weights_files
from study.config.schema import StudyConfig
from study.grid.axes import Cell
from study.planning.cohorts import StudyPatients
from study.planning.header import versions
from study.planning.plan import PlannedCell

_NAMED = 3
_OF_SHAPES: Final = ("torch", "torchvision", "timm")
"""Libraries whose release decides what a network's layers are, and what they need."""


def check_same_study(before: dict[str, Any], config: StudyConfig, patients: StudyPatients, folder: Folder) -> None:
    """Check that settings, patients and weights are those that the study began with, but for what may grow.

    Args:
        before: the content of ``study.yaml`` so far.

    Raises:
        InputError: they are not; the first few that differ are named.
    """
    changed = differences(before["config"], config)
    provenance = before["provenance"]
    changed += _changed_data("", provenance["cohort"]["fingerprint"], patients.cohort)
    for name, fingerprint in (provenance.get("sources") or {}).items():
        if name in patients.collections:
            changed += _changed_data(f"sources.{name}: ", fingerprint, patients.collections[name].cohort)
    began = provenance.get("weights") or {}  # older studies have none
    former = before["config"].get("pretrained") or {}
    places = [(path, path) for path in weights_files(config)]  # where each file was, and where it is
    places += [(former.get(name, path), path) for name, path in config.pretrained.items()]
    for was, path in dict.fromkeys(places):
        if was != path and was not in began:
            changed.append(f"pretrained weights were of {was} and are of {path} now")
        if was in began and began[was] != file_digest(Path(path)):
            changed.append(f"the content of {path} changed")
    for name in config.pretrained.keys() - former.keys():
        of_name = (cell for cell in before["cells"] if cell["backbone"] == name and not cell["refused"])
        if any(PRETRAINED in (cell["start"], *(cell.get("chain") or ())) for cell in of_name):
            changed.append(f"pretrained weights of {name} came from elsewhere")
    if changed:
        more = f", and {len(changed) - _NAMED} more" if len(changed) > _NAMED else ""
        raise InputError(
            f"{folder} holds another study: {'; '.join(changed[:_NAMED])}{more}; give this one another name (name=...)"
        )


def planned_before(before: dict[str, Any] | None, config: StudyConfig, grid: list[Cell]) -> dict[Cell, PlannedCell]:
    """Cells that the study's plan of before did not refuse, with what it found; those that it refused may run now.

    Memory is told where this machine's libraries, and the settings that decide it, are those of before.
    """
    if before is None:
        return {}
    there, here = before["provenance"].get("versions") or {}, versions()
    compute, resources = (before["config"].get(group) or {} for group in ("compute", "resources"))
    same = (
        compute.get("memory") == config.compute.memory
        and resources.get("feature_cache") == config.resources.feature_cache  # where experts of mtt are kept
        and all(there.get(name) == here[name] for name in _OF_SHAPES)
    )
    found = {each["cell"]: each for each in before["cells"] if not each["refused"]}
    return {
        cell: PlannedCell(
            cell,
            entry["parameters"],
            None,
            entry.get("expected_seconds"),
            fresh_seconds=entry.get("fresh_seconds", 0.0),
            memory=entry.get("memory") if same else None,
        )
        for cell in grid
        if (entry := found.get(cell.name)) is not None
    }


def _changed_data(where: str, fingerprint: str, cohort: Cohort) -> list[str]:
    if fingerprint == cohort.fingerprint:
        return []
    return [f"{where}{cohort.read_differently(fingerprint) or 'the data (fingerprint) changed'}"]
