"""NIH ChestX-ray14: the same films come out of every form of its table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sldd.data.cohort import Cohort, prepare
from sldd.data.settings import DataSettings, open_source
from sldd.errors import InputError
from sldd.sources.nih import FINDINGS, NihSettings

FILMS = [("00000001_000", 1, "Cardiomegaly"), ("00000001_001", 1, "Cardiomegaly|Emphysema"),
         ("00000002_000", 2, "No Finding"), ("00000003_001", 3, "Pleural_Thickening|Hernia")]  # fmt: skip
BRACKETS = "View Position,OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
V2020 = f"Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,{BRACKETS}"


def _published(end: str) -> list[str]:
    return [f"{name}.png,{labels},0,{patient},57,M,PA,2682,2749,0.143,0.143{end}" for name, patient, labels in FILMS]


def _renamed() -> list[str]:
    return [f"{name}.png,{labels},0,{patient},057Y,F,PA" for name, patient, labels in FILMS]


def _one_hot() -> list[str]:
    order = [*sorted(FINDINGS[:10]), "PatientId", *sorted(FINDINGS[10:])]
    rows = []
    for name, patient, labels in FILMS:
        cells = [str(patient) if heading == "PatientId" else str(int(heading in labels)) for heading in order]
        rows.append(",".join([f"{name}.png", *cells]))
    return [",".join(["Image", *order]), *rows]


def _folder(root: Path, lines: list[str], images: str = "images", table: str = "Data_Entry_2017.csv") -> Path:
    (root / images).mkdir(parents=True)
    for number, (name, _, _) in enumerate(FILMS):
        Image.fromarray(np.full((32, 32), 40 * number, np.uint8)).save(root / images / f"{name}.png")
    (root / table).write_text("\n".join(lines) + "\n")
    return root


def _cohort(root: Path, **settings: object) -> Cohort:
    source = open_source(DataSettings(source="nih", root=str(root), **settings))  # type: ignore[arg-type]
    return prepare(source, root.parent / "cache")


@pytest.mark.parametrize(
    "lines",
    [
        [V2020, *_published("")],
        [V2020 + ",", *_published(",")],
        [V2020 + ",", *_published("")],
        [V2020.replace("Gender", "Sex"), *_published("")],
        ["Image_Index,Finding_Labels,Follow_Up_#,Patient_ID,Patient_Age,Patient_Gender,View_Position", *_renamed()],
        _one_hot(),
    ],
    ids=["v2020", "2017", "2017 header only", "Patient Sex", "renamed", "one-hot"],
)
def test_every_form_of_the_table(tmp_path: Path, lines: list[str]) -> None:
    cohort = _cohort(_folder(tmp_path / "nih", lines))
    assert cohort.classes == list(FINDINGS)
    expected = [[float(finding in labels.split("|")) for finding in FINDINGS] for _, _, labels in FILMS]
    np.testing.assert_array_equal(cohort.film_labels, expected)
    assert cohort.film_patients == [0, 0, 1, 2]
    assert cohort.labels == [1, 0, 1], "a patient has a finding where any film has"
    assert [int(cohort.pixels(film).mean()) for film in range(4)] == [0, 40, 80, 120]
    assert not any(cohort.has_mask)
    assert (cohort.folder / "masks.bin").stat().st_size == 0


def test_films_lie_as_the_archives_unpack(tmp_path: Path) -> None:
    assert _cohort(_folder(tmp_path / "nih", [V2020, *_published("")], "images_003/images")).patients == 3


def test_other_tables_beside_it_are_passed_over(tmp_path: Path) -> None:
    root = _folder(tmp_path / "nih", [V2020, *_published("")])
    (root / "split.csv").write_text("Image Index,split\n00000001_000.png,train\n")
    (root / "BBox_List_2017.csv").write_text(
        "Image Index,Finding Label,Bbox [x,y,w,h],,,\na.png,Infiltrate,1,2,3,4,,,\n"
    )
    assert _cohort(root).patients == 3
    (root / "Data_Entry_2017_v2020.csv").write_text((root / "Data_Entry_2017.csv").read_text())
    with pytest.raises(InputError, match=r"2 tables like Data_Entry_2017\.csv.*data\.nih\.table"):
        _cohort(root)
    assert _cohort(root, nih=NihSettings("Data_Entry_2017_v2020.csv")).patients == 3


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("Cardiomegaly|Emphysema", "Cardiomegaly|DOE JANE"), "label table line 3: a label is none of the 14"),
        (("Cardiomegaly|Emphysema", "Cardiomegaly|No Finding"), "label table line 3: a label is none of the 14"),
        (("Cardiomegaly|Emphysema", ""), "label table line 3: a label is none of the 14"),
        (("00000002_000.png", "DOE-JANE.png"), "label table line 4: the film is not among the PNG files"),
        (("00000002_000.png", "00000001_000.png"), "label table line 4: the film of line 2 again"),
        (("No Finding,0,2,", "No Finding,0,,"), "label table line 4: no film or no patient"),
        (("No Finding,0,2,", "No Finding, DOE, JANE,0,2,"), "label table line 4: more cells than columns"),
    ],
)
def test_a_bad_row_gets_one_line(tmp_path: Path, change: tuple[str, str], says: str) -> None:
    lines = "\n".join([V2020, *_published("")]).replace(*change)
    root = _folder(tmp_path / "nih", lines.split("\n"), table="table.csv")
    with pytest.raises(InputError) as caught:
        _cohort(root, nih=NihSettings("table.csv"))
    message = str(caught.value)
    assert says in message
    assert "\n" not in message
    assert "DOE" not in message
    assert not (tmp_path / "cache").exists()


def test_a_truncated_film_gets_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    root = _folder(tmp_path / "nih", [V2020, *_published("")])
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    film = root / "images" / "00000002_000.png"
    Image.fromarray(noise).save(film)
    film.write_bytes(film.read_bytes()[:2000])
    with pytest.raises(InputError, match=r"^label table line 4: the image cannot be read \(OSError\)") as caught:
        _cohort(root)
    assert "00000002" not in str(caught.value)
    assert not list((tmp_path / "cache").iterdir())


def test_what_the_fingerprint_follows(tmp_path: Path) -> None:
    root = _folder(tmp_path / "nih", [V2020, *_published("")])

    def fingerprint(size: int = 512) -> str:
        return open_source(DataSettings(source="nih", root=str(root), film_size=size)).fingerprint()

    first = fingerprint()
    assert first == fingerprint()
    assert first != fingerprint(256)
    table = root / "Data_Entry_2017.csv"
    table.write_text(table.read_text().replace("No Finding", "Mass"))
    relabelled = fingerprint()
    assert relabelled != first
    Image.fromarray(np.full((32, 32), 9, np.uint8)).save(root / "images" / "00000002_000.png")
    assert fingerprint() != relabelled


def test_a_name_that_is_there_twice_with_other_content_is_refused(tmp_path: Path) -> None:
    """Masks or segmentations that are called as their films are."""
    root = _folder(tmp_path / "nih", [V2020, *_published("")])
    expected = open_source(DataSettings(source="nih", root=str(root))).fingerprint()
    copy, film = root / "Annotations" / "00000002_000.png", root / "images" / "00000002_000.png"
    copy.parent.mkdir()
    copy.write_bytes(film.read_bytes())
    assert open_source(DataSettings(source="nih", root=str(root))).fingerprint() == expected, "the same film twice"
    Image.fromarray(np.full((32, 32), 255, np.uint8)).save(copy)
    with pytest.raises(InputError, match="label table line 4: 2 PNG files below") as caught:
        _cohort(root)
    assert "00000002" not in str(caught.value)


@pytest.mark.parametrize("hidden", [".thumbnails", "__MACOSX/images", "images/.ipynb_checkpoints"])
def test_small_copies_of_programs_are_no_films(tmp_path: Path, hidden: str) -> None:
    root = _folder(tmp_path / "nih", [V2020, *_published("")])
    (root / hidden).mkdir(parents=True)
    for name, _, _ in FILMS:
        Image.fromarray(np.full((4, 4), 255, np.uint8)).save(root / hidden / f"{name}.png")
    assert [int(_cohort(root).pixels(film).mean()) for film in range(4)] == [0, 40, 80, 120]


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([V2020.replace("Follow-up #", "finding_labels"), *_published("")], "columns 2 and 3 are both called Finding"),
        ([V2020.replace("Follow-up #", "Image"), *_published("")], "columns 1 and 3 are both called Image"),
        ([V2020.replace("Follow-up #", "PatientID"), *_published("")], "columns 3 and 4 are both called Patient ID"),
        ([_one_hot()[0].replace("Mass", "Edema"), *_one_hot()[1:]], "no column Finding Labels"),
        ([line + ",Finding Labels" * (number == 0) + ",x" * (number > 0) for number, line in enumerate(_one_hot())],
         "findings both in words and in a column each"),
        ([V2020, *(line.replace(",0,2,", ",0,9,") for line in _published(""))], "line 4: the film's name has another"),
        ([V2020, *(line.replace(",0,2,", ",0,1.2E+11,") for line in _published(""))], "line 4: these ids are Excel's"),
        ([V2020, *(line.replace("No Finding", "#N/A") for line in _published(""))], "line 4: a label is none of"),
        ([V2020, *(line[:30] for line in _published(""))], "line 2: fewer cells than columns"),
    ],
)  # fmt: skip
def test_what_may_be_a_wrong_value_is_refused(tmp_path: Path, lines: list[str], says: str) -> None:
    with pytest.raises(InputError) as caught:
        _cohort(_folder(tmp_path / "nih", lines))
    assert says in str(caught.value)
    assert "0000" not in str(caught.value)


@pytest.mark.parametrize("separator", [";", "\t"])
def test_a_column_a_finding_as_a_spreadsheet_saves_it(tmp_path: Path, separator: str) -> None:
    expected = _cohort(_folder(tmp_path / "nih", _one_hot())).fingerprint
    saved = [line.replace(",", separator) for line in _one_hot()]
    truths = [line.replace(f"{separator}0", f"{separator}FALSE") for line in saved]
    assert _cohort(_folder(tmp_path / "saved", saved)).fingerprint == expected
    assert _cohort(_folder(tmp_path / "truths", truths)).fingerprint == expected
