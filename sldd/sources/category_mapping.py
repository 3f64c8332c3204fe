"""Mapping of a hospital's categories of findings to classes, from a file.

A YAML file of ``category: class`` lines, or a table with these two columns; a category without a class is dropped.
"""

from __future__ import annotations

from pathlib import Path

import yaml

from sldd.errors import InputError
from sldd.io.cells import finding, no_finding
from sldd.io.label_table import column, read_table

_MAPPING = "data.hospital.mapping"


def read_mapping(path: Path) -> dict[str, str | None]:
    """Class by category (in lower case), None where a category is dropped.

    Raises:
        InputError: no such file, no mapping of words, or a category in it twice.
    """
    mapping: dict[str, str | None] = {}
    for category, name in _table_pairs(path) if path.suffix.lower() == ".csv" else _yaml_pairs(path):
        if not isinstance(category, str) or not (name is None or isinstance(name, str)):
            raise InputError(f"{_MAPPING}: a category or a class is no text; put it in quotes")
        key = finding(category, _MAPPING).casefold()
        if not key or key in mapping:
            raise InputError(f"{_MAPPING}: a category is empty or there twice; keep one")
        into = finding(name, _MAPPING) if name else None
        if into is not None and no_finding(into):
            raise InputError(f"{_MAPPING}: a class is a word for no finding; leave it empty to drop the category")
        mapping[key] = into
    return mapping


def classes_of(mapping: dict[str, str | None]) -> list[str]:
    """Classes in the order in which the mapping names them last, each as it is first spelled.

    Raises:
        InputError: there is none.
    """
    classes: dict[str, str] = {}
    for name in mapping.values():
        if name:
            spelled = classes.pop(name.casefold(), name)
            classes[name.casefold()] = spelled  # behind all others, where a dictionary keeps what is new
    if not classes:
        raise InputError(f"{_MAPPING}: it names no class; write lines of category: class")
    return list(classes.values())


def _table_pairs(path: Path) -> list[tuple[object, object]]:
    header, lines = read_table(path, _MAPPING)
    old, new = column(header, _MAPPING, "category"), column(header, _MAPPING, "class")
    return [(cells[old], cells[new]) for _, cells in lines]


def _yaml_pairs(path: Path) -> list[tuple[object, object]]:
    """Keys and values in the file's order: text, None where there is none, and all else as it is."""
    try:
        text = path.read_text(encoding="utf-8")
        for event in yaml.parse(text, yaml.SafeLoader):
            # A list, or a mapping in the mapping, is nested for no reader; a few aliases stand for any number.
            if isinstance(event, yaml.AliasEvent | yaml.SequenceStartEvent):
                raise InputError(
                    f"{_MAPPING}: not a mapping of words (it has lists or aliases); write lines of category: class"
                )
        node = yaml.compose(text, yaml.SafeLoader)
        tree = yaml.safe_load(text)
    except OSError as error:
        raise InputError(f"{_MAPPING}: cannot be read ({error.strerror}); name a file in data.root") from None
    except InputError:
        raise
    except Exception:  # YAML's own, and those of values that are not what they look like
        raise InputError(f"{_MAPPING}: not a YAML file; write lines of category: class") from None
    if not isinstance(tree, dict) or not isinstance(node, yaml.MappingNode):
        raise InputError(f"{_MAPPING}: not a mapping; write lines of category: class")
    if len(tree) < len(node.value):  # of a key that is there twice, a dictionary keeps the last value
        raise InputError(f"{_MAPPING}: a category is empty or there twice; keep one")
    return list(tree.items())
