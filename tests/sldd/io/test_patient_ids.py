"""Identifiers: what is none is refused, what is nearly another is said."""

from __future__ import annotations

import pytest

from sldd.errors import InputError
from sldd.io.patient_ids import alike, patient_id


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        *((cell, "these ids are Excel's") for cell in ("1.23457E+11", "1,23457E+11", "1e+15", "2-Mar", "12-Dec")),
        *((cell, "an error cell or a missing value") for cell in ("NA", "nan", "#N/A", "#REF!", "#VALUE!", "None")),
        *((cell, "an error cell or a missing value") for cell in ("<NA>", "#####", '="007"', "Err:522", "#NAME?")),
        *((cell, "a word for nobody") for cell in ("unknown", "ANONYMOUS", "Anonymized", "?", "-")),
        *((cell, "nobody can see") for cell in ("P1\u200b", "M\N{REPLACEMENT CHARACTER}ller", "P\xa01", "P1\n2,b.png")),
    ],
)
def test_what_is_no_identifier_is_refused(cell: str, says: str) -> None:
    with pytest.raises(InputError, match="t line 2") as caught:
        patient_id(cell, "t line 2")
    assert says in str(caught.value)
    assert "ller" not in str(caught.value), "a message names the line and not the patient"


@pytest.mark.parametrize("cell", ["007", "1E5", "Nance", "NA-17", "12-34", "0", "P 1", "MAR12", "none-1", "1.2.840"])
def test_what_can_be_one_stays(cell: str) -> None:
    assert patient_id(cell, "t") == cell


def test_accents_have_one_spelling() -> None:
    assert patient_id("Jose\u0301", "t") == "José"


@pytest.mark.parametrize(
    ("one", "other", "words"),
    [
        ("P1", "p1", "capitals"),
        ("007", "7", "zeros"),
        ("P-07-1", "P-7-01", "zeros"),
        ("7", "7.0", "zeros"),
        ("P 1", "P1", "blanks"),
        ("P1", "P\uff11", "the width of letters"),
    ],
)
def test_small_differences_are_said_with_their_lines(one: str, other: str, words: str) -> None:
    (note,) = alike([("X", 2), (one, 3), ("Y", 4), (one, 5), (other, 6)], "manifest.csv")
    assert note.startswith("manifest.csv lines 3 and 6: patients whose ids differ only in ")
    assert words in note


def test_other_differences_are_not() -> None:
    ids = ["P1", "P10", "P100", "7", "70", "0.7", "1-23", "12-3", "a", "b", "0", "00x"]
    assert alike([(name, line) for line, name in enumerate(ids, 2)], "t") == []


def test_many_are_counted() -> None:
    ids = [name for number in range(10) for name in (f"P{number}", f"p{number}")]
    (note,) = alike([(name, line) for line, name in enumerate(ids, 2)], "t")
    assert note.startswith("t lines 2 and 3; 4 and 5; 6 and 7 and 7 more: ")


def test_long_numbers_that_a_spreadsheet_rounded_are_said() -> None:
    rounded = [("1234567890123450000", 2), ("1234567890123460000", 3), ("9994567890123460000", 4)]
    (note,) = alike(rounded, "t")
    assert "15 digits that all end in 0" in note
    assert alike([*rounded, ("1234567890123461234", 5)], "t") == []
