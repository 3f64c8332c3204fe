"""Whether a study's statistics keep what they say: coverage, level and power over simulated studies.

    python -m benchmarks.statistics                 # all tables
    python -m benchmarks.statistics coverage level --studies 100

Each simulated study has networks with a known curve of HM against images; its confirm trials' votes go through
`analysis` as those of a ledger do. A run calls a patient right with a chance whose logit is the curve's, plus what the
seed adds (the same for all patients) and what the patient adds (the same for all runs), both normal. Families of
networks are alike in size and in need, by their intra-class correlation.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from analysis.records.records import Study
from analysis.stats.evidence import count_evidence
from analysis.stats.minimum import minimum_images, rule_points, shown_points
from analysis.stats.rank_tests import spearman
from ledger.schema import SCHEMA
from sldd.rng import stream

MARGIN = 0.10
PATIENT_SPREAD = 1.0  # SD of what makes a patient hard, in logits
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(40)
FORMAT = "| {:<44} | {:>7} | {:>8} | {:>5} | {:>5} | {:>7} | {:>6} | {:>9} | {:>9} | {:>9} | {:>9} | {:>9} |"
HEAD = (
    "design",
    "studies",
    "coverage",
    "width",
    "rule",
    "bracket",
    "open",
    "p (alone)",
    "p (rule)",
    "undefined",
    "p (shown)",
    "suffices",
)


@dataclass(frozen=True)
class Design:
    """A study to simulate, and the truth behind it."""

    networks: int = 6
    counts: tuple[int, ...] = (1, 2, 3)
    seeds: int = 2
    patients: int = 60
    """Test patients, half of them positive."""
    seed_spread: float = 0.12
    """SD of HM from seed to seed, at an HM of 0.75."""
    correlation: float = 0.0
    """Of log parameters and log2 of the images a network needs."""
    families: int | None = None
    """How many; None: each network is of its own."""
    alike: float = 0.0
    """Intra-class correlation of families, in size and in need."""
    chance: bool = False
    """Whether every network calls at an HM of 0.45, whatever it is given."""
    best: float = 0.85
    """HM of a run of usual luck, with as many images as the network needs."""
    trained: float = 0.85
    """The same of ordinary training."""

    @property
    def kin(self) -> np.ndarray:
        """(networks,) the number of each network's family."""
        return np.arange(self.networks) % (self.families or self.networks)

    @property
    def names(self) -> list[str]:
        """Names of the networks, which tell their families."""
        return [f"{chr(ord('a') + kin % 26) * (kin // 26 + 1)}{place}" for place, kin in enumerate(self.kin)]


@dataclass(frozen=True, eq=False)
class Simulated(Study):
    """A study whose results are in memory, by trial."""

    results: dict[str, dict[str, Any]] = field(default_factory=dict)

    def result(self, trial: str) -> dict[str, Any]:
        """As `Study.result`."""
        return self.results[trial]


def true_hm(design: Design, curve: np.ndarray) -> np.ndarray:
    """Mean HM over all seeds, of so many patients that they are all there are; ``curve`` is in logits, of any shape."""
    spread = np.hypot(logit_spread(design), PATIENT_SPREAD)
    return expit(np.asarray(curve)[..., None] + spread * NODES) @ WEIGHTS / WEIGHTS.sum()


def logit_spread(design: Design) -> float:
    """SD of seeds in logits."""
    return design.seed_spread / (0.75 * 0.25)


