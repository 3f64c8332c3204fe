"""Manifests as people have them: read alike however they were saved, refused or said where a value may be wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sldd.data.settings import DataSettings, notes_of, open_source
from sldd.errors import InputError
from sldd.sources.folder import FolderSource, manifest_notes, read_manifest
from tests.conftest import write_film

HEADER = "patient_id,image,mask,label"
ROWS = [f"P{number:03},images/{number}.png,masks/{number}.png,{number % 2}" for number in range(4)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(4):
        write_film(tmp_path, f"{number}.png", np.full((8, 8), number, np.uint8), np.ones((8, 8), bool))
    return tmp_path


def _source(folder: Path, text: str, encoding: str = "utf-8") -> FolderSource:
    (folder / "manifest.csv").write_bytes(text.encode(encoding))
    return FolderSource(folder)


def _text(rows: list[str] = ROWS, header: str = HEADER) -> str:
    return "\n".join([header, *rows]) + "\n"


def test_a_folder_without_a_manifest_is_told_what_it_needs(folder: Path) -> None:
    with pytest.raises(
        InputError, match=r"no manifest.csv in .*; it needs one with patient_id,image,mask,label\[,split\]"
    ):
        open_source(DataSettings(source="folder", root=str(folder)))


SAVED = {
    "byte order mark": lambda text: "\ufeff" + text,
    "semicolons": lambda text: text.replace(",", ";"),
    "tabs": lambda text: text.replace(",", "\t"),
    "sep line": lambda text: "sep=,\n" + text,
    "sep line, semicolons": lambda text: "sep=;\r\n" + text.replace(",", ";").replace("\n", "\r\n"),
    "capitals": lambda text: text.replace(HEADER, "Patient_ID,Image,Mask,Label"),
    "blanks in headings": lambda text: text.replace(HEADER, " Patient ID , image,Mask ,LABEL"),
    "hyphens in headings": lambda text: text.replace("patient_id", "patient-id"),
    "decimal labels": lambda text: text.replace(",0\n", ",0.0\n").replace(",1\n", ",1.0\n"),
    "decimal commas": lambda text: text.replace(",", ";").replace(";0\n", ";0,0\n").replace(";1\n", ";1,0\n"),
    "TRUE and FALSE": lambda text: text.replace(",0\n", ",FALSE\n").replace(",1\n", ",TRUE\n"),
    "backslashes": lambda text: text.replace("/", "\\"),
    "empty lines and columns": lambda text: text.replace("\n", ",,\n") + ",,,,,\n\n",
    "every cell quoted": lambda text: "".join(f'"{line}"\n'.replace(",", '","') for line in text.splitlines()),
    "other columns": lambda text: "".join(f"{line},note\n" for line in text.splitlines()),
}


@pytest.mark.parametrize("saved", SAVED)
def test_one_table_however_it_was_saved(folder: Path, saved: str) -> None:
    """The same fingerprint: a study that began with one of them goes on with the other."""
    expected = _source(folder, _text())
    found = _source(folder, SAVED[saved](_text()))
    assert found.patient_ids == expected.patient_ids == ["P000", "P001", "P002", "P003"]
    assert [film.label for film in found.films] == [0, 1, 0, 1]
    assert found.fingerprint() == expected.fingerprint()
    assert found.notes == []


def test_utf16_as_excel_saves_unicode_text(folder: Path) -> None:
    expected = _source(folder, _text()).fingerprint()
    assert _source(folder, _text().replace(",", "\t"), "utf-16").fingerprint() == expected


def _change(old: str, new: str, text: str = _text()) -> str:
    assert old in text
    return text.replace(old, new)


REFUSED = {
    "Excel's ids": (_change("P001", "1.23457E+11"), "line 3: these ids are Excel's"),
    "days": (_change("P001", "3-Mar"), "line 3: these ids are Excel's"),
    "NA": (_change("P000", "NA"), "line 2: the patient is an error cell"),
    "reference": (_change("P003", "#REF!"), "line 5: the patient is an error cell"),
    "formula": (_change("P003", "=P3"), "line 5: the patient is an error cell"),
    "nobody": (_change("P003", "anonymous"), "line 5: the patient is a word for nobody"),
    "invisible": (_change("P003", "P00\u200b3"), "line 5: the patient holds characters that nobody can see"),
    "label twice": (_change("mask,label", "label,label"), "columns 3 and 4 are both called label"),
    "label twice, otherwise spelled": (_change("mask,label", "LABEL,label"), "columns 3 and 4 are both called label"),
    "patient twice": (_change("mask,", "Patient ID,"), "columns 1 and 3 are both called patient_id"),
    "no label": (_change(HEADER, "patient_id,image,mask,diagnosis"), "no column label"),
    "masks": (_change(HEADER, "patient_id,image,masks,label"), "no column mask, and column 3 has mask"),
    "mask_path": (_change(HEADER, "patient_id,image,mask_path,label"), "no column mask, and column 3 has mask"),
    "splits": (_change(HEADER, "patient_id,splits,mask,label"), "no column image"),
    "data split": (_text([f"{row},train" for row in ROWS], f"{HEADER},data_split"), "no column split, and column 5"),
    "image twice": (
        _text([*ROWS, "Q,images/0.png,,1"]),
        "line 6: the image of manifest.csv line 2, but another patient",
    ),
    "image twice, other spelling": (
        _text([*ROWS, "Q,.\\images\\0.png,,1"]),
        "line 6: the image of manifest.csv line 2, but another patient",
    ),
    "image as its mask": (_change("masks/1.png", "images/1.png"), "line 3: the mask is the image itself"),
    "nan as label": (_change("1.png,1", "1.png,nan"), "line 3: label is a missing value or an error cell"),
    "nan as mask": (_change("masks/1.png", "nan"), "line 3: mask is a missing value or an error cell"),
    "yes": (_change("1.png,1", "1.png,yes"), "line 3: the label is neither 0 (negative) nor 1 (positive)"),
    "cut off": (_text()[:-3], "line 5: fewer cells than columns"),
    "other encoding": ("", "line 3: a letter in another encoding than UTF-8"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_may_be_a_wrong_value_is_refused(folder: Path, what: str) -> None:
    text, says = REFUSED[what]
    encoding = "utf-8" if text else "cp1252"
    with pytest.raises(InputError) as caught:
        _source(folder, text or _change("P001", "Müller"), encoding)
    message = str(caught.value)
    assert message.startswith("manifest.csv")
    assert says in message
    assert "\n" not in message
    assert ".png" not in message
    assert "P00" not in message


@pytest.mark.parametrize(
    ("one", "other", "words"), [("Q1", "q1", "capitals"), ("007", "7", "zeros"), ("Q 1", "Q1", "blanks")]
)
def test_ids_that_differ_in_little_are_said(folder: Path, one: str, other: str, words: str) -> None:
    source = _source(folder, _change("P002", other, _change("P000", one)))
    assert len(source.patient_ids) == 4
    (note,) = source.notes
    assert f"manifest.csv lines 2 and 4: patients whose ids differ only in {words}" in note
    settings = DataSettings(source="folder", root=str(folder))
    assert notes_of(open_source(settings)) == [note]
    assert notes_of(open_source(DataSettings(source="folder", root=str(folder), part="1/2"))) == [note]
    assert manifest_notes(folder) == manifest_notes(folder / "manifest.csv") == [note]


def test_an_image_again_is_said(folder: Path) -> None:
    (note,) = _source(folder, _text([*ROWS, ROWS[1]])).notes
    assert note.startswith("manifest.csv line 6: an image again (1 such lines)")


def test_accents_composed_and_not_are_one_patient_and_one_file(folder: Path) -> None:
    for number in (0, 1):
        (folder / "images" / f"{number}.png").rename(folder / "images" / f"caf\u00e9{number}.png")
    rows = ["Jos\u00e9,images/caf\u00e90.png,,1", "Jose\u0301,images/cafe\u03011.png,,1"]
    source = _source(folder, _text([*rows, *ROWS[2:]]))
    assert source.patient_ids == ["José", "P002", "P003"]
    assert source.read(1)[0].pixels.max() == 1
    composed = _source(folder, _text([rows[0], rows[1].replace("e\u0301", "\u00e9"), *ROWS[2:]]))
    assert composed.fingerprint() != source.fingerprint(), "pseudonyms are others than when accents were not composed"


def test_of_a_receivers_manifest_the_label_alone_must_be_called_so(folder: Path) -> None:
    _source(folder, _text())
    for heading, says in (("masks", None), ("data_split", None), ("labels", "no column label, and column 3 has label")):
        (folder / "manifest.csv").write_text(f"patient_id,image,{heading}\nP1,images/0.png,1\n")
        if says is None:
            assert len(read_manifest(folder / "manifest.csv", ("patient_id", "image"))) == 1
        else:
            with pytest.raises(InputError, match=says):
                read_manifest(folder / "manifest.csv", ("patient_id", "image"))


def test_labels_are_zeros_and_ones_for_whoever_reads(folder: Path) -> None:
    _source(folder, _change("1.png,1", "1.png,TRUE"))
    rows = read_manifest(folder / "manifest.csv", ("patient_id", "image"))
    assert [row["label"] for _, row in rows] == ["0", "1", "0", "1"]
