"""Package: save and load distilled images, labels, rates and statistics with their header."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch

from sldd.errors import InputError
from sldd.io.atomic_file import write_file
from sldd.package.format.container import Container, Tensors, digest, metadata_of, read, to_bytes
from sldd.package.format.header import FORMATS, Header, printable, read_header
from sldd.package.format.image_encoding import decode, encode, names

_BN, _WEIGHTS, EXPECTED = "theta_bn/", "start/", "self_test"
_FAMILY = "sldd-package/"
MADE_OF_PACKAGES = {"made_of": "packages"}
"""Metadata of a file of weights that packages were averaged to."""
INPUTS = 32
"""Of the self-test."""
MOST_INNER_STEPS = 10_000
MOST_IMAGES_SEEN = 200_000
"""Images that all inner steps together look at."""


@dataclass(frozen=True, kw_only=True)
class Package(Header):
    """A package: distilled images, soft labels, inner rates, ``theta_bn``, and the header.

    Attributes:
        images: (S, M, channels, h, w) float32, standardised values.
        labels: (S, M, classes) float32.
        rates: (E, S) float32 inner rates as used, or (E, S, T) with one for each parameter tensor.
        theta_bn: batch-norm mean and variance by buffer name.
        weights: the start itself by parameter name, where it is included; else None.
        expected: (INPUTS, classes) float32 class probabilities of the self-test, where there is one.
    """

    images: torch.Tensor
    labels: torch.Tensor
    rates: torch.Tensor
    theta_bn: dict[str, torch.Tensor]
    weights: dict[str, torch.Tensor] | None = None
    expected: torch.Tensor | None = None

    def to_container(self) -> Container:
        """Header and tensors with their digest, unsigned.

        Raises:
            InputError: something cannot stand in a package: no reader would take it.
        """
        header, tensors = self.to_text(), self._tensors()
        _check_tensors(tensors, self)
        metadata = {"format": self.format, "facts": header, "digest": digest(self.format, header, tensors)}
        return Container(metadata, tensors)

    def to_bytes(self) -> bytes:
        """The file's content, unsigned."""
        return to_bytes(self.to_container())

    def save(self, path: Path) -> None:
        """Write the file, unsigned; it appears whole or not at all."""
        write_file(path, self.to_bytes())

    @classmethod
    def load(cls, path: Path) -> Package:
        """Read a file.

        Raises:
            InputError: not a package, one of another format, or one that was changed after it was made.
        """
        container = read(path)
        try:
            package = from_container(container)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
        if not whole(container):
            raise InputError(
                f"{path}: its content was changed after it was made (the digest is another); ask for the file again, "
                "or see what differs: python -m sldd.package verify"
            )
        return package

    def threshold(self) -> float:
        """``delta``, for scores of patients by the votes of their patches.

        Raises:
            InputError: the package is for whole films.
        """
        if self.delta is None:
            raise InputError(
                "a package for whole films, and patients are scored here by the votes of their patches; rebuild its "
                "network and take the softmax (classes) or sigmoid (findings) of what that gives a film "
                "(docs/package.md)"
            )
        return self.delta

    def _tensors(self) -> Tensors:
        tensors = encode(_array(self.images), self.stored.images)
        tensors |= {"labels": _array(self.labels), "rates": _array(self.rates)}
        tensors |= {_BN + name: _array(value) for name, value in self.theta_bn.items()}
        tensors |= {_WEIGHTS + name: _array(value) for name, value in (self.weights or {}).items()}
        return tensors if self.expected is None else tensors | {EXPECTED: _array(self.expected)}


def is_package(path: Path) -> bool:
    """Whether a file says that it is a package, of whatever format; a file of weights does not."""
    return metadata_of(path).get("format", "").startswith(_FAMILY)


def of_packages(path: Path) -> bool:
    """Whether a file says that patients' packages are in it: one itself, or weights that were made of several."""
    return is_package(path) or MADE_OF_PACKAGES.items() <= metadata_of(path).items()


def whole(container: Container) -> bool:
    """Whether the digest in a file is that of its content."""
    metadata = container.metadata
    return metadata["digest"] == digest(metadata["format"], metadata["facts"], container.tensors)


