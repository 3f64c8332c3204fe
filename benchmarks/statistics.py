"""Coverage, level and power of a study's statistics, over simulated studies whose truth is known.

    python -m benchmarks.statistics                 # all tables
    python -m benchmarks.statistics coverage level --studies 100
    python -m benchmarks.statistics level power --light --studies 2000

Each simulated study (`analysis.design.simulation`) has networks with a known curve of HM against images. The votes of
its confirm trials go through `analysis` as those of a ledger do (that files give the same: tests/benchmarks).

Tables of what a study claims (coverage, chance):

    coverage     share of the cells' intervals of HM that hold the true HM; its standard error, and the mean width
    difference   share of the intervals of the difference to ordinary training that hold the true one
    rule         share of networks whose true smallest count the papers' rule finds
    bracket      share of networks that are judged whose bracket holds the true smallest count
    suffices     share of networks of which a count is shown to suffice

Tables of tests (all others), the share of studies with p <= 0.05:

    p alone      by smallest counts, networks taken for unrelated
    p counts     by smallest counts, families kept together; then the power that `analysis.design.power` promises
    p curves     by whole curves, families kept together; then the same
    p shown      by the brackets of what is shown; `undefined` is the share of studies without this test
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.design.power import power
from analysis.design.simulation import MARGIN, Design, curves, every_count, hms_of, right_calls, tried, true_hm
from analysis.records.records import Study
from analysis.stats.dose_response import relations
from analysis.stats.evidence import count_evidence
from analysis.stats.minimum import compared_minimum, known_points, minimum_images, rule_points, shown_points
from analysis.stats.ranks.rank_tests import SIGNIFICANT, spearman
from benchmarks.statistics_designs import TABLES
from ledger.schema import SCHEMA
from sldd.rng import stream

PROMISED = 4_000  # studies by the light path: the promise is known to 0.008
CLAIMS = ("coverage", "error", "width", "difference", "rule", "bracket", "suffices")
"""Columns of the tables of claims."""
TESTS = {
    "alone": "p alone",
    "counts": "p counts",
    "promised_counts": "promised",
    "curves": "p curves",
    "promised_curves": "promised",
    "undefined": "undefined",
    "shown": "p shown",
}
"""Columns of the tables of tests, with their headings."""
_CONFIRMED: dict[str, Any] = {
    "phase": "confirm",
    "status": "done",
    "norm": "as_is",
    "start": "xavier",
    "protocol": "validation",
}
_TRAINED: dict[str, Any] = {"method": "train", "train_classes": "INP"}
_DISTILLED: dict[str, Any] = {"method": "sldd", "label_init": "one_hot", "distill_steps": 1, "distill_epochs": 1}


@dataclass(frozen=True, eq=False)
class Simulated(Study):
    """A study whose results are in memory, by trial."""

    results: dict[str, dict[str, Any]] = field(default_factory=dict)

    def result(self, trial: str) -> dict[str, Any]:
        """As `Study.result`."""
        return self.results[trial]


def drawn(design: Design, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw a study: its networks' parameters (networks,) and curves (networks, 1 + counts) in logits, of ordinary
    training first, and which calls are right (networks, 1 + counts, seeds, patients)."""
    rng = stream(seed, f"benchmarks.statistics/{design}")
    parameters, curve = curves(design, rng)
    return parameters, curve, right_calls(design, curve, rng)


