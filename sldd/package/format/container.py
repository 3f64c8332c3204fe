"""Container of a package: a safetensors file, read within stated bounds, and a digest over everything in it.

Packages come from strangers. Before anything in the file is believed, its size and that of its header are compared with
the limits below; before a tensor is touched, all names, types, shapes and places are checked. Nothing is unpickled, no
path in the file is opened, and no byte of it stays unaccounted for.

The safetensors library reads these files, too, and the tests hold that. We have a reader and a writer of our own since
the library's reader allows headers of 100 MB, and takes the later of two entries of one name, where another reader may
take the earlier; and since its writer does not promise the same bytes for the same content.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sldd.errors import InputError

MOST_BYTES = 2 * 2**30
"""Of a file: room for the weights of the largest networks that anyone distils, several times over."""
MOST_HEADER_BYTES = 4 * 2**20
MOST_TENSORS = 10_000
MOST_DIMENSIONS = 8
_DTYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "U8": np.dtype("u1")}
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]{0,199}")
_DIGITS = 20
"""Most digits of an integer in the header: a seed may have as many."""

Tensors = dict[str, np.ndarray]


@dataclass(frozen=True)
class Container:
    """Content of a file: metadata and tensors.

    Attributes:
        metadata: text by name.
        tensors: read-only views of the file's bytes, float32, float16 or uint8.
    """

    metadata: dict[str, str]
    tensors: Tensors


class _Place(NamedTuple):
    """Where a tensor lies: bytes ``first`` to ``last`` (exclusive) of what follows the header."""

    name: str
    dtype: np.dtype[Any]
    first: int
    last: int
    shape: tuple[int, ...]


def digest(first: str, facts: str, tensors: Mapping[str, np.ndarray]) -> str:
    """SHA-256, in hexadecimal, over a text of one line each for the format, the facts and every tensor by name.

    A tensor's line is its name, its type as NumPy calls it, its shape joined by ``x`` and the SHA-256 of its bytes
    (little-endian, in C order), separated by spaces; ``images float32 1x3x1x40x40 5f2c...``.
    """
    lines = [first, facts]
    for name in sorted(tensors):
        value = np.ascontiguousarray(tensors[name])
        shape = "x".join(map(str, value.shape))
        lines.append(f"{name} {value.dtype.name} {shape} {hashlib.sha256(value.tobytes()).hexdigest()}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def to_bytes(container: Container) -> bytes:
    """The file's content: the same bytes for the same package, which the library does not promise.

    Raises:
        InputError: it is larger than what ``read`` takes.
    """
    header: dict[str, Any] = {"__metadata__": container.metadata}
    # As the library orders them: wide types first, so that every tensor lies on a multiple of its type's size.
    names = sorted(container.tensors, key=lambda name: (-container.tensors[name].dtype.itemsize, name))
    parts, end = [], 0
    for name in names:
        value = np.ascontiguousarray(container.tensors[name])
        kind = next(kind for kind, dtype in _DTYPES.items() if dtype == value.dtype)
        header[name] = {"dtype": kind, "shape": list(value.shape), "data_offsets": [end, end + value.nbytes]}
        parts.append(value.tobytes())
        end += value.nbytes
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    for what, size, most in (
        ("header", len(text), MOST_HEADER_BYTES),
        ("file", 8 + len(text) + end, MOST_BYTES),
    ):
        if size > most:
            raise InputError(
                f"the package's {what} would take {size:,} bytes, and {most:,} are allowed; make a smaller one"
            )
    return len(text).to_bytes(8, "little") + text + b"".join(parts)


def read(path: Path) -> Container:
    """Read a file.

    Raises:
        InputError: it is missing, no regular file, too large, or not such a file from its first byte to its last.
    """
    try:
        # A pipe would keep us waiting: it is opened without, and then turned down.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:  # noqa: PTH123
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise InputError(f"{path}: not a file; name a package")
            if found.st_size > MOST_BYTES:
                raise InputError(f"{path}: {found.st_size:,} bytes, and a package has {MOST_BYTES:,} at most")
            content = file.read(found.st_size)
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name, a package being no file name
        if isinstance(error, InputError):
            raise
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{path}: cannot be read ({reason})") from None
    try:
        return parse(content)
    except InputError as error:
        raise InputError(f"{path}: not a package, or a damaged one ({error}); copy the file again") from None


def metadata_of(path: Path) -> dict[str, str]:
    """The metadata of a file, of which nothing else is read; empty where it is none of these, or not there."""
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = load_json(file.read(size)) if size <= MOST_HEADER_BYTES else None
    except (OSError, ValueError, InputError):
        return {}
    metadata = header.get("__metadata__") if isinstance(header, dict) else None
    given = metadata.items() if isinstance(metadata, dict) else ()
    return {name: value for name, value in given if isinstance(value, str)}


def parse(content: bytes) -> Container:
    """The content of a file.

    Raises:
        InputError: says what is wrong with it, without naming the file.
    """
    size = int.from_bytes(content[:8], "little")
    if len(content) < 10:
        raise InputError("it ends within its header")
    if size > MOST_HEADER_BYTES:
        raise InputError(f"its header would take {size:,} bytes, and {MOST_HEADER_BYTES:,} are allowed")
    if 8 + size > len(content):
        raise InputError("it ends within its header")
    header = _header(content[8 : 8 + size])
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise InputError("its metadata is not text")
    if len(header) > MOST_TENSORS:
        raise InputError(f"it lists {len(header):,} tensors, and {MOST_TENSORS:,} are allowed")
    places = [_place(name, entry) for name, entry in header.items()]
    places.sort(key=lambda place: (place.first, place.last, place.shape))
    tensors, end = {}, 0
    body = memoryview(content)[8 + size :]
    for place in places:
        if place.first != end:
            raise InputError(f"its tensors overlap or leave a gap at {place.name}")
        end = place.last
        if end > len(body):
            raise InputError(f"it ends within {place.name}")
        tensors[place.name] = np.frombuffer(body[place.first : place.last], place.dtype).reshape(place.shape)
    if end != len(body):
        raise InputError(f"{len(body) - end:,} bytes of it belong to no tensor")
    return Container(metadata, tensors)


def load_json(text: str | bytes) -> Any:
    """JSON without the liberties that two readers may understand differently.

    Raises:
        InputError: not JSON, a name twice in one object, a number that is not finite, or nested too deeply.
    """
    try:
        return json.loads(text, object_pairs_hook=_once, parse_constant=_refuse, parse_int=_integer, parse_float=_real)
    except InputError:
        raise
    except (ValueError, RecursionError):
        raise InputError("its header is not JSON") from None


def _header(text: bytes) -> dict[str, Any]:
    header = load_json(text)
    if not isinstance(header, dict):
        raise InputError("its header is not a JSON object")
    return header


def _place(name: str, entry: Any) -> _Place:
    """The place of a tensor by its entry in the header; InputError unless type, shape and place agree."""
    if not _NAME.fullmatch(name):
        raise InputError("a tensor has a name that no tensor has")
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise InputError(f"its entry for {name} is not one of a tensor")
    dtype = _DTYPES.get(entry["dtype"]) if isinstance(entry["dtype"], str) else None
    if dtype is None:
        raise InputError(f"{name} is of a type other than {', '.join(_DTYPES)}")
    shape, offsets = entry["shape"], entry["data_offsets"]
    if not _counts(shape) or not _counts(offsets) or len(offsets) != 2 or len(shape) > MOST_DIMENSIONS or 0 in shape:
        raise InputError(f"the shape or place of {name} is none that a tensor has")
    first, last = offsets
    if math.prod(shape) * dtype.itemsize != last - first:
        raise InputError(f"the shape of {name} does not fit its place")
    return _Place(name, dtype, first, last, tuple(shape))


def _counts(values: Any) -> bool:
    """Whether this is a list of whole numbers that a shape or place may have; True and 1.0 are none."""
    return isinstance(values, list) and all(type(value) is int and 0 <= value <= MOST_BYTES for value in values)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, in which no name is twice."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise InputError("its header has a name twice")
    return found


def _refuse(word: str) -> Any:
    """What JSON does not have, though Python reads it: NaN, Infinity and -Infinity."""
    raise InputError(f"its header has the number {word}")


def _integer(digits: str) -> int:
    if len(digits) > _DIGITS:
        raise InputError("its header has a number that is too large")
    return int(digits)


def _real(digits: str) -> float:
    """A number with a point or exponent; 1e999 would be read as infinity."""
    value = float(digits)
    if not math.isfinite(value):
        raise InputError("its header has a number that is too large")
    return value
