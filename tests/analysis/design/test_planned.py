from __future__ import annotations

from typing import Any

import pytest

from analysis.design import planned as plans
from analysis.design.planned import design_of, measured_spread, planned
from analysis.design.simulation import Design
from analysis.records.records import read_study
from benchmarks.statistics import simulate
from tests.analysis.conftest import voters


def cells(sizes: dict[str, int | None], counts: tuple[int, ...] = (1, 2, 3), **more: Any) -> list[dict[str, Any]]:
    return [
        {"backbone": name, "parameters": size, "images": images, "method": "sldd"} | more
        for name, size in sizes.items()
        for images in counts
    ]


def test_a_design_has_the_networks_families_and_counts_of_its_cells():
    training = [{"backbone": "vgg16", "parameters": 9, "images": None, "method": "train"}]
    design = planned(cells({"resnet18": 5, "resnet34": 7, "vgg16": 9}) + training, seeds=3, patients=50)
    assert design is not None
    assert (design.networks, design.counts, design.seeds, design.patients) == (3, (1, 2, 3), 3, 50)
    assert (design.parameters, design.kin) == ((5, 7, 9), ("resnet", "resnet", "vgg"))
    assert not design.searched


def test_networks_in_several_settings_are_those_of_one():
    both = cells({"a": 1, "b": 2}, norm="as_is") + cells({"a": 1}, norm="none")
    apart = cells({"a": 1}, norm="as_is") + cells({"b": 2}, norm="none")
    assert planned(both, seeds=1, patients=9).networks == 2
    assert planned(apart, seeds=1, patients=9).networks == 2


def test_what_is_refused_or_unknown_is_not_counted():
    assert planned(cells({"a": None}) + cells({"b": 5}, refused="too large"), seeds=1, patients=9) is None
    assert planned([], seeds=1, patients=9) is None
    uneven = cells({"a": 1}) + cells({"b": 2}, counts=(1, 2), counted=True)
    design = planned(uneven, seeds=1, patients=9)
    assert (design.counts, design.searched) == ((1, 2), True)


def test_the_spread_of_seeds_is_measured_without_what_patients_add():
    study, _ = simulate(Design(networks=20, seeds=10, patients=100, seed_spread=0.08), 0)
    study.provenance["cohort"] = {"patients": 300, "splits": {"test": 100}}
    assert plans.tested_patients(study) == 100
    assert measured_spread(study) == pytest.approx(0.08, rel=0.3)
    steady, _ = simulate(Design(networks=20, seeds=10, patients=100, seed_spread=0.0), 0)
    steady.provenance["cohort"] = {"splits": {"test": 100}}
    assert measured_spread(steady) < 0.03


def test_a_study_of_one_seed_says_nothing_of_their_spread():
    study, _ = simulate(Design(networks=2, seeds=1), 0)
    study.provenance["cohort"] = {"splits": {"test": 60}}
    assert measured_spread(study) is None
    assert design_of(study) is None  # its ledger has no cells
    study.cells.extend(cells({"a": 5, "b": 6}))
    assert design_of(study).seeds == 1
    study.provenance["cohort"] = "damaged"
    assert plans.tested_patients(study) is None


def test_controls_are_no_part_of_a_design_and_say_nothing_of_its_seeds(ledger):
    def read(folder, controls):
        study = ledger(folder, methods={"random_real": {"control": True}})
        for name, size in (("a", 10), ("b", 100)):
            for images in (1, 2):
                cell = study.cell(name, size, images)
                for index, right in enumerate((0.8, 0.85)):
                    study.done(cell, index, hm=right, patients=voters(right))
            if controls:
                cell = study.cell(name, size, 3, cell=f"{name}-real", method="random_real")
                for index, right in enumerate((0.3, 0.6, 0.9)):
                    study.done(cell, index, hm=right, patients=voters(right))
        return read_study(study.folder)

    beside, plain = read("beside", True), read("plain", False)
    assert measured_spread(beside) == measured_spread(plain)
    assert design_of(beside) == design_of(plain)
    assert design_of(beside).seeds == 2
