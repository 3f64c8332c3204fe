"""Parse a table's cell: a label, a finding, a missing value, or a spreadsheet's error."""

from __future__ import annotations

import re
import unicodedata

from sldd.errors import InputError

MISSING = frozenset(
    ("na", "n/a", "n.a.", "nan", "nat", "null", "<na>", "<null>", "none", "nil", "missing", "not available")
)
"""What programs write for a value that they do not have, in lower case; an empty cell is how a table says so."""
_ERROR = re.compile(
    r"#(n/?[av]|n/?d|ref|value|name|div/0|num|null|spill|calc|getting_data|field|connect|blocked|unknown|bezug|wert|zahl"
    r"|nombre|valor|nom|valeur)[!?]?|#+|err:\d+|=.*",
    re.IGNORECASE | re.DOTALL,
)
_EXCEL_DATE = re.compile(r"\d{1,2}-(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)", re.IGNORECASE)
_EXCEL_NUMBER = re.compile(r"-?\d+([.,]\d+)?e\+\d+", re.IGNORECASE)

NO_FINDING = frozenset(
    ("", "normal", "no finding", "no findings", "none", "nil", "unremarkable", "no abnormality", "no abnormalities")
    + ("no abnormal finding", "no abnormal findings", "no abnormality detected", "within normal limits", "negative")
    + ("no pathology", "no pathological finding", "no pathological findings", "nothing abnormal detected", "healthy")
)
"""Words for a film without any finding, in lower case and without underscores or a full stop."""


def is_missing(cell: str) -> bool:
    """Whether a cell stands for a missing value, in the words of some program."""
    return cell.casefold() in MISSING


def is_error(cell: str) -> bool:
    """Whether a cell is an error of a spreadsheet, cells too narrow to show a number, or a formula."""
    return _ERROR.fullmatch(cell) is not None


def is_rewritten(cell: str) -> bool:
    """Whether a spreadsheet rewrote a cell: a long number (1.23457E+11) or something like a day (2-Mar)."""
    return _EXCEL_NUMBER.fullmatch(cell) is not None or _EXCEL_DATE.fullmatch(cell) is not None


def binary(cell: str) -> float | None:
    """0 or 1: as a whole number or a decimal one (with a point or a comma), TRUE or FALSE; None for anything else."""
    word = cell.casefold()
    if word in ("true", "false"):
        return float(word == "true")
    return float(cell[0]) if re.fullmatch(r"[01]([.,]0*)?", cell) else None


def no_finding(name: str) -> bool:
    """Whether the name of a finding, blanks normalised, says that there is none."""
    word = name.casefold().replace("_", " ").rstrip(".")
    return word in NO_FINDING and bool(word) == bool(name)


def finding(cell: str, where: str) -> str:
    """The name of a finding, with blanks normalised and in Unicode's composed form (NFC).

    Raises:
        InputError: it cannot be one: a missing value, an error, or what a spreadsheet or a broken quote made of it.
    """
    if "\n" in cell or "\r" in cell:
        raise InputError(f"{where}: a line break within the findings; join them by | (or close a quote before it)")
    name = " ".join(unicodedata.normalize("NFC", cell).split())
    if no_finding(name):
        return name
    if is_missing(name):
        raise InputError(
            f"{where}: a finding says that its value is missing; leave the cell empty where the film has no finding, "
            "or remove the line where that is not known"
        )
    if is_error(name) or is_rewritten(name):
        raise InputError(f"{where}: a finding is what a spreadsheet made of it (#N/A, 1.2E+11, 2-Mar); correct it")
    if binary(name) is not None or name.casefold() in ("yes", "no"):
        raise InputError(f"{where}: a finding is a 0, a 1, a yes or a no; write the names of those that the film has")
    if name.startswith(("[", "{")):
        raise InputError(f"{where}: findings as a program writes a list; join them by | without brackets and quotes")
    if not any(letter.isalnum() for letter in name):
        raise InputError(f"{where}: a finding without a letter or digit; leave the cell empty where there is none")
    if "\N{REPLACEMENT CHARACTER}" in name or not name.isprintable():
        raise InputError(f"{where}: a finding holds characters that nobody can see or read; export the table again")
    return name
