"""Two packages side by side: each part that differs is named, and no other."""

from __future__ import annotations

from dataclasses import replace

from sldd.package import Package
from sldd.package.rebuild.compare import Difference, differences


def test_a_start_of_other_layers_is_told(package: Package) -> None:
    prints = package.start_fingerprints
    name, many = next(iter(prints)), f"{len(prints)} layers"
    other = replace(package, start_fingerprints=prints | {name: "0" * 16})
    assert differences(package, other) == [Difference("start", many, many, "1 differ")]
    fewer = {layer: mark for layer, mark in prints.items() if layer != name}
    told = Difference("start", many, f"{len(prints) - 1} layers", "1 differ")
    assert differences(package, replace(package, start_fingerprints=fewer)) == [told]


def test_tensors_of_other_shapes_have_no_distance(package: Package) -> None:
    (found,) = differences(package, replace(package, rates=package.rates.expand(3, -1)))
    assert found == Difference("rates", "1 x 2", "3 x 2")
