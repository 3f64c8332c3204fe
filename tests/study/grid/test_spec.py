"""Specifications as studies keep them: what earlier versions wrote is read, and what is written is what they wrote."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from study.grid.axes import Cell
from study.grid.spec import TrialSpec

BEGUN_BEFORE = sorted((Path(__file__).parent / "begun_before").glob("*.json"))
"""``config.json`` of phantom studies begun at revision 9342862, before there were specifications."""
LEDGERS_OWN = ("trial", "cell", "index", "attempt", "owner")


@pytest.mark.parametrize("path", BEGUN_BEFORE, ids=lambda path: path.stem)
def test_a_stored_configuration_is_read_whole(path: Path) -> None:
    config = json.loads(path.read_text())
    spec = TrialSpec.from_json(config)
    written = json.loads(json.dumps(spec.to_json()))
    assert written | {name: config[name] for name in LEDGERS_OWN} == config | {
        "stop_below": config.get("stop_below", []), "starts_from": config.get("starts_from", []), "score": "headline",
        "rungs": [], "taken_up": [], "number": None,
    }  # fmt: skip
    assert spec.cell.name == config["cell"], "its folder is found again"
    assert TrialSpec.from_json(written) == spec


def test_what_studies_of_then_could_not_say_has_its_default() -> None:
    config = {"backbone": "net", "method": "sldd", "norm": "as_is", "phase": "search", "seed": 1, "outer_lr": 0.1}
    assert TrialSpec.from_json(config) == TrialSpec(Cell("net", "sldd", "as_is"), "search", 1, 0.1)


def test_what_was_searched_is_among_rates_and_options() -> None:
    spec = TrialSpec(Cell("net", "sldd", "as_is"), "search", 1, 0.1, inner_lr=0.2, options={"clip": None})
    assert spec.parameters_in(["outer_lr", "inner_lr", "clip"]) == {"outer_lr": 0.1, "inner_lr": 0.2, "clip": None}
