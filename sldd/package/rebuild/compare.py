"""Compare two packages part by part: what differs, and by how much."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch

from sldd.package.format.package import Package
from sldd.package.rebuild.self_test import marks

_GROUPS = ("patches", "versions", "stored", "claims")
"""Fields of the header that have fields of their own: compared one by one."""
_NOT_AS_VALUES = ("start_fingerprints", "self_test")
"""Fields of the header that are compared otherwise: the start layer by layer, the self-test by its expected outputs."""


@dataclass(frozen=True)
class Difference:
    """A part in which two packages differ.

    Attributes:
        what: its name.
        one, other: what the first and the second package have there, in words.
        distance: how far apart these are, in words; empty where there is no such measure.
    """

    what: str
    one: str
    other: str
    distance: str = ""


def differences(one: Package, other: Package) -> list[Difference]:
    """All differences, header first; empty for packages of the same content."""
    first, second = _flat(one), _flat(other)
    found = [
        Difference(name, _said(first.get(name)), _said(second.get(name)))
        for name in dict.fromkeys([*first, *second])
        if first.get(name) != second.get(name)
    ]
    prints = one.start_fingerprints, other.start_fingerprints
    layers = [name for name in {**prints[0], **prints[1]} if prints[0].get(name) != prints[1].get(name)]
    if layers:
        one_said, other_said = (f"{len(each)} layers" for each in prints)
        found.append(Difference("start", one_said, other_said, f"{len(layers)} differ"))
    here, there = marks(one), marks(other)
    found += _tensors("images", {"": one.images}, {"": other.images}, _same_ones(here.images, there.images))
    found += _tensors("labels", {"": one.labels}, {"": other.labels}, _same_ones(here.labels, there.labels))
    found += _tensors("rates", {"": one.rates}, {"": other.rates})
    found += _tensors("theta_bn", one.theta_bn, other.theta_bn)
    found += _tensors("included start", one.weights or {}, other.weights or {})
    expected = [{} if package.expected is None else {"": package.expected} for package in (one, other)]
    found += _tensors("self-test", expected[0], expected[1])
    return found


def _same_ones(one: tuple[tuple[str, ...], ...], other: tuple[tuple[str, ...], ...]) -> bool:
    """Whether the same fingerprints are in both, in whatever order and steps."""
    return sorted(mark for step in one for mark in step) == sorted(mark for step in other for mark in step)


def _tensors(
    what: str, one: dict[str, torch.Tensor], other: dict[str, torch.Tensor], reordered: bool = False
) -> list[Difference]:
    """How one part's tensors differ, all of them as one vector; empty where they are equal.

    Args:
        one, other: the part's tensors by name, of either package.
        reordered: they are the same images or labels: where they differ, it is in their order.
    """
    shapes = [{name: tuple(value.shape) for name, value in each.items()} for each in (one, other)]
    if shapes[0] != shapes[1]:
        return [Difference(what, _shapes(shapes[0]), _shapes(shapes[1]))]
    changed = [name for name in one if not torch.equal(one[name], other[name])]
    if not changed:
        return []
    apart = torch.cat([(one[name] - other[name]).flatten().double() for name in changed])
    size = torch.cat([one[name].flatten().double() for name in changed])
    relative = float(apart.norm() / size.norm().clamp(min=1e-300))
    distance = f"at most {float(apart.abs().max()):.3g}, {relative:.2%} of the norm"
    if reordered:
        distance = f"the same ones in another order; {distance}"
    many = f"{len(changed)} of {len(one)}" if len(one) > 1 else _shapes(shapes[0])
    return [Difference(what, many, many, distance)]


def _shapes(shapes: dict[str, tuple[int, ...]]) -> str:
    if not shapes:
        return "none"
    if len(shapes) > 1:
        return f"{len(shapes)} tensors"
    return " x ".join(map(str, next(iter(shapes.values()))))


def _flat(package: Package) -> dict[str, Any]:
    """Values of the header by name, those in groups by ``group.name``."""
    tree = asdict(package.header())
    flat = {name: value for name, value in tree.items() if name not in (*_GROUPS, *_NOT_AS_VALUES)}
    for group in _GROUPS:
        flat |= {f"{group}.{name}": value for name, value in _leaves(tree[group] or {})}
    return flat


def _leaves(tree: dict[str, Any]) -> list[tuple[str, Any]]:
    """Values of nested dictionaries, each with its path: the names that lead to it, with dots between them."""
    found: list[tuple[str, Any]] = []
    for name, value in tree.items():
        if isinstance(value, dict):
            found += [(f"{name}.{below}", leaf) for below, leaf in _leaves(value)]
        else:
            found.append((name, value))
    return found


def _said(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else "-" if value is None else str(value)
