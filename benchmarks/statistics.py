"""Whether a study's statistics keep what they say: coverage, level and power over simulated studies.

    python -m benchmarks.statistics                 # all tables
    python -m benchmarks.statistics coverage level --studies 100
    python -m benchmarks.statistics level power --light --studies 2000

Each simulated study (`analysis.design.simulation`) has networks with a known curve of HM against images; its confirm
trials' votes go through `analysis` as those of a ledger do (that files give the same: tests/benchmarks). Tables of what
is claimed: coverage of cells' intervals with its standard error, their width; coverage of the difference to ordinary
training; how often the papers' rule finds the true smallest count, the bracket of a network that is judged holds it,
and a count is shown to suffice. Tables of tests: the share of studies with p <= 0.05, by smallest counts with networks
for unrelated (alone), with families kept together, by whole curves, each with the power that `analysis.design.power`
promises, and by brackets, and where that is undefined.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
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
from ledger.schema import SCHEMA
from sldd.rng import stream

PROMISED = 4_000  # studies by the light path: the promise is known to 0.008
CLAIMS = ("coverage", "error", "width", "difference", "rule", "bracket", "suffices")
TESTS = {
    "alone": "p alone",
    "counts": "p counts",
    "promised_counts": "promised",
    "curves": "p curves",
    "promised_curves": "promised",
    "undefined": "undefined",
    "shown": "p shown",
}


@dataclass(frozen=True, eq=False)
class Simulated(Study):
    """A study whose results are in memory, by trial."""

    results: dict[str, dict[str, Any]] = field(default_factory=dict)

    def result(self, trial: str) -> dict[str, Any]:
        """As `Study.result`."""
        return self.results[trial]


def drawn(design: Design, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Parameters and curves of a study's networks, and which calls are right (`analysis.design.simulation`)."""
    rng = stream(seed, f"benchmarks.statistics/{design}")
    parameters, curve = curves(design, rng)
    return parameters, curve, right_calls(design, curve, rng)


def simulate(design: Design, seed: int) -> tuple[Simulated, np.ndarray]:
    """A study, and the true HM of its networks (networks, 1 + counts), of ordinary training first."""
    parameters, curve, right = drawn(design, seed)
    hms, counts = hms_of(right), every_count(design)
    ran = np.column_stack([np.ones(len(right), bool), tried(design, parameters, hms.mean(axis=-1))])
    labels = np.arange(design.patients) % 2
    rows, results = [], {}
    usual = {"phase": "confirm", "status": "done", "norm": "as_is", "start": "xavier", "protocol": "validation"}
    trained = {"method": "train", "train_classes": "INP"}
    distilled = {"method": "sldd", "label_init": "one_hot", "distill_steps": 1, "distill_epochs": 1}
    for network, place, run in np.ndindex(right.shape[:3]):
        if not ran[network, place]:
            continue
        trial = f"{network}-{place}/{run}"
        of = distilled | {"images": counts[place - 1]} if place else trained
        row = {"trial": trial, "cell": f"{network}-{place}", "parameters": parameters[network], "seed": run}
        row |= {"backbone": f"{design.kinds[network]}{network}", "test_hm": hms[network, place, run]}
        rows.append(usual | of | row)
        called = np.where(right[network, place, run], labels, 1 - labels).tolist()
        tested = [
            {"patient": f"{patient:04d}", "label": label, "votes": [0, 1 - call, call]}
            for patient, (label, call) in enumerate(zip(labels.tolist(), called, strict=True))
        ]
        results[trial] = {"delta": 0.5, "test": {"patients": tested}}
    records = pd.DataFrame(rows, columns=list(SCHEMA)).astype(SCHEMA)
    cells = [
        distilled | {"backbone": name, "images": count, "norm": "as_is", "start": "xavier", "counted": True}
        for name in names(design)
        for count in counts
        if design.searched
    ]
    config = {"minimum": {"margin": MARGIN, "resamples": 400}}
    study = Simulated(f"simulated {seed}", Path("memory"), config, {}, "", cells, records, results=results)
    return study, true_hm(design, curve)


def claimed(design: Design, seed: int) -> dict[str, float]:
    """What one study says of its cells and networks, and in which share of them it is so."""
    study, truth = simulate(design, seed)
    trained, truth, counts = truth[:, :1], truth[:, 1:], np.array(every_count(design))
    networks = names(design)
    cells = count_evidence(study).set_index(["backbone", "images"])
    cells = cells.reindex([(name, count) for name in networks for count in counts])
    ends = ("interval_low", "interval_high", "shortfall_low", "shortfall_high")
    low, high, gap_low, gap_high = (cells[end].to_numpy().reshape(truth.shape) for end in ends)
    answer = minimum_images(study).set_index("backbone").loc[networks].reset_index()
    enough = truth >= trained - MARGIN
    smallest = np.where(enough.any(axis=1), counts[enough.argmax(axis=1)], counts[-1] + 1)
    points, known, gap = rule_points(answer), ~np.isnan(low), trained - truth
    least, most = answer["at_least"].astype("float64"), answer["minimum_images"].astype("float64").fillna(np.inf)
    held = ((least <= smallest) & (smallest <= most))[least.notna()]
    return {
        "coverage": float(((low <= truth) & (truth <= high))[known].mean()) if known.any() else np.nan,
        "difference": float(((gap_low <= gap) & (gap <= gap_high))[known].mean()) if known.any() else np.nan,
        "width": float((high - low)[known].mean()) if known.any() else np.nan,
        "rule": float((points["upper"] == smallest).mean()),
        "bracket": float(held.mean()),
        "suffices": float(answer["minimum_images"].notna().mean()),
    }


