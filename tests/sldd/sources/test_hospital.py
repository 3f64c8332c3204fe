"""A hospital's own films: categories merged, copies and rare classes left out and said, and no name anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sldd.data.cohort import Cohort, prepare
from sldd.data.settings import DataSettings, notes_of, open_source
from sldd.errors import InputError
from sldd.sources.hospital import HospitalSettings
from tests.conftest import write_dicom

ROWS = [
    "DOE-JANE,f0.dcm,scoliosis",
    "DOE-JANE,f1.dcm,Scoliosis | degenerative joint disease",
    "DOE-JOHN,f2.dcm,cardiac hypertrophy",
    "ROE-RICK,f3.dcm,Normal",
    "ROE-RICK,f4.dcm,",
    "POE-PETE,f5.dcm,pacemaker;cardiac hypertrophy",
    "LOE-LISA,f6.dcm,pacemaker",
]
MAPPING = """
scoliosis: spinal lesions
degenerative joint disease: spinal lesions
cardiac hypertrophy: heart
pacemaker:
"""
RANDOM = np.random.default_rng(3)
PIXELS = [RANDOM.integers(0, 4096, (48, 40), dtype=np.uint16) for _ in range(7)]


def _folder(root: Path, rows: list[str] = ROWS, mapping: str | None = None, name: str = "mapping.yaml") -> Path:
    root.mkdir()
    for number, pixels in enumerate(PIXELS):
        write_dicom(root / f"f{number}.dcm", pixels)
    (root / "labels.csv").write_text("\n".join(["patient_id,image,findings", *rows]) + "\n")
    if mapping is not None:
        (root / name).write_text(mapping)
    return root


def _cohort(root: Path, **settings: Any) -> Cohort:
    source = open_source(DataSettings(source="hospital", root=str(root), hospital=HospitalSettings(**settings)))
    return prepare(source, root.parent / "cache")


def test_categories_are_classes_without_a_mapping(tmp_path: Path) -> None:
    cohort = _cohort(_folder(tmp_path / "films"), smallest_class=1)
    assert cohort.classes == ["cardiac hypertrophy", "degenerative joint disease", "pacemaker", "scoliosis"]
    found = [[0, 0, 0, 1], [0, 1, 0, 1], [1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [1, 0, 1, 0], [0, 0, 1, 0]]
    np.testing.assert_array_equal(cohort.film_labels, found)
    assert cohort.notes == []
    assert cohort.dtype == "uint16"


@pytest.mark.parametrize("form", ["yaml", "csv"])
def test_a_mapping_merges_and_drops(tmp_path: Path, form: str) -> None:
    mapping = MAPPING if form == "yaml" else "category,class\n" + MAPPING.strip().replace(": ", ",").replace(":", ",")
    cohort = _cohort(_folder(tmp_path / "films", mapping=mapping, name=f"m.{form}"), mapping=f"m.{form}")
    assert cohort.classes == ["spinal lesions", "heart"]
    np.testing.assert_array_equal(cohort.film_labels, [[1, 0], [1, 0], [0, 1], [0, 0], [0, 0], [0, 1], [0, 0]])


def test_small_classes_are_dropped_and_named(tmp_path: Path) -> None:
    cohort = _cohort(_folder(tmp_path / "films"))
    assert cohort.classes == ["cardiac hypertrophy", "pacemaker", "scoliosis"]
    assert cohort.notes == ["findings on fewer than 2 films dropped: degenerative joint disease (1)"]
    with pytest.raises(InputError, match="no finding is on 5 films or more"):
        _cohort(tmp_path / "films", smallest_class=5)


def test_a_patient_whose_only_finding_was_dropped_has_none(tmp_path: Path) -> None:
    cohort = _cohort(_folder(tmp_path / "films", [*ROWS[:-1], "LOE-LISA,f6.dcm,fracture"]))
    assert cohort.classes == ["cardiac hypertrophy", "scoliosis"]
    assert cohort.film_labels[6].tolist() == [0, 0]
    assert cohort.labels == [1, 1, 0, 1, 0], "of Jane, John, Lisa, Pete and Rick"


def test_copies_are_left_out_and_their_findings_kept(tmp_path: Path) -> None:
    """As an archive searched finding by finding gives them; another file, the same pixels."""
    root = _folder(tmp_path / "films", [*ROWS, "DOE-JOHN,copy.dcm,scoliosis", "DOE-JOHN,copy.dcm,pacemaker"])
    write_dicom(root / "copy.dcm", PIXELS[2], PatientName="ANOTHER^NAME", SeriesDescription="export 2")
    cohort = _cohort(root)
    assert len(cohort.film_patients) == 7
    assert cohort.notes[0] == "copies of films left out: 2"
    assert cohort.film_labels[2].tolist() == [1, 1, 1]
    assert cohort.shapes == [[48, 40]] * 7
    np.testing.assert_array_equal(cohort.pixels(6), _cohort(_folder(tmp_path / "plain")).pixels(6))


def test_a_class_is_counted_without_copies(tmp_path: Path) -> None:
    root = _folder(tmp_path / "films", [*ROWS, "DOE-JANE,f1.dcm,degenerative joint disease"])
    assert "degenerative joint disease" not in _cohort(root).classes


def test_the_same_film_under_two_patients_is_refused(tmp_path: Path) -> None:
    root = _folder(tmp_path / "films", [*ROWS, "NOE-NORA,f1.dcm,scoliosis"])
    with pytest.raises(InputError, match="label table line 9: the image of label table line 3, but another patient"):
        _cohort(root)
    root = _folder(tmp_path / "copies", [*ROWS, "NOE-NORA,copy.dcm,scoliosis"])
    write_dicom(root / "copy.dcm", PIXELS[1], SeriesDescription="export 2")
    with pytest.raises(InputError, match="label table line 9: the same pixels as label table line 3, but another pat"):
        _cohort(root)
    assert not list((tmp_path / "cache").iterdir())


@pytest.mark.parametrize(
    ("rows", "mapping", "says"),
    [
        (["DOE-JANE,f0.dcm,gout"], MAPPING, "label table line 2: a finding that the mapping does not have"),
        (["DOE-JANE,none.dcm,scoliosis"], None, "label table line 2: the file does not exist"),
        (["DOE-JANE,,scoliosis"], None, "label table line 2: no patient or no image"),
        (["DOE-JANE,broken.dcm,scoliosis"], None, "label table line 2: the DICOM file is cut off"),
        (["DOE-JANE,mapping.yaml,scoliosis"], MAPPING, "label table line 2: the image cannot be read"),
        (["DOE-JANE,f0.dcm,scoliosis", "DOE-JANE,eight.png,"], None, "label table line 3: 8-bit and deeper images"),
        (["DOE-JANE,f0.dcm,normal"], None, "label table: no film has a finding"),
        ([], None, "label table: no rows"),
        (ROWS, "- scoliosis", "data.hospital.mapping: not a mapping"),
        (ROWS, "scoliosis: [DOE", "data.hospital.mapping: not a mapping"),
        (ROWS, "yes: heart", "data.hospital.mapping: a category or a class is no text"),
        (ROWS, "a: b\nA: c", "data.hospital.mapping: a category is empty or there twice"),
        (ROWS, "a:\nb:", "data.hospital.mapping: it names no class"),
    ],
)
def test_bad_input_gets_one_line(tmp_path: Path, rows: list[str], mapping: str | None, says: str) -> None:
    root = _folder(tmp_path / "films", rows, mapping)
    (root / "broken.dcm").write_bytes((root / "f0.dcm").read_bytes()[:-500])
    Image.fromarray(np.zeros((48, 40), np.uint8)).save(root / "eight.png")
    with pytest.raises(InputError) as caught:
        _cohort(root, mapping="mapping.yaml" if mapping else None, smallest_class=1)
    message = str(caught.value)
    assert says in message
    assert "\n" not in message
    assert "JANE" not in message
    assert "gout" not in message
    cache = tmp_path / "cache"
    assert not cache.exists() or not list(cache.iterdir())


def test_a_missing_mapping_is_named(tmp_path: Path) -> None:
    for name in ("none.yaml", "none.csv"):
        with pytest.raises(InputError, match=r"data\.hospital\.mapping: cannot be read"):
            _cohort(_folder(tmp_path / name), mapping=name)


def test_no_header_field_and_no_identifier_is_in_the_cache(tmp_path: Path) -> None:
    root = _folder(tmp_path / "films")
    for number, pixels in enumerate(PIXELS):
        write_dicom(root / f"f{number}.dcm", pixels, PatientName="KANARIENVOGEL", InstitutionName="KANARIENVOGEL")
    cohort = _cohort(root)
    for path in cohort.folder.iterdir():
        content = path.read_bytes()
        for word in (b"KANARIENVOGEL", b"DOE", b".dcm", b"4711"):
            assert word not in content


def test_identifiers_that_are_read_otherwise_than_written_change_the_fingerprint(tmp_path: Path) -> None:
    """Pseudonyms are others than when accents were not composed."""
    prints = []
    for name in ("JOS\u00c9", "JOSE\u0301"):
        root = _folder(tmp_path / name, [row.replace("DOE-JANE", name) for row in ROWS])
        source = open_source(DataSettings(source="hospital", root=str(root)))
        assert "JOS\u00c9" in source.patient_ids
        prints.append(source.fingerprint())
    assert prints[0] != prints[1]


@pytest.mark.parametrize("mapping", ["[" * 100_000, "heart: &a Heart\nlung: *a\n", "heart: " + "1" * 6_000])
def test_a_mapping_that_is_a_bomb_gets_one_line(tmp_path: Path, mapping: str) -> None:
    with pytest.raises(InputError, match=r"data\.hospital\.mapping: not a"):
        _cohort(_folder(tmp_path / "films", mapping=mapping), mapping="mapping.yaml")


def _with(findings: list[str]) -> list[str]:
    """The rows with other findings in their last cells."""
    return [f"{row.rsplit(',', 1)[0]},{cell}" for row, cell in zip(ROWS, findings, strict=True)]


@pytest.mark.parametrize(
    "word",
    ["", "normal", "No Finding", "No findings", "None", "NONE.", "nil", "Unremarkable", "no_finding", "negative"],
)
def test_words_for_nothing_are_no_class(tmp_path: Path, word: str) -> None:
    cohort = _cohort(_folder(tmp_path / "films", _with(["effusion", word, "Effusion", word, "effusion", word, word])))
    assert cohort.classes == ["effusion"]
    assert cohort.film_labels[:, 0].tolist() == [1, 0, 1, 0, 1, 0, 0]


@pytest.mark.parametrize("word", ["nan", "NaN", "NA", "null", "#N/A", "0", "1", "yes", "?", "['effusion']", "2.3E+08"])
def test_words_for_no_word_are_refused(tmp_path: Path, word: str) -> None:
    rows = _with(["effusion", word, "Effusion", word, "effusion", word, word])
    with pytest.raises(InputError, match=r"^label table line 3: a finding |^label table line 3: findings as"):
        _cohort(_folder(tmp_path / "films", rows))


def test_a_finding_and_a_word_for_none_are_refused(tmp_path: Path) -> None:
    rows = _with(["effusion", "normal|effusion", "", "", "", "", ""])
    with pytest.raises(InputError, match="line 3: a finding, and a word that says there is none"):
        _cohort(_folder(tmp_path / "films", rows))


def test_a_mapping_may_have_such_a_word_as_a_category(tmp_path: Path) -> None:
    rows = _with(["effusion", "unremarkable", "Effusion", "", "effusion", "unremarkable", ""])
    root = _folder(tmp_path / "films", rows, "effusion: fluid\nunremarkable: seen\n")
    labels = _cohort(root, mapping="mapping.yaml").film_labels.tolist()
    assert labels == [[1, 0], [0, 1], [1, 0], [0, 0], [1, 0], [0, 1], [0, 0]]


def test_spellings_of_a_finding_are_said(tmp_path: Path) -> None:
    rows = _with(["pleural effusion", "pleural_effusion", "Pleural effusion", "pleural_effusion", "", "", ""])
    source = open_source(DataSettings(source="hospital", root=str(_folder(tmp_path / "films", rows))))
    (note,) = notes_of(source)
    assert note.startswith("label table: pleural effusion and pleural_effusion are two classes")


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("patient_id,image,findings,findings", "label table: columns 3 and 4 are both called findings"),
        ("patient_id,image,Findings,FINDINGS ", "label table: columns 3 and 4 are both called findings"),
        ("patient_id,image,findings,Patient ID", "label table: columns 1 and 4 are both called patient_id"),
        ("patient_id,image,findings,image", "label table: columns 2 and 4 are both called image"),
    ],
)
def test_a_heading_that_is_there_twice_is_refused(tmp_path: Path, header: str, says: str) -> None:
    root = _folder(tmp_path / "films")
    (root / "labels.csv").write_text("\n".join([header, *(f"{row},x" for row in ROWS)]))
    with pytest.raises(InputError, match=says):
        _cohort(root)


@pytest.mark.parametrize(
    "mapping", ["scoliosis: a\nscoliosis: b\n", "? scoliosis\n: a\n'scoliosis': b\n", "a\u0301: x\n\u00e1: y\n"]
)
def test_a_category_that_is_there_twice_is_refused(tmp_path: Path, mapping: str) -> None:
    with pytest.raises(InputError, match=r"data\.hospital\.mapping: a category is empty or there twice"):
        _cohort(_folder(tmp_path / "films", mapping=mapping), mapping="mapping.yaml")


def test_a_class_that_is_a_word_for_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a class is a word for no finding; leave it empty to drop"):
        _cohort(_folder(tmp_path / "films", mapping="scoliosis: none\nx: y\n"), mapping="mapping.yaml")
    with pytest.raises(InputError, match=r"data\.hospital\.mapping: a finding says that its value is missing"):
        _cohort(_folder(tmp_path / "other", mapping="scoliosis: nan\nx: y\n"), mapping="mapping.yaml")
