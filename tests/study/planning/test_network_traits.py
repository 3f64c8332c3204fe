"""What is measured of networks before a study, and of which."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from sldd.backbones.traits import Traits
from sldd.data.cohort import prepare
from sldd.data.patches import Patches
from sldd.data.settings import open_source
from sldd.data.split import split_patients
from study.config.cells import cells
from study.config.loader import load
from study.config.tasks.patches import PatchData
from study.planning.network_traits import FEWEST, traits_of
from study.planning.plan import PlannedCell

NETWORKS = "[lenet,convnet_w32,convnet_w64,test_vit,test_resnet,test_convnext,test_nfnet,test_byobnet,test_mambaout]"


def _traits(cache: Path, backbones: str, known: list[dict[str, object]] = [], refused: str = "") -> list[dict]:  # type: ignore[type-arg]  # noqa: B006
    settings = [
        "data.phantom={patients: 16, size: 128}", "data.split={validation: 0.2, test: 0.4}", "grid.method=[sldd,train]",
        "patches={size: 24, stride: 8, input_size: 32}", "grid.images=[2,3]", f"grid.backbone={backbones}",
    ]  # fmt: skip
    config = load("demo", settings)
    cohort = prepare(open_source(config.data), cache)
    split = split_patients(cohort, config.data.split)
    data = PatchData(Patches(cohort, config.patches, *cohort.intensity(split.train)), split)
    plan = [PlannedCell(cell, 1, "no" if cell.backbone == refused else None, None) for cell in cells(config.grid)]
    return traits_of(plan, config, data, known)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.getbasetemp() / "cohorts"


def test_every_network_that_is_distilled_has_a_row(cache: Path) -> None:
    rows = _traits(cache, NETWORKS)
    assert [row["backbone"] for row in rows] == NETWORKS.strip("[]").split(",")
    assert all({"norm", "start", *(each.name for each in fields(Traits))} <= row.keys() for row in rows)
    assert rows == _traits(cache, NETWORKS), "of the same patches and the same start"
    first = {**rows[0], "depth": 99}
    assert _traits(cache, NETWORKS, [first])[0] == first, "what was measured stays"
    del first["version"]
    assert _traits(cache, NETWORKS, [first]) == rows, "unless it was measured otherwise"
    assert "lenet" not in [row["backbone"] for row in _traits(cache, NETWORKS, refused="lenet")]


def test_few_networks_have_none(cache: Path) -> None:
    assert len(NETWORKS.split(",")) > FEWEST
    assert _traits(cache, "[lenet,convnet_w32]") == []


def test_a_network_that_cannot_be_measured_costs_nothing_else(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from study.planning import network_traits as module

    measure = module.measure_traits

    def break_one(network, *rest):  # type: ignore[no-untyped-def]
        if type(network).__name__ == "VisionTransformer":
            raise RuntimeError
        return measure(network, *rest)

    monkeypatch.setattr(module, "measure_traits", break_one)
    rows = _traits(cache, NETWORKS)
    assert len(rows) == 8
    assert "test_vit" not in [row["backbone"] for row in rows]
