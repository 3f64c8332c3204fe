"""Methods: what the registry says of one is all that a study asks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sldd.backbones.registry import build
from sldd.errors import InputError
from study.config.cells import cells
from study.config.loader import load
from study.config.methods import METHODS, private_refusal
from study.config.methods.sldd import SLDD
from study.config.schema import declared
from study.config.search_settings import SearchSettings
from study.search.sampler import search_space


def test_a_method_of_the_registry_has_cells_and_a_search_without_another_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"grid\.method\.0: input should be .* \(got 'fresh'\)"):
        load("demo", ["grid.method=fresh"])
    monkeypatch.setitem(METHODS, "fresh", replace(SLDD, name="fresh", learned=("images",)))
    one, other = (load("demo", [f"grid.method={name}"]) for name in ("fresh", "sldd"))
    assert [replace(cell, method="sldd") for cell in cells(one.grid)] == cells(other.grid)
    spaces = [search_space(SearchSettings(), name, fixed_delta=False) for name in ("fresh", "sldd")]
    assert spaces[0] == spaces[1]


def test_names_and_labels_are_told_apart() -> None:
    assert {name: method.name for name, method in METHODS.items()} == {name: name for name in METHODS}
    assert len({method.label for method in METHODS.values()}) == len(METHODS)


def test_what_methods_read_are_settings() -> None:
    keys = [key for key, *_ in declared()]
    starts = {start for method in METHODS.values() for start in method.reads}
    assert {start for start in starts if any(key.startswith(start) for key in keys)} == starts


def test_only_what_can_be_private_is_made_so() -> None:
    network = build("test_resnet", input_size=32, norm="group")
    refused = {name for name in METHODS if private_refusal(name, network, "noise") is not None}
    assert refused == METHODS.keys() - {"sldd", "dd"}
    assert private_refusal("train", network, "noise") == (
        "privacy: train has no private version; use sldd or dd, or privacy.noise=null"
    )
    assert "starts from patients' own patches" in str(private_refusal("dd", network, "real"))
