"""Patient identifiers of tables: refuse impossible ones, and report those that differ in little.

Two patients under one identifier are trained and tested as one; one patient under two may be in the training and the
test part at once. Neither shows in any score. Messages name lines, never an identifier.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

from sldd.errors import InputError
from sldd.io.cells import is_error, is_missing, is_rewritten

_NOBODY = frozenset(
    ("unknown", "anonymous", "anonymized", "anonymised", "anon", "anonym", "deidentified", "de-identified", "redacted")
    + ("removed", "unbekannt", "anonymisiert", "xxx", "?", "-", "--", ".", "_")
)
_EXCEL_DIGITS = 15
_SHOWN = 3


def patient_id(cell: str, where: str) -> str:
    """The identifier that a filled cell holds, in Unicode's composed form (NFC).

    Raises:
        InputError: it is an error or a rewritten number of a spreadsheet, a missing value, or names nobody.
    """
    name = unicodedata.normalize("NFC", cell)
    if is_error(name) or is_missing(name):
        raise InputError(f"{where}: the patient is an error cell or a missing value (#N/A, nan); correct the table")
    if is_rewritten(name):
        raise InputError(
            f"{where}: these ids are Excel's (1.23457E+11, 2-Mar), and patients share them; export the table again "
            "with this column as text"
        )
    if name.casefold() in _NOBODY:
        raise InputError(f"{where}: the patient is a word for nobody, and films of many may share it; give pseudonyms")
    if "\N{REPLACEMENT CHARACTER}" in name or not name.isprintable():
        raise InputError(f"{where}: the patient holds characters that nobody can see or read; export the table again")
    return name


def alike(ids: Iterable[tuple[str, int]], table: str) -> list[str]:
    """A line for each kind of small difference between patients' identifiers, such as leading zeros or case.

    Args:
        ids: identifier and line of each row.
        table: what messages call it.
    """
    first: dict[str, int] = {}
    for name, line in ids:
        first.setdefault(name, line)
    found = []
    for words, key in _KINDS.items():
        groups: defaultdict[str, list[int]] = defaultdict(list)
        for name, line in first.items():
            groups[key(name)].append(line)
        pairs = [lines for lines in groups.values() if len(lines) > 1]
        if pairs:
            lines = "; ".join(" and ".join(map(str, sorted(pair)[:_SHOWN])) for pair in pairs[:_SHOWN])
            more = f" and {len(pairs) - _SHOWN} more" if len(pairs) > _SHOWN else ""
            found.append(
                f"{table} lines {lines}{more}: patients whose ids differ only in {words}, taken as different; "
                "if they are one person, give all their lines one id"
            )
    long = [name for name in first if name.isdecimal() and len(name) > _EXCEL_DIGITS]
    if len(long) > 2 and all(name.endswith("0" * (len(name) - _EXCEL_DIGITS)) for name in long):
        found.append(
            f"{table}: ids of more than {_EXCEL_DIGITS} digits that all end in 0, as Excel leaves them; if these are "
            "not the archive's, patients may share one: export the table with this column as text"
        )
    return found


def one_owner(rows: Iterable[tuple[Path, str, str]]) -> None:
    """Raise an InputError where two patients have the same image.

    Args:
        rows: image, identifier of the patient, and what messages call the row.
    """
    first: dict[Path, tuple[str, str]] = {}
    for image, name, where in rows:
        owner, earlier = first.setdefault(image, (name, where))
        if owner != name:
            raise InputError(
                f"{where}: the image of {earlier}, but another patient; correct the patient or remove one of the two"
            )


def _without_zeros(name: str) -> str:
    """Numbers without zeros before them, and without the ``.0`` that a table of decimal numbers adds."""
    return re.sub(r"(?<!\d)0+(?=\d)", "", re.sub(r"(?<=\d)\.0+$", "", name))


def _without_blanks(name: str) -> str:
    """Letters and digits in the form that all forms of them have in common (NFKC)."""
    return "".join(unicodedata.normalize("NFKC", name).split())


_KINDS: dict[str, Callable[[str], str]] = {
    "capitals": str.casefold,
    "zeros before a number or behind its point": _without_zeros,
    "blanks or the width of letters": _without_blanks,
}
