"""Which packages can be combined: those of the same network, start and films."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sldd.errors import InputError
from sldd.package.format.header import Header, printable

_FILMS = ("classes", "exclusive", "channels", "depth", "slice", "film_size")
_NETWORK = ("backbone", "norm", "start", "seed")
_STEPS = ("inner_weights", "momentum", "inner_precision", "patches")


def check_alike(packages: Sequence[Header], names: Sequence[str]) -> None:
    """Raise an InputError where packages are not of one network, start and kind of films; it says what differs.

    Args:
        names: of the packages, for messages.
    """
    _check(packages, names, (*_NETWORK, *_FILMS, *_STEPS))
    first = packages[0].start_fingerprints
    for package, name in zip(packages, names, strict=True):
        other = package.start_fingerprints
        layers = [layer for layer in {**first, **other} if first.get(layer) != other.get(layer)]
        if layers:
            raise InputError(
                f"{name} cannot be combined with {names[0]}: its start has another layer {printable(layers[0])}"
            )


def check_same_films(packages: Sequence[Header], names: Sequence[str]) -> None:
    """Raise an InputError where packages do not tell the same classes of the same kind of films."""
    _check(packages, names, _FILMS)


def _check(packages: Sequence[Header], names: Sequence[str], facts: Sequence[str]) -> None:
    if len(packages) < 2:
        raise InputError("name two packages or more")
    first = packages[0]
    for package, name in zip(packages, names, strict=True):
        for fact in facts:
            one, other = getattr(package, fact), getattr(first, fact)
            if one != other:
                raise InputError(
                    f"{name} cannot be combined with {names[0]}: its {fact} is {_words(one)}, and there {_words(other)}"
                )


def _words(value: Any) -> str:
    if hasattr(value, "input_size"):
        return f"{value.size:g} at {value.score_stride or value.stride:g} to {value.input_size}"
    return printable(" ".join(map(str, value)) if isinstance(value, tuple) else str(value))
