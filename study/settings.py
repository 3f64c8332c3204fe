"""Every setting of a study: its key, its default, and what it means.

    python -m study.settings                # all of them
    python -m study.settings outer grid     # those of some groups
    python -m study.settings --markdown     # as docs/settings.md has them

Presets have other defaults. A study's own settings are in its study.yaml.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import inspect
import sys
import textwrap
import typing
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby, pairwise
from typing import Any

import yaml
from rich.console import Console

from study.config.methods import METHODS
from study.config.schema import declared
from study.config.tasks import TASKS

_HEADING = """\
# Settings

Written by `python -m study.settings --markdown`. Each is a `key=value` on the command line of `study.run`, or a line of
a study's YAML file; a preset may say otherwise. Where there is no text, [study.md](study.md) or the name has it.
"""


_REGISTERED: dict[str, Collection[str]] = {
    "grid.method": METHODS,
    "grid.label_init": dict.fromkeys(start for task in TASKS.values() for start in task.label_starts),
    "task": TASKS,
}
"""Settings whose words are no part of their types."""


@dataclass(frozen=True)
class Setting:
    """One setting; ``default`` as YAML has it, None where it has to be given, ``meaning`` in reStructuredText."""

    key: str
    default: str | None
    meaning: str


def settings() -> Iterator[Setting]:
    """All settings, groups in the order in which they are declared."""
    for key, kind, name in declared():
        known = _REGISTERED.get(key) or _choices(typing.get_type_hints(kind)[name])
        choices = ", ".join(f"``{choice}``" for choice in known)
        words = [_docstrings(kind).get(name, ""), choices and f"One of {choices}."]
        (field,) = (field for field in dataclasses.fields(kind) if field.name == name)
        yield Setting(key, _default(field), " ".join(filter(None, words)))


def _choices(hint: Any) -> list[str]:
    """The words that a value, or each of a list, may be."""
    parts = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Literal:
        return [str(part) for part in parts if isinstance(part, str)] if len(parts) > 1 else []
    return [choice for part in parts for choice in _choices(part)]


@lru_cache
def _docstrings(kind: type) -> dict[str, str]:
    """The strings that stand below the fields of a class, on one line each."""
    (declared,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(declared, ast.ClassDef)
    found = {}
    for pair in pairwise(declared.body):
        match pair:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = " ".join(text.split())
    return found


def _default(field: dataclasses.Field[Any]) -> str | None:
    if field.default_factory is not dataclasses.MISSING:
        value = field.default_factory()
    elif field.default is not dataclasses.MISSING:
        value = field.default
    else:
        return None
    plain = list(value) if isinstance(value, tuple) else value
    return yaml.safe_dump(plain, default_flow_style=True, width=1000).removesuffix("...\n").strip()


def to_markdown(found: list[Setting]) -> str:
    """A table a group."""
    parts = [_HEADING]
    for group, rows in groupby(found, key=lambda setting: setting.key.rpartition(".")[0]):
        parts.append(f"\n## {group or 'The study'}\n\n| key | default | |\n| --- | --- | --- |\n")
        for row in rows:
            default = "" if row.default is None else f"`{row.default}`"
            parts.append(f"| `{row.key}` | {default} | {row.meaning.replace('``', '`').replace('|', '&#124;')} |\n")
    return "".join(parts)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status: 0, or 2 where no setting is called so."""
    parser = argparse.ArgumentParser(
        prog="python -m study.settings", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("groups", nargs="*", metavar="GROUP", help="such as outer, or outer.steps (default: all)")
    parser.add_argument("--markdown", action="store_true", help="print them as Markdown tables")
    options = parser.parse_args(arguments)
    found, groups = list(settings()), tuple(options.groups)
    if groups:
        for group in groups:
            if not any(_is_below(setting.key, group) for setting in found):
                top = ", ".join(dict.fromkeys(setting.key.partition(".")[0] for setting in found))
                print(f"study.settings: no setting is called {group}; there are: {top}", file=sys.stderr)
                return 2
        found = [setting for setting in found if any(_is_below(setting.key, group) for group in groups)]
    if options.markdown:
        print(to_markdown(found), end="")
        return 0
    console = Console(highlight=False)
    for setting in found:
        given = "(to be given)" if setting.default is None else f"= {setting.default}"
        console.print(f"[bold]{setting.key}[/bold] ", end="")
        console.print(given, markup=False)
        if setting.meaning:
            console.print(textwrap.indent(textwrap.fill(setting.meaning.replace("``", ""), 96), "    "), markup=False)
    return 0


def _is_below(key: str, group: str) -> bool:
    return key == group or key.startswith(f"{group}.")


if __name__ == "__main__":
    sys.exit(main())
