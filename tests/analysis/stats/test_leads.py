"""What else goes along with the smallest count, of whole studies."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from analysis.figures.leads import FIGURE, leads_figure
from analysis.records.records import read_study
from analysis.stats.leads import TRAITS, leads, network_traits
from tests.analysis.conftest import Ledger, voters

NETWORKS = [
    "resnet18", "convnet_w32", "test_vit", "mobilenetv3_small_050", "efficientnet_lite0", "repvgg_a0", "regnety_002",
    "convnext_atto", "ghostnet_050", "densenet121", "hgnetv2_b0", "starnet_s050",
]  # fmt: skip


def atlas(ledger: Callable[..., Ledger], networks: list[str] = NETWORKS, **changed: object) -> Ledger:
    """Every second network is deep, and needs two images where others need one, whatever its size."""
    traits = [
        {"backbone": name, "norm": "as_is", "start": "near_linear", "depth": 10 + 20 * (place % 2), "width": 8.0}
        | {"linearity": 0.1 * (place % 7), "steepness": None}
        for place, name in enumerate(networks)
    ]
    study = ledger("atlas", networks=traits, **changed)
    for place, name in enumerate(networks):
        size = 10_000 * (1 + (place * 5) % 12)
        full = study.cell(name, size, None, cell=f"{name}-train", method="train")
        for images in (1, 2):
            study.cell(name, size, images)
        for seed in range(3):
            study.done(full, seed, hm=0.95, patients=voters(0.95, each=100))
            for images in (1, 2):
                right = 0.95 if images == 2 or place % 2 == 0 else 0.6
                cell = f"{name}-m{images}-one_hot-as_is-sldd-s1e1"
                study.done(cell, seed, hm=right, patients=voters(right, each=100))
    return study


def test_the_trait_that_decides_stands_first(ledger: Callable[..., Ledger]) -> None:
    study = read_study(atlas(ledger).folder)
    points = network_traits(study)
    assert points["lower"].tolist() == [1.0, 2.0] * 6
    found = leads(study)
    assert found["trait"].iloc[0] == "depth"
    assert found["value"].iloc[0] == pytest.approx(1.0)
    assert set(found["trait"]) == {"depth", "linearity"}, "what does not vary, or is missing, is left out"
    drawn = leads_figure(found)
    assert drawn.data[1].y[0] == TRAITS["depth"]
    headings, rows = FIGURE.table(found)  # type: ignore[misc]
    assert len(headings) == len(next(iter(rows)))


def test_a_trait_that_goes_against_the_count_stands_first_as_well(ledger: Callable[..., Ledger]) -> None:
    study = atlas(ledger)
    study.described["networks"] = [each | {"depth": 50 - each["depth"]} for each in study.described["networks"]]
    study.save()
    found = leads(read_study(study.folder))
    assert found["trait"].tolist() == ["depth", "linearity"]
    assert found["value"].iloc[0] == pytest.approx(-1.0)


def test_a_study_that_compares_settings_has_none(ledger: Callable[..., Ledger]) -> None:
    """Each of them would have an answer of its own."""
    study = atlas(ledger)
    cell = study.cell(NETWORKS[0], 10_000, 1, cell="other", label_init="uniform")
    for seed in range(3):
        study.done(cell, seed, hm=0.95, patients=voters(0.95, each=100))
    assert leads(read_study(study.folder)).empty


def test_a_study_of_few_networks_has_none(ledger: Callable[..., Ledger]) -> None:
    assert leads(read_study(atlas(ledger, NETWORKS[:5]).folder)).empty


def test_a_study_of_before_has_none(ledger: Callable[..., Ledger]) -> None:
    study = atlas(ledger)
    del study.described["networks"]
    study.save()
    assert leads(read_study(study.folder)).empty
    assert FIGURE.numbers(read_study(study.folder)) is None


@pytest.mark.parametrize("damaged", [[3], ["text"], [{"backbone": 3}], [{"backbone": "resnet18", "depth": "x"}], {}])
def test_damaged_traits_are_as_none(ledger: Callable[..., Ledger], damaged: object) -> None:
    study = atlas(ledger)
    study.described["networks"] = damaged
    study.save()
    found = leads(read_study(study.folder))
    assert not set(found["trait"]) & set(TRAITS), "ordinary training's score alone is left, where networks have one"
    assert np.isfinite(found["value"]).all()