def simulate(design: Design, seed: int) -> tuple[Simulated, np.ndarray]:
    """A study, and the true HM of its networks (networks, 1 + counts), of ordinary training first."""
    parameters, curve, right = drawn(design, seed)
    hms, counts, backbones = hms_of(right), every_count(design), names(design)
    ran = np.column_stack([np.ones(len(right), bool), tried(design, parameters, hms.mean(axis=-1))])
    rows, results = [], {}
    for network, place, run in np.ndindex(right.shape[:3]):
        if not ran[network, place]:
            continue
        trial = f"{network}-{place}/{run}"
        row = {"trial": trial, "cell": f"{network}-{place}", "backbone": backbones[network], "seed": run}
        row |= {"parameters": parameters[network], "test_hm": hms[network, place, run]}
        rows.append(_CONFIRMED | (_DISTILLED | {"images": counts[place - 1]} if place else _TRAINED) | row)
        results[trial] = {"delta": 0.5, "test": {"patients": _test_patients(right[network, place, run])}}
    records = pd.DataFrame(rows, columns=list(SCHEMA)).astype(SCHEMA)
    cells = [
        _DISTILLED | {"backbone": name, "images": count, "norm": "as_is", "start": "xavier", "counted": True}
        for name in backbones
        for count in counts
        if design.searched
    ]
    config = {"minimum": {"margin": MARGIN, "resamples": 400}}
    study = Simulated(f"simulated {seed}", Path("memory"), config, {}, "", cells, records, results=results)
    return study, true_hm(design, curve)


def _test_patients(right: np.ndarray) -> list[dict[str, Any]]:
    """Test patients as a trial's result has them, each called by a single vote, by ``right`` (patients,) bool."""
    labels = np.arange(len(right)) % 2
    calls = np.where(right, labels, 1 - labels)
    return [
        {"patient": f"{patient:04d}", "label": label, "votes": [0, 1 - call, call]}
        for patient, (label, call) in enumerate(zip(labels.tolist(), calls.tolist(), strict=True))
    ]


def claimed(design: Design, seed: int) -> dict[str, float]:
    """In what share of its cells and networks a study's claims are true, by the names in CLAIMS."""
    study, true = simulate(design, seed)
    trained, distilled = true[:, :1], true[:, 1:]
    return _claims_of_cells(study, design, trained, distilled) | _claims_of_networks(study, design, trained, distilled)


def _claims_of_cells(study: Study, design: Design, trained: np.ndarray, distilled: np.ndarray) -> dict[str, float]:
    """Coverage and width of the cells' intervals; of those that have one (not a number where none has).

    Args:
        trained, distilled: (networks, 1) and (networks, counts) true HM.
    """
    cells = count_evidence(study).set_index(["backbone", "images"])
    cells = cells.reindex([(name, count) for name in names(design) for count in every_count(design)])
    ends = ("interval_low", "interval_high", "shortfall_low", "shortfall_high")
    low, high, gap_low, gap_high = (cells[end].to_numpy().reshape(distilled.shape) for end in ends)
    known, gap = ~np.isnan(low), trained - distilled

    def mean(values: np.ndarray) -> float:
        return float(values[known].mean()) if known.any() else np.nan

    return {
        "coverage": mean((low <= distilled) & (distilled <= high)),
        "difference": mean((gap_low <= gap) & (gap <= gap_high)),
        "width": mean(high - low),
    }


def _claims_of_networks(study: Study, design: Design, trained: np.ndarray, distilled: np.ndarray) -> dict[str, float]:
    """How often smallest counts are found, by the papers' rule and by brackets; shapes as of ``_claims_of_cells``."""
    counts, enough = np.array(every_count(design)), distilled >= trained - MARGIN
    # Where no count is enough, any that is larger than all of them stands for the true one.
    smallest = np.where(enough.any(axis=1), counts[enough.argmax(axis=1)], counts[-1] + 1)
    answer = minimum_images(study).set_index("backbone").loc[names(design)].reset_index()
    least, most = answer["at_least"].astype("float64"), answer["minimum_images"].astype("float64").fillna(np.inf)
    held = ((least <= smallest) & (smallest <= most))[least.notna()]
    return {
        "rule": float((rule_points(answer)["upper"] == smallest).mean()),
        "bracket": float(held.mean()),
        "suffices": float(answer["minimum_images"].notna().mean()),
    }


