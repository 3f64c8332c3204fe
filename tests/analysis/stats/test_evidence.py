"""What confirm trials show of each image count: which variance is pooled with which, and what the floor is held to."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest

from analysis.records.records import read_study
from analysis.stats import evidence
from analysis.stats.evidence import count_evidence
from tests.analysis.conftest import Ledger, voters

TRAINED = {"method": "train", "label_init": None, "distill_steps": None, "distill_epochs": None}
Shown = Callable[..., pd.DataFrame]


@pytest.fixture
def shown(ledger: Callable[..., Ledger]) -> Shown:
    """`shown({1: (0.6, 0.7)}, trained=(0.9, 0.9))`: the evidence on one network's HM by image count, for every seed."""

    def evidence_of(
        hms: dict[int, tuple[float, ...]],
        trained: tuple[float, ...],
        each: int = 100,
        folder: str = "demo",
        **rule: float,
    ) -> pd.DataFrame:
        written = ledger(folder, config={"minimum": {"resamples": 200} | rule})
        for images, seeds in [*hms.items(), (None, trained)]:
            cell = written.cell("net", 1000, images, **({} if images else TRAINED))
            for index, hm in enumerate(seeds):
                written.done(cell, index, hm=hm, patients=voters(hm, each))
        return count_evidence(read_study(written.folder))

    return evidence_of


def test_a_count_that_is_shown_to_be_under_the_floor_is_insufficient_however_wide_the_margin(shown: Shown) -> None:
    found = shown({1: (0.3, 0.3), 2: (0.9, 0.9)}, trained=(0.9, 0.9), margin=0.8)
    assert found["shortfall_low"].max() < 0.8
    assert found["shown"].tolist() == ["insufficient", "sufficient"]


def test_beside_training_that_is_not_shown_to_learn_no_count_falls_short(shown: Shown) -> None:
    found = shown({1: (0.2, 0.2), 2: (0.6, 0.6)}, trained=(0.55, 0.55), each=30)
    assert found["shortfall_low"].max() > 0.1
    assert not found["learns"].any()
    assert found["shown"].tolist() == ["open", "open"]


def test_what_seeds_differ_by_with_images_makes_ordinary_training_unsure_too(shown: Shown) -> None:
    """Its own seeds agree, and are too few to tell."""
    steady = shown({1: (0.75, 0.75), 2: (0.75, 0.75)}, trained=(0.9, 0.9), folder="steady")
    wild = shown({1: (0.6, 0.9), 2: (0.9, 0.6)}, trained=(0.9, 0.9), folder="wild")
    assert wild["trained_low"].max() < steady["trained_low"].min() - 0.05
    assert wild["trained_hm"].tolist() == steady["trained_hm"].tolist() == pytest.approx([0.9, 0.9])


def test_cells_that_differ_in_their_network_alone_are_a_group(
    ledger: Callable[..., Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    pooled, intervals = list[pd.DataFrame](), evidence.intervals

    def watched(cells: pd.DataFrame, *rest: object) -> pd.DataFrame:
        pooled.append(cells)
        return intervals(cells, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(evidence, "intervals", watched)
    study = ledger(config={"minimum": {"resamples": 100}})
    for name in ("small", "large"):
        for images in (1, 2):
            for init in ("one_hot", "uniform"):
                cell = study.cell(name, 1000, images, cell=f"{name}-{images}-{init}", label_init=init)
                for index in range(2):
                    study.done(cell, index, patients=voters(0.8, 10))
    count_evidence(read_study(study.folder))
    groups = pooled[0].groupby("group")
    assert [sorted(rows["backbone"]) for _, rows in groups] == [["large", "small"]] * 4
    assert groups[["images", "label_init"]].nunique().eq(1).all(axis=None)
