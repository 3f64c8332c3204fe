"""The design of a study, from its cells and settings or from its ledger: what to simulate to know its power."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from analysis.design.simulation import Design, own_luck
from analysis.records.cell_means import distilled, run_rows
from analysis.records.controls import without_controls
from analysis.records.records import Study
from analysis.records.runs import folds_of
from analysis.stats.shared_counts import shared
from ledger.families import family
from ledger.schema import DISTILLED_ALIKE, SETTING

CORRELATION = 0.7  # the true correlation a study is asked to find, neither obvious nor faint
MOST_PATIENTS = 1_000  # more hardly sharpen a score that seeds differ in


def planned(
    cells: Iterable[Mapping[str, Any]], *, seeds: int, patients: int, seed_spread: float | None = None
) -> Design | None:
    """The design of a study's `cells` (those of `study.yaml`), with a true correlation of CORRELATION; families are
    half as alike as can be.

    Of networks that come in several settings, those of the setting with most of them: each is compared by itself. None
    where no network of known size is to be run.
    """
    by_setting: dict[tuple[str, ...], dict[str, list[Mapping[str, Any]]]] = {}
    for cell in cells:
        if cell.get("images") is not None and cell.get("parameters") and not cell.get("refused"):
            key = tuple(str(cell.get(name)) for name in DISTILLED_ALIKE)
            by_setting.setdefault(key, {}).setdefault(str(cell["backbone"]), []).append(cell)
    names = [name for own in by_setting.values() for name in own]
    if len(set(names)) < len(names):  # a network comes in several settings
        networks = max(by_setting.values(), key=len)
    else:
        networks = {name: own for each in by_setting.values() for name, own in each.items()}
    offered = {name: {int(cell["images"]) for cell in own} for name, own in networks.items()}
    counts = shared(offered.values())
    if not networks or not counts:
        return None
    return Design(
        networks=len(networks),
        counts=counts,
        seeds=max(seeds, 1),
        patients=max(2, min(patients, MOST_PATIENTS)),
        seed_spread=Design.seed_spread if seed_spread is None else seed_spread,
        correlation=CORRELATION,
        alike=0.5,
        middle=float(np.log2(counts).mean()),
        searched=any(cell.get("counted") for own in networks.values() for cell in own),
        parameters=tuple(int(own[0]["parameters"]) for own in networks.values()),
        kin=tuple(map(family, networks)),
    )


def design_of(study: Study) -> Design | None:
    """`planned` of a study as its ledger has it, `without_controls`, with the spread of its seeds where known."""
    study = without_controls(study)
    repeats = (study.config.get("confirm") or {}).get("repeats")
    seeds = run_rows(study).groupby("cell")["seed"].nunique().max() if len(run_rows(study)) else repeats
    return planned(
        study.compared_cells,
        seeds=int(seeds) if seeds else 1,
        patients=tested_patients(study) or Design.patients,
        seed_spread=measured_spread(study),
    )


def tested_patients(study: Study) -> int | None:
    """How many patients test a network: all of them where they rotate through folds."""
    cohort = study.provenance.get("cohort")
    cohort = cohort if isinstance(cohort, dict) else {}
    splits = cohort.get("splits")
    patients = cohort.get("patients") if folds_of(study) else splits.get("test") if isinstance(splits, dict) else None
    return patients if isinstance(patients, int) and patients > 0 else None


def measured_spread(study: Study) -> float | None:
    """SD of HM from seed to seed, at an HM of 0.75, by a study's confirm trials; None without two seeds of a cell.

    Controls are left out, and what a seed's own luck with so many patients adds is taken off.
    """
    rows = distilled(run_rows(without_controls(study)))
    runs = rows.groupby([*SETTING, "backbone", "images"], dropna=False)["test_hm"].agg(["mean", "var", "size"])
    runs = runs[runs["var"].notna()]
    patients = tested_patients(study)
    if runs.empty or not patients:
        return None
    mean = runs["mean"].astype("float64").clip(0.01, 0.99)
    slope, freedom = mean * (1 - mean), runs["size"] - 1
    luck = own_luck(mean.to_numpy(), patients)
    between = float(((runs["var"] - luck) / slope**2 * freedom).sum() / freedom.sum())
    return float(np.sqrt(max(between, 0.0)) * 0.75 * 0.25)
