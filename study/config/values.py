"""Parser of YAML settings that refuses values which YAML reads otherwise than a person means them.

YAML 1.1 knows octal, hexadecimal and base 60: to it ``010`` is 8 and ``1:30`` is 90. It takes ``no`` and ``on`` for
truth values, which then count as 0 and 1, and of a key that is there twice the last. Here numbers are decimal, ``yes``
and ``no`` are words (a setting that is true or false understands them), and a day is text. A value in quotes is text
always.
"""

from __future__ import annotations

import dataclasses
import math
import re
import typing
from collections.abc import Iterator
from typing import Any

import yaml

from ledger import safe_yaml
from sldd.errors import InputError


class ValueMeantOtherwiseError(yaml.YAMLError):
    """A value that YAML reads as what nobody means; the message says what to write, ``line`` where it is (from 0)."""

    def __init__(self, problem: str, line: int) -> None:
        super().__init__(problem)
        self.problem, self.line = problem, line


_QUOTES = "or put it in quotes where it is text"
_REFUSED = {
    "base 60": (
        re.compile(r"[-+]?\d[\d_]*(:[0-5]?\d)+(\.[\d_]*)?"),
        f"{{0}} is a number of base 60 to YAML; write it as a decimal number (1.5 for one and a half), {_QUOTES}",
    ),
    "leading zero": (
        re.compile(r"[-+]?0\d[\d_]*"),
        f"{{0}} begins with a zero, which makes it octal to YAML; write it without, {_QUOTES}",
    ),
    "other base": (
        re.compile(r"[-+]?0[xXbBoO][0-9a-fA-F_]+"),
        f"{{0}} is not decimal; write it as a decimal number, {_QUOTES}",
    ),
    "thousands": (
        re.compile(r"[-+]?[1-9]\d{0,2}(\.000)+"),
        f"{{0}} may be a number with three decimals or thousands; write it without the zeros, or without the point, "
        f"{_QUOTES}",
    ),
    "underscores": (
        re.compile(r"[-+]?(?![-+]?\d{1,3}(_\d{3})+$)\d[\d_]*_[\d_]*(\.\d*)?"),
        f"{{0}} has underscores that part no thousands; write it without, {_QUOTES}",
    ),
    "not finite": (
        re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"),
        f"{{0}} is no number that a setting can have; write one, {_QUOTES}",
    ),
    "nothing": (re.compile(r"~"), "~ is nothing to YAML, not a home folder; write null, or the folder in full"),
}
_READ = {
    "tag:yaml.org,2002:bool": re.compile(r"true|True|TRUE|false|False|FALSE"),
    "tag:yaml.org,2002:null": re.compile(r"null|Null|NULL|"),
    "tag:yaml.org,2002:int": re.compile(r"[-+]?(0|[1-9]\d*|[1-9]\d{0,2}(_\d{3})+)"),
    "tag:yaml.org,2002:float": re.compile(r"[-+]?(\d+\.\d*|\.\d+)([eE][-+]\d+)?"),
    "tag:yaml.org,2002:merge": re.compile(r"<<"),
}


class _Loader(safe_yaml.Loader):
    yaml_implicit_resolvers: typing.ClassVar[dict[Any, Any]] = {}  # type: ignore[misc]

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        lines: dict[tuple[str, str], int] = {}
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if not isinstance(key, yaml.ScalarNode):
                continue
            line = key.start_mark.line
            if (key.tag, key.value) in lines:
                first = lines[key.tag, key.value] + 1
                raise ValueMeantOtherwiseError(f"{key.value!r} is there twice (first in line {first}); keep one", line)
            lines[key.tag, key.value] = line
        return super().construct_mapping(node, deep)


def _refuse(loader: Any, node: yaml.ScalarNode) -> None:
    raise ValueMeantOtherwiseError(
        _REFUSED[node.tag.removeprefix("!refused ")][1].format(node.value), node.start_mark.line
    )


for _kind, (_pattern, _) in _REFUSED.items():
    _Loader.add_implicit_resolver(f"!refused {_kind}", re.compile(f"(?:{_pattern.pattern})$"), None)
    _Loader.add_constructor(f"!refused {_kind}", _refuse)
for _tag, _pattern in _READ.items():
    _Loader.add_implicit_resolver(_tag, re.compile(f"(?:{_pattern.pattern})$"), None)


def load_settings(text: str) -> Any:
    """Parse a text of settings into nested dictionaries, lists and scalars.

    Raises:
        yaml.YAMLError: it is no YAML (``ledger.safe_yaml``); ValueMeantOtherwiseError: a value or key is refused.
    """
    return safe_yaml.load(text, _Loader)


def load_value(key: str, text: str) -> Any:
    """The value of a ``key=value``.

    Raises:
        InputError: it is none, or not what a person means by it.
    """
    if not text.strip():
        raise InputError(f"{key}: no value behind the '='; write {key}=null for none")
    try:
        value, comment = load_settings(text), _has_comment(text)
    except ValueMeantOtherwiseError as error:
        raise InputError(f"{key}: {error.problem}") from None
    except yaml.YAMLError:
        raise InputError(f"{key}: {text!r} cannot be read as a value; quote lists as {key}='[a, b]'") from None
    if comment:
        raise InputError(f"{key}: what follows the '#' would be left out; put the value in quotes ('\"...\"')")
    return value


def _has_comment(text: str) -> bool:
    """Whether a '#' stands outside every token of a text that is YAML."""
    end = 0
    for token in yaml.scan(text, yaml.SafeLoader):
        if "#" in text[end : token.start_mark.index]:
            return True
        end = max(end, token.end_mark.index)
    return "#" in text[end:]


def check_truths(hint: Any, value: Any, key: str) -> None:
    """Raise an InputError for true or false where the setting is no truth value: to Python they are 1 and 0."""
    kinds = set(_kinds(hint))
    if bool in kinds or Any in kinds or any(dataclasses.is_dataclass(kind) for kind in kinds):
        return
    if any(isinstance(each, bool) for each in _scalars(value)):
        raise InputError(f"{key}: true and false are no values of this setting; write another, or it in quotes")


def check_finite(tree: dict[str, Any], prefix: str = "") -> None:
    """Raise an InputError where a number of a configuration is infinite or not one (``inf``, ``nan``)."""
    for name, value in tree.items():
        if isinstance(value, dict):
            check_finite(value, f"{prefix}{name}.")
        elif any(isinstance(each, float) and not math.isfinite(each) for each in _scalars(value)):
            raise InputError(f"{prefix}{name}: is not finite; write a number")


def _kinds(hint: Any) -> Iterator[Any]:
    yield hint
    for part in typing.get_args(hint):
        yield from _kinds(part)


def _scalars(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for each in value.values():
            yield from _scalars(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _scalars(each)
    else:
        yield value