def significant(design: Design, seed: int) -> dict[str, float]:
    """Whether the tests of one study have p <= 0.05."""
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
    """The simulated networks."""
    return [f"{kind}{place}" for place, kind in enumerate(design.kinds)]


def _counts_p(points: pd.DataFrame) -> float | None:
    """Of bounds of smallest counts; networks of one ``kin``, where there is such a column, are kept together."""
    families = points["kin"].tolist() if "kin" in points else None
    p = spearman(points["parameters"], points["lower"].fillna(1), points["upper"], families).p
    return None if p is None else float(p)


def measured(design: Design, studies: int, of: Callable[[Design, int], dict[str, float]]) -> pd.Series:
    """Means of `claimed` or `significant` over so many studies; of tests also what was promised."""
    with pd.option_context("mode.string_storage", "python"):  # of frames as small as these quicker than Arrow's
        found = pd.DataFrame([of(design, seed) for seed in range(studies)])
    means = found.mean()
    if of is claimed:
        return pd.concat([means, pd.Series({"error": found["coverage"].std() / np.sqrt(studies)})])
    promised = power(design, PROMISED)
    return pd.concat([means, pd.Series({"promised_counts": promised.counts, "promised_curves": promised.level})])


STEADY = Design(seeds=5, patients=200, seed_spread=0.05)
FAMILIES = Design(networks=12, families=5)
RELATED = Design(correlation=0.7)
ATLAS = Design(
    seeds=3, patients=200, seed_spread=0.07, counts=(1, 2, 3, 4, 6, 8), searched=True, middle=1.2, correlation=0.7
)
KIN = replace(ATLAS, networks=28, families=20, alike=0.5)
TABLES: dict[str, dict[str, Design]] = {
    "coverage": {
        **{f"1 network, 2 seeds, {patients} patients": Design(networks=1, patients=patients) for patients in (60, 200)},
        **{
            f"6 networks, {seeds} seeds, {patients} patients": Design(seeds=seeds, patients=patients)
            for seeds in (2, 3, 5)
            for patients in (60, 200)
        },
        **{
            f"6 steady networks, {seeds} seeds, 200 patients, {failing:.0%} fail with 1 image": replace(
                STEADY, seeds=seeds, best=0.93, trained=0.94, failing=failing
            )
            for seeds in (2, 3)
            for failing in (0.0, 0.4)
        },
    },
    "level": {
        "12 networks, no relation": Design(networks=12),
        **{f"12 networks of 5 families, alike {icc:g}": replace(FAMILIES, alike=icc) for icc in (0.5, 0.9)},
        "12 of 5 families, alike 0.9, 5 steady seeds, 200 patients": replace(
            STEADY, networks=12, families=5, alike=0.9
        ),
        "12, the larger at 4 counts instead of 2": Design(networks=12, counts=(1, 2), larger_at=(3, 4)),
        "12, counts searched in 1 to 8": Design(networks=12, counts=(1, 2, 3, 4, 6, 8), searched=True),
        "12 of 5 families, alike 0.9, searched": replace(FAMILIES, alike=0.9, counts=(1, 2, 3, 4, 6, 8), searched=True),
    },
    "power": {
        **{f"{n} networks, correlation 0.7": replace(RELATED, networks=n) for n in (6, 12, 20)},
        **{f"{n}, 5 steady seeds, 200 patients": replace(STEADY, networks=n, correlation=0.7) for n in (6, 12, 20)},
        "12 of 5 families, alike 0.5": replace(FAMILIES, alike=0.5, correlation=0.7),
        "12, counts searched in 1 to 8": replace(
            RELATED, networks=12, counts=(1, 2, 3, 4, 6, 8), searched=True, middle=1.5
        ),
    },
    # What an atlas needs to find a correlation of 0.7; its seeds differ as the demo's do.
    "atlas": {
        **{
            f"{networks} networks, {seeds} seeds, {patients} patients": replace(
                ATLAS, networks=networks, seeds=seeds, patients=patients
            )
            for networks in (16, 20, 24, 28)
            for seeds, patients in ((2, 200), (3, 200), (3, 400))
        },
        "28 of 20 families, alike 0.5, 3 seeds, 200 patients": KIN,
        "28 of 20 families, 40% fail with 1 image": replace(KIN, failing=0.4),
        # A run of three folds is the mean of three networks: its seeds differ less.
        **{
            f"31 of 20 families on 138 real patients, {seeds} seeds": replace(
                KIN, networks=31, patients=138, seeds=seeds, seed_spread=0.05, best=0.72, trained=0.75
            )
            for seeds in (2, 3)
        },
    },
    "chance": {
        f"{seeds} seed{'s' * (seeds > 1)}, {patients} patients, training {trained:g}": Design(
            seeds=seeds, patients=patients, chance=True, trained=trained
        )
        for seeds, patients, trained in ((1, 60, 0.85), *((2, n, hm) for n in (60, 200) for hm in (0.45, 0.6, 0.85)))
    },
}


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
