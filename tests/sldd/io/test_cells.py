"""Cells of tables: labels, findings, errors of spreadsheets."""

from __future__ import annotations

import pytest

from sldd.errors import InputError
from sldd.io.cells import binary, finding, no_finding


@pytest.mark.parametrize("cell", ["1", "1.0", "1,0", "1.", "1.000", "TRUE", "True", "true"])
def test_ones(cell: str) -> None:
    assert binary(cell) == 1
    assert binary(cell.replace("1", "0", 1).lower().replace("true", "FALSE")) == 0


@pytest.mark.parametrize("cell", ["", "2", "0.5", "1e0", "-1", "yes", "positive", "01", "1_0", "0x1", "nan", "1.0.0"])
def test_neither(cell: str) -> None:
    assert binary(cell) is None


@pytest.mark.parametrize(
    "cell",
    ["", "Normal", "normal.", "No finding", "No findings", "NO_FINDING", "None", "nil", "unremarkable", "Healthy"],
)
def test_words_for_no_finding(cell: str) -> None:
    assert no_finding(finding(cell, "t line 2"))


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        *((cell, "its value is missing") for cell in ("nan", "NaN", "NA", "n/a", "null", "<NA>", "not available")),
        *((cell, "a spreadsheet") for cell in ("#N/A", "#REF!", "#VALUE!", "#NAME?", "#DIV/0!", "####", "Err:502")),
        *((cell, "a spreadsheet") for cell in ("=A2", "#NV", "#BEZUG!", "2.33604E+08", "2-Mar")),
        *((cell, "a 0, a 1, a yes or a no") for cell in ("0", "1", "1.0", "FALSE", "Yes", "no")),
        *((cell, "without a letter") for cell in ("?", "-", "--", ".", "…")),
        ("['effusion']", "as a program writes a list"),
        ("heart\nP2,b.png,lung", "a line break"),
        ("\N{REPLACEMENT CHARACTER}panchement", "characters that nobody can see"),
        ("heart\u200b", "characters that nobody can see"),
    ],
)
def test_what_is_no_finding_is_refused(cell: str, says: str) -> None:
    with pytest.raises(InputError, match="t line 2") as caught:
        finding(cell, "t line 2")
    assert says in str(caught.value)


@pytest.mark.parametrize("name", ["J18.9", "233604007", "nodule (2 cm)", "C1-C2", "épanchement", "normal variant"])
def test_names_stay(name: str) -> None:
    assert finding(name, "t") == name
    assert not no_finding(name)


def test_blanks_and_accents_have_one_spelling() -> None:
    assert finding(" e\u0301panchement   pleural ", "t") == "épanchement pleural"