def significant(design: Design, seed: int) -> dict[str, float]:
    """Whether each test of a study has p <= 0.05 (1 or 0), by the names in TESTS."""
    study, _ = simulate(design, seed)
    answer = minimum_images(study).set_index("backbone").loc[names(design)].reset_index()
    same = compared_minimum(study).set_index("backbone").loc[names(design)].reset_index()
    tests = {
        "alone": _counts_p(rule_points(answer)),
        "counts": _counts_p(rule_points(same).assign(kin=design.kinds)),
        "curves": relations(study)[""].p,
        "shown": _counts_p(known_points(shown_points(same).assign(kin=design.kinds))),
    }
    shown = {name: float(p is not None and p <= SIGNIFICANT) for name, p in tests.items()}
    return shown | {"undefined": float(tests["shown"] is None)}


def names(design: Design) -> list[str]:
    """Backbones of the simulated networks: family and number."""
    return [f"{kind}{place}" for place, kind in enumerate(design.kinds)]


def _counts_p(points: pd.DataFrame) -> float | None:
    """p-value of Spearman's correlation between parameters and the bounds of smallest counts; None where undefined.

    Networks of one ``kin``, where there is such a column, are kept together.
    """
    families = points["kin"].tolist() if "kin" in points else None
    p = spearman(points["parameters"], points["lower"].fillna(1), points["upper"], families).p
    return None if p is None else float(p)


def measured(design: Design, studies: int, of: Callable[[Design, int], dict[str, float]]) -> pd.Series:
    """Means of `claimed` or `significant` (``of``) over so many studies; with the standard error of the coverage, or
    with the power that `analysis.design.power` promises."""
    with pd.option_context("mode.string_storage", "python"):  # of frames as small as these quicker than Arrow's
        found = pd.DataFrame([of(design, seed) for seed in range(studies)])
    means = found.mean()
    if of is claimed:
        return pd.concat([means, pd.Series({"error": found["coverage"].std() / np.sqrt(studies)})])
    promised = power(design, PROMISED)
    return pd.concat([means, pd.Series({"promised_counts": promised.counts, "promised_curves": promised.level})])


def _print_light(tables: Sequence[str], studies: int) -> None:
    """Shares of studies with p <= 0.05 as `analysis.design.power` simulates them."""
    heads = ["design", "studies", "curves", "without training", "smallest counts", "these, families for unrelated"]
    for name in tables:
        print(f"\n{name}\n\n| {' | '.join(heads)} |\n|{' --- |' * len(heads)}")
        for title, design in TABLES[name].items():
            cells = [title, str(studies), *(f"{share:.3f}" for share in vars(power(design, studies)).values())]
            print(f"| {' | '.join(cells)} |", flush=True)


def main(arguments: list[str] | None = None) -> int:
    """``python -m benchmarks.statistics``."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.statistics",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("tables", nargs="*", choices=[*TABLES, []], metavar="TABLE", help=", ".join(TABLES))
    parser.add_argument("--light", action="store_true", help="levels and power without ledger and intervals: fast")
    parser.add_argument("--studies", type=int, default=300, help="how many a row (default: 300)")
    options = parser.parse_args(arguments)
    if options.studies < 1:
        parser.error("--studies: at least 1")
    if options.light:
        _print_light(options.tables or ["level", "power"], options.studies)
        return 0
    for name in options.tables or TABLES:
        of = claimed if name in ("coverage", "chance") else significant
        columns = dict(zip(CLAIMS, CLAIMS, strict=True)) if of is claimed else TESTS
        heads = ["design", "studies", *columns.values()]
        print(f"\n{name}\n\n| {' | '.join(heads)} |\n|{' --- |' * len(heads)}")
        for title, design in TABLES[name].items():
            found = measured(design, options.studies, of)
            cells = [title, str(options.studies), *(f"{found[each]:.3f}".replace("nan", "none") for each in columns)]
            print(f"| {' | '.join(cells)} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