def curves(design: Design, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Parameters (networks,) and logits of calling right (networks, counts)."""
    shared, own = rng.standard_normal((2, design.networks)), rng.standard_normal((2, design.networks))
    size, rest = np.sqrt(design.alike) * shared[:, design.kin] + np.sqrt(1 - design.alike) * own
    need = 0.7 + 0.9 * (design.correlation * size + np.sqrt(1 - design.correlation**2) * rest)
    missing = np.clip(need[:, None] - np.log2(design.counts), 0, 1.5)
    hms = np.full(missing.shape, 0.45) if design.chance else design.best - 0.2 * missing
    return np.rint(10 ** (6.5 + 0.7 * size)).astype(np.int64), logit(hms)


def simulate(design: Design, seed: int) -> tuple[Simulated, np.ndarray]:
    """A study, and the true HM of its networks (networks, 1 + counts), of ordinary training first."""
    rng = stream(seed, f"benchmarks.statistics/{design}")
    parameters, curve = curves(design, rng)
    curve = np.column_stack([np.full(len(curve), logit(design.trained)), curve])
    labels = np.arange(design.patients) % 2
    hard = PATIENT_SPREAD * rng.standard_normal(design.patients)
    lucky = logit_spread(design) * rng.standard_normal((*curve.shape, design.seeds))
    chances = expit((curve[..., None] + lucky)[..., None] + hard)
    calls = np.where(rng.random(chances.shape) < chances, labels, 1 - labels)
    rows, results = [], {}
    common: dict[str, Any] = {
        "phase": "confirm",
        "status": "done",
        "norm": "as_is",
        "protocol": "validation",
    }
    trained = {"method": "train", "train_classes": "INP"}
    distilled = {"method": "sldd", "label_init": "one_hot", "distill_steps": 1, "distill_epochs": 1}
    for network, place, run in np.ndindex(calls.shape[:3]):
        trial = f"{network}-{place}/{run}"
        cell = distilled | {"images": design.counts[place - 1]} if place else trained
        called = calls[network, place, run]
        sensitivity, specificity = called[labels == 1].mean(), 1 - called[labels == 0].mean()
        total = sensitivity + specificity
        hm = 2 * sensitivity * specificity / total if total else 0.0
        row = {"trial": trial, "backbone": design.names[network], "parameters": parameters[network], "seed": run}
        rows.append(common | row | cell | {"test_hm": hm})
        tested = [
            {"patient": f"{patient:04d}", "label": int(label), "votes": [0, 1 - int(call), int(call)]}
            for patient, (label, call) in enumerate(zip(labels, called, strict=True))
        ]
        results[trial] = {"delta": 0.5, "test": {"patients": tested}}
    records = pd.DataFrame(rows, columns=list(SCHEMA)).astype(SCHEMA)
    config = {"minimum": {"margin": MARGIN, "resamples": 400}}
    study = Simulated(f"simulated {seed}", Path("memory"), config, {}, "", [], records, results=results)
    return study, true_hm(design, curve)


def observed(design: Design, seed: int) -> dict[str, float]:
    """What one study says and whether it is so: shares of its cells or networks, and p-values below 0.05."""
    study, truth = simulate(design, seed)
    trained, truth = truth[:, :1], truth[:, 1:]
    names, counts = design.names, np.array(design.counts)
    cells = count_evidence(study).set_index(["backbone", "images"])
    cells = cells.loc[[(name, count) for name in names for count in counts]]
    low, high = (cells[end].to_numpy().reshape(truth.shape) for end in ("interval_low", "interval_high"))
    answer = minimum_images(study).set_index("backbone").loc[names].reset_index()
    enough = truth >= trained - MARGIN
    smallest = np.where(enough.any(axis=1), counts[enough.argmax(axis=1)], counts[-1] + 1)
    bounds, points = shown_points(answer), rule_points(answer)
    claimed = ~np.isnan(low)
    families = design.kin.astype(str).tolist()
    p_alone, p_rule, p_shown = (
        spearman(each["parameters"], each["lower"].fillna(1), each["upper"], kin).p
        for each, kin in ((points, None), (points, families), (bounds, families))
    )
    return {
        "coverage": float(((low <= truth) & (truth <= high))[claimed].mean()) if claimed.any() else np.nan,
        "width": float((high - low)[claimed].mean()) if claimed.any() else np.nan,
        "rule": float((points["lower"].where(np.isfinite(points["upper"])) == smallest).mean()),
        "bracket": float(((bounds["lower"] <= smallest) & (smallest <= bounds["upper"])).mean()),
        "open": float(np.isinf(bounds["upper"]).mean()),
        "p (alone)": float(p_alone is not None and p_alone <= 0.05),
        "p (rule)": float(p_rule is not None and p_rule <= 0.05),
        "undefined": float(p_shown is None),
        "p (shown)": float(p_shown is not None and p_shown <= 0.05),
        "suffices": float(answer["minimum_images"].notna().mean()),
    }


def measured(design: Design, studies: int) -> pd.Series:
    """Means of `observed` over so many studies."""
    return pd.DataFrame([observed(design, seed) for seed in range(studies)]).mean()


STEADY = Design(seeds=5, patients=200, seed_spread=0.05)
FAMILIES = Design(networks=12, families=5)
TABLES: dict[str, dict[str, Design]] = {
    "coverage": {
        f"{seeds} seed{'s' * (seeds > 1)}, {patients} patients": Design(seeds=seeds, patients=patients)
        for seeds in (1, 2, 3, 5)
        for patients in (60, 200)
    },
    "level": {
        "12 networks, no relation": Design(networks=12),
        **{f"12 networks of 5 families, alike {icc:g}": replace(FAMILIES, alike=icc) for icc in (0.5, 0.9)},
    },
    "power": {
        **{f"{n} networks, correlation 0.7": Design(networks=n, correlation=0.7) for n in (6, 12, 20)},
        **{f"{n}, 5 steady seeds, 200 patients": replace(STEADY, networks=n, correlation=0.7) for n in (6, 12, 20)},
    },
    "chance": {
        f"{seeds} seed{'s' * (seeds > 1)}, {patients} patients, training {trained:g}": Design(
            seeds=seeds, patients=patients, chance=True, trained=trained
        )
        for trained in (0.45, 0.6, 0.85)
        for seeds, patients in ((1, 60), (2, 60), (2, 200))
    },
}


def main(arguments: list[str] | None = None) -> int:
    """``python -m benchmarks.statistics``."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.statistics",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("tables", nargs="*", choices=[*TABLES, []], metavar="TABLE", help=", ".join(TABLES))
    parser.add_argument("--studies", type=int, default=300, help="how many a row (default: 300)")
    options = parser.parse_args(arguments)
    if options.studies < 1:
        parser.error("--studies: at least 1")
    for name in options.tables or TABLES:
        print(f"\n{name}\n\n{FORMAT.format(*HEAD)}\n|{' --- |' * len(HEAD)}")
        for design, drawn in TABLES[name].items():
            found = measured(drawn, options.studies)
            print(FORMAT.format(design, options.studies, *(f"{found[each]:.2f}" for each in HEAD[2:])), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
