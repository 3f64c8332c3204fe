"""Package header: schema, validation, canonical JSON."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from dataclasses import asdict, dataclass, field, fields
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Len, Lt, Predicate
from pydantic import ConfigDict, TypeAdapter, ValidationError

from sldd.data.patches import CLASSES, PatchSettings
from sldd.errors import InputError
from sldd.metrics.group_means import MOST_GROUPS
from sldd.ops.types import InnerWeights, Precision, TaskName
from sldd.package.format.container import load_json

FORMAT = "sldd-package/5"
FORMATS = {1: FORMAT, 3: "sldd-package/6", 0: "sldd-package/7"}
"""Format by the number of channels, 1 or 3; under 0 that of packages with exclusive classes, whatever their channels.

Packages in gray came first, and keep format 5 and their bytes. A reader from before the others refuses those by their
format, and does not take them for what they are not."""
_VERSIONED = ("sldd-study", "torch", "torchvision", "timm", "numpy")
_STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)

MOST_SIDE = 1024
"""Pixels of a side of the network's input."""

MOST_CLASSES = 1000

_MOST_PIXELS = 1_000_000
"""Most pixels of a patch's side and of its stride; no film has a side of as many."""

Word = Annotated[str, Len(1, 200), Predicate(str.isprintable)]
"""Text that is shown on terminals: it has no characters that steer one."""
Mark = Annotated[str, Len(16, 16)]
"""Fingerprint of a tensor: 16 hexadecimal digits."""
Images = Literal["float32", "float16", "uint8"]
Share = Annotated[float, Ge(0), Le(1)]
Depth = Literal[8, 16]
_Mean = Annotated[float, Ge(0), Le(65535)]
_Deviation = Annotated[float, Gt(0), Le(65535)]
_Side = Annotated[float, Gt(0), Le(65535)]
_BRANCHES = ("constrained-", "tuple[")
"""How names of types begin that pydantic puts into an error's place; a message names the value alone."""


@dataclass(frozen=True)
class Scores:
    """Metrics on a group of patients at ``delta``; those that are not defined for it are None.

    Of films with findings: ``positive`` patients are those with any, and ``auc`` is the mean over the findings. Of
    films of one class each: ``positive`` is 0, the rest are means over the classes, each against the others, so that
    ``sensitivity`` is the balanced accuracy.

    ``distribution``: ``group_means`` of the patients' scores, of those that are not undecided; of whole films, of the
    largest probability. Empty where there are too few patients, and in packages from before it was kept.
    """

    patients: Annotated[int, Ge(1), Le(1_000_000_000)]
    positive: Annotated[int, Ge(0)]
    undecided: Annotated[int, Ge(0)]
    sensitivity: Share | None
    specificity: Share | None
    hm: Share | None
    auc: Share | None
    distribution: Annotated[tuple[Share, ...], Len(0, MOST_GROUPS)] = ()
    __pydantic_config__ = _STRICT


@dataclass(frozen=True)
class Claims:
    """The maker's claimed scores: on which patients, and which of them chose state and threshold."""

    protocol: Literal["validation", "paper"]
    """``paper``: the state was chosen on the test patients, at a threshold of 0.4 (Li et al. 2022)."""
    validation: Scores
    """Of the patients on which the state was chosen and, unless it was fixed, delta."""
    test: Scores | None
    """Of patients that nothing was chosen on (but see ``paper``); scored once, by confirm trials only."""
    fold: Annotated[int, Ge(0)] | None = None
    """Which of several rotating parts was tested."""
    images: Images = "float32"
    """How the distilled images were stored when this was measured."""
    __pydantic_config__ = _STRICT


@dataclass(frozen=True)
class Stored:
    """How the images are encoded in the file, and the error that it makes.

    ``largest`` and ``rms``: change of a gray value, in deviations of a radiograph's gray values. ``outputs``: largest
    change of a class probability in the self-test, against the images in float32.
    """

    images: Images = "float32"
    largest: Annotated[float, Ge(0)] = 0.0
    rms: Annotated[float, Ge(0)] = 0.0
    outputs: Share = 0.0
    __pydantic_config__ = _STRICT