def from_container(container: Container) -> Package:
    """A package from header and tensors, all of them checked; the digest is the caller's.

    Raises:
        InputError: says what is wrong, without naming the file.
    """
    metadata, tensors = container.metadata, container.tensors
    found = metadata.get("format", "")
    if found not in FORMATS.values():
        if found.startswith(_FAMILY):
            known = ", ".join(FORMATS.values())
            raise InputError(f"a package of format {printable(found)}, and this version reads {known}; make it again")
        raise InputError("not a package; its header names no format")
    if not {"facts", "digest"} <= metadata.keys() <= {"format", "facts", "digest", "signature"}:
        raise InputError("not a package; its header is not one of this format")
    header = read_header(metadata["facts"])
    if header.format != found:
        raise InputError(f"its format is {found}, and what it says of itself is of {header.format}")
    images = _check_tensors(tensors, header)
    theta_bn, weights = (_below(prefix, tensors) for prefix in (_BN, _WEIGHTS))
    return Package(
        **{field.name: getattr(header, field.name) for field in fields(Header)},
        images=torch.from_numpy(images),
        labels=_tensor(tensors["labels"]),
        rates=_tensor(tensors["rates"]),
        theta_bn=theta_bn,
        weights=weights or None,
        expected=_tensor(tensors[EXPECTED]) if header.self_test else None,
    )


def too_many(epochs: int, steps: int, images: int) -> str | None:
    """In words, inner steps on so many images each, where they are more than a package may ask for; else None."""
    taken = epochs * steps
    if taken <= MOST_INNER_STEPS and taken * images <= MOST_IMAGES_SEEN:
        return None
    return (
        f"{taken:,} inner steps on {images:,} images; {MOST_INNER_STEPS:,} steps and {MOST_IMAGES_SEEN:,} images are "
        "allowed"
    )


def _check_tensors(tensors: Tensors, header: Header) -> np.ndarray:
    """Check a file's tensors against its header; returns the images as float32.

    Raises:
        InputError: says what is wrong.
    """
    kind = header.stored.images
    wanted = {*names(kind), "labels", "rates"} | ({EXPECTED} if header.self_test else set())
    given = {name for name in tensors if not name.startswith((_BN, _WEIGHTS))}
    if given != wanted:
        missing, more = sorted(wanted - given), sorted(given - wanted)
        raise InputError(f"it has no {missing[0]}" if missing else f"it has a tensor {more[0]} that no package has")
    images = decode(tensors, kind)
    rest = {name: value for name, value in tensors.items() if name not in names(kind)}
    for name, value in rest.items():
        if value.dtype != np.float32:
            raise InputError(f"its {name} is {value.dtype}, not float32")
    _check_shapes(images, rest, header)
    for name, value in {"images": images, **rest}.items():
        if not np.isfinite(value).all():
            raise InputError(f"its {name} has values that are not finite")
    return images


def _check_shapes(images: np.ndarray, tensors: Mapping[str, np.ndarray], header: Header) -> None:
    side, channels = header.patches.input_size, header.channels
    if images.ndim != 5 or images.shape[2:] != (channels, side, side):
        raise InputError(f"its images are {_words(images.shape)}, not S x M x {channels} x {side} x {side}")
    steps, each = images.shape[:2]
    labels, rates = tensors["labels"], tensors["rates"]
    classes = len(header.classes)
    if labels.shape != (steps, each, classes):
        raise InputError(f"its labels are {_words(labels.shape)}, not {steps} x {each} x {classes}")
    if rates.ndim not in (2, 3) or rates.shape[1] != steps:
        raise InputError(f"its rates are {_words(rates.shape)}, not E x {steps}")
    if (asked := too_many(rates.shape[0], steps, each)) is not None:
        raise InputError(f"it asks for {asked}")
    if (rates < 0).any():
        raise InputError("its rates are negative somewhere")
    if any(name.endswith("running_var") and (value < 0).any() for name, value in tensors.items()):
        raise InputError("its theta_bn has a negative variance")
    expected = tensors.get(EXPECTED)
    if expected is not None and expected.shape != (INPUTS, classes):
        raise InputError(f"its self-test is {_words(expected.shape)}, not {INPUTS} x {classes}")


def _below(prefix: str, tensors: Tensors) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): _tensor(value) for name, value in tensors.items() if name.startswith(prefix)}


def _tensor(value: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(value.copy())  # of its own: the file's bytes are read-only


def _array(value: torch.Tensor) -> np.ndarray:
    return value.detach().cpu().contiguous().float().numpy()


def _words(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "a single number"
