"""Designs of the simulated studies in the tables of ``benchmarks.statistics``, by table and title of the row."""

from __future__ import annotations

from dataclasses import replace

from analysis.design.simulation import Design

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