@dataclass(frozen=True)
class Marks:
    """Fingerprints of each part when the self-test was made: first 16 hexadecimal digits of the SHA-256 of its bytes.

    ``images`` and ``labels`` are one mark an image, step by step, so that another order can be told from another image.
    """

    images: tuple[tuple[Mark, ...], ...]
    labels: tuple[tuple[Mark, ...], ...]
    rates: Mark
    theta_bn: dict[Word, Mark]
    __pydantic_config__ = _STRICT


@dataclass(frozen=True)
class SelfTest:
    """Names the self-test's synthetic inputs; their expected outputs are a tensor.

    ``spread``: largest change of a class probability where every distilled gray value is changed in its last bits, as
    another machine's rounding might: how chaotic the inner steps are.
    """

    seed: Annotated[int, Ge(0)]
    spread: Share
    marks: Marks
    __pydantic_config__ = _STRICT


def versions() -> dict[str, str]:
    """Versions of the libraries that a start and its inner steps depend on, here and now."""
    known = {}
    for name in _VERSIONED:
        try:
            known[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:  # run from a folder
            known[name] = "not installed"
    return known | {"python": platform.python_version()}


@dataclass(frozen=True, kw_only=True)
class Header:
    """The header of a package.

    Attributes:
        backbone, norm, start, seed: give the start; ``start_fingerprints``, by parameter, check it. ``start`` is
            ``xavier``, ``pretrained``, or the name, for people, of a file of weights.
        inner_weights, momentum, inner_precision: of the inner steps.
        mean, deviation: standardise a radiograph's values, which are of ``depth`` bits, channel by channel.
        patches: how to cut a radiograph.
        delta: threshold on a patient's score; None where films have findings.
        channels: of radiographs and images: 1 for gray, 3 for red, green and blue.
        classes: what the labels' columns and the network's outputs stand for: I, N and P of patches, findings, or
            where ``exclusive`` what a film is one of.
        sides: ``group_means`` of the shorter sides of the training patients' films, in pixels, as they were kept (whole
            films no larger than ``data.film_size``); empty as ``Scores.distribution`` is.
        slice: that was read of volumes (``data.slice``); None where there were none.
        film_size: most pixels a side to which whole films were scaled, each side by itself, before they were resized
            (``data.film_size``); None of patches, and in packages from before it was kept.
        claims, stored, self_test: see there.
        versions: of the maker's libraries.
    """

    backbone: Word
    norm: Literal["as_is", "batch", "none", "group", "instance"]
    start: Word
    seed: Annotated[int, Ge(0)]
    start_fingerprints: dict[Word, Mark]
    inner_weights: InnerWeights
    momentum: Annotated[float, Ge(0), Lt(1)]
    inner_precision: Precision
    mean: _Mean | tuple[_Mean, _Mean, _Mean]
    deviation: _Deviation | tuple[_Deviation, _Deviation, _Deviation]
    depth: Depth = 8
    patches: PatchSettings
    delta: Share | None
    channels: int = 1
    classes: tuple[Word, ...] = CLASSES
    exclusive: bool = False
    slice: Share | None = None
    sides: Annotated[tuple[_Side, ...], Len(0, MOST_GROUPS)] = ()
    film_size: Annotated[int, Ge(16), Le(4096)] | None = None
    claims: Claims | None = None
    stored: Stored = Stored()
    self_test: SelfTest | None = None
    versions: dict[Word, Word] = field(default_factory=versions)
    __pydantic_config__ = _STRICT

    @property
    def task(self) -> TaskName:
        """The task, by the classes: any but I, N and P are findings, unless they exclude each other."""
        if self.exclusive:
            return "classes"
        return "patches" if self.classes == CLASSES else "multilabel"

    @property
    def format(self) -> str:
        """The format of a package with this header."""
        return FORMATS[0 if self.exclusive else self.channels]

    def header(self) -> Header:
        """The header alone, checked.

        Raises:
            InputError: a value cannot stand in a package; the message names it.
        """
        return _checked({f.name: _plain(getattr(self, f.name)) for f in fields(Header)})

    def to_text(self) -> str:
        """The header as canonical JSON: one line, names sorted, no spaces, ASCII.

        Fields that packages did not have from the beginning are left out where they have their defaults, so that older
        packages keep their bytes.
        """
        tree = asdict(self.header())
        for name in _LATER:
            if getattr(self, name) == getattr(Header, name):
                del tree[name]
        claims = tree["claims"] or {}
        for scores in (claims.get("validation"), claims.get("test")):
            if scores and not scores["distribution"]:
                del scores["distribution"]
        return json.dumps(tree, sort_keys=True, separators=(",", ":"), allow_nan=False)


_LATER = ("channels", "exclusive", "slice", "sides", "film_size")
"""Fields of ``Header`` that packages did not have from the beginning; each has a default."""
_HEADER = TypeAdapter(Header)


def read_header(text: str) -> Header:
    """Parse and check a header.

    Raises:
        InputError: not as ``Header.to_text`` would write it, or a value that no package has.
    """
    tree = load_json(text)
    if not isinstance(tree, dict):
        raise InputError("its facts are not a JSON object")
    header = _checked(tree)
    # One text for one meaning: nothing converted, nothing left out, nothing that the schema does not know.
    if header.to_text() != text:
        raise InputError("its facts are not in canonical form")
    return header


def printable(text: str) -> str:
    """Text of a stranger's file, fit to stand in one line of a message."""
    shown = "".join(letter if letter.isprintable() else "?" for letter in text[:81])
    return shown if len(text) <= 80 else shown[:77] + "..."


def too_large(side: int) -> str | None:
    """In words, the side of a network's input, where it is more than a package may have; else None."""
    return f"{side:,} pixels; {MOST_SIDE:,} are allowed in a package" if side > MOST_SIDE else None


def _checked(tree: dict[str, Any]) -> Header:
    """The header of these values; InputError where one cannot stand in a package, or they do not go together."""
    try:
        header = _HEADER.validate_python(tree)
    except (ValidationError, RecursionError) as error:
        if isinstance(error, RecursionError):
            raise InputError("its facts are nested too deeply") from None
        first = error.errors()[0]
        where = printable(".".join(part for part in map(str, first["loc"]) if not part.startswith(_BRANCHES)))
        raise InputError(f"its {where}: {first['msg'][0].lower()}{first['msg'][1:]}") from None
    if not 0 < len(header.classes) <= MOST_CLASSES or len(set(header.classes)) < len(header.classes):
        raise InputError(f"its classes are not 1 to {MOST_CLASSES:,} different names")
    if (header.delta is None) != (header.task != "patches"):
        raise InputError(f"its delta does not go with its classes: of {', '.join(CLASSES)} there is one, else none")
    if header.channels not in (1, 3):
        raise InputError(f"it has {header.channels} channels; 1 or 3 are known")
    if any(isinstance(values, tuple) != (header.channels > 1) for values in (header.mean, header.deviation)):
        raise InputError(f"its mean and deviation are not one for each of {header.channels} channels")
    if (asked := too_large(header.patches.input_size)) is not None:
        raise InputError(f"its patches.input_size: {asked}")
    lengths = (header.patches.size, header.patches.stride, header.patches.score_stride or 1)
    if max(lengths) > _MOST_PIXELS:
        raise InputError(f"its patches have a size or stride of {max(lengths):g} pixels; {_MOST_PIXELS:,} are allowed")
    for part in ("validation", "test"):
        scores: Scores | None = getattr(header.claims, part, None)
        if scores is not None and max(scores.positive, scores.undecided) > scores.patients:
            raise InputError(f"its claims.{part} count more positive or undecided patients than patients")
    return header


def _plain(value: Any) -> Any:
    return asdict(value) if hasattr(value, "__dataclass_fields__") else value
