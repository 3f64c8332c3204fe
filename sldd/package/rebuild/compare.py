"""Compare two packages part by part: what differs, and by how much."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch

from sldd.package.format.package import Package
from sldd.package.rebuild.self_test import marks

_APART = ("start_fingerprints", "self_test", "stored", "claims", "versions", "patches")


@dataclass(frozen=True)
class Difference:
    """A part, what the first and the second package have there, and how far apart they are."""

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
    before, after = marks(one), marks(other)
    for name in ("images", "labels"):
        order = sorted(sum(getattr(before, name), ())) == sorted(sum(getattr(after, name), ()))
        found += _tensors(name, {name: getattr(one, name)}, {name: getattr(other, name)}, order)
    found += _tensors("rates", {"": one.rates}, {"": other.rates})
    found += _tensors("theta_bn", one.theta_bn, other.theta_bn)
    found += _tensors("included start", one.weights or {}, other.weights or {})
    expected = [{} if package.expected is None else {"": package.expected} for package in (one, other)]
    found += _tensors("self-test", expected[0], expected[1])
    return found


def _tensors(
    what: str, one: dict[str, torch.Tensor], other: dict[str, torch.Tensor], reordered: bool = False
) -> list[Difference]:
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
    tree = asdict(package.header())
    flat = {name: value for name, value in tree.items() if name not in _APART}
    for group in ("patches", "versions", "stored", "claims"):
        flat |= {f"{group}.{name}": value for name, value in _leaves(tree[group] or {})}
    return flat


def _leaves(tree: dict[str, Any]) -> list[tuple[str, Any]]:
    found = []
    for name, value in tree.items():
        inner = _leaves(value) if isinstance(value, dict) else None
        found += [(name, value)] if inner is None else [(f"{name}.{below}", leaf) for below, leaf in inner]
    return found


def _said(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else "-" if value is None else str(value)
