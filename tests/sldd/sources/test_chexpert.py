"""CheXpert: what is uncertain, what is not mentioned, which views."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sldd.data.cohort import Cohort, prepare
from sldd.data.settings import DataSettings, open_source
from sldd.errors import InputError
from sldd.sources.chexpert import COMPETITION, CheXpertSettings

HEADER = (
    "Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Enlarged Cardiomediastinum,Cardiomegaly,Lung Opacity,Lung Lesion,"
    "Edema,Consolidation,Pneumonia,Atelectasis,Pneumothorax,Pleural Effusion,Pleural Other,Fracture,Support Devices"
)
ROWS = [  # made up, in the form of the real ones
    "CheXpert-v1.0-small/train/patient90001/study1/view1_frontal.jpg,Female,61,Frontal,PA,1.0,,,,,,,,,0.0,,,,",
    "CheXpert-v1.0-small/train/patient90002/study1/view1_frontal.jpg,Male,70,Frontal,AP,,,-1.0,1.0,,-1.0,-1.0,,-1.0,,1.0,,,1.0",
    "CheXpert-v1.0-small/train/patient90002/study1/view2_lateral.jpg,Male,70,Lateral,,,,,1.0,,,-1.0,,,,,,,1.0",
]
NAN = np.nan


def _folder(root: Path, rows: list[str] = ROWS, within: str = "CheXpert-v1.0-small") -> Path:
    for number, row in enumerate(ROWS):
        path = root.joinpath(within, *row.split(",")[0].split("/")[1:])
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((40, 30), 60 * number, np.uint8)).save(path)
    (root / "train.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    return root


def _cohort(root: Path, **settings: Any) -> Cohort:
    source = open_source(DataSettings(source="chexpert", root=str(root), chexpert=CheXpertSettings(**settings)))
    return prepare(source, root.parent / "cache")


@pytest.mark.parametrize(("policy", "value"), [("ignore", NAN), ("zeros", 0), ("ones", 1)])
def test_policies(tmp_path: Path, policy: str, value: float) -> None:
    cohort = _cohort(_folder(tmp_path / "chexpert"), uncertain=policy)
    assert cohort.classes == list(COMPETITION)
    np.testing.assert_array_equal(cohort.film_labels, [[0, 0, 0, 0, 0], [value, value, value, value, 1]])
    assert cohort.labels == [0, 1]


def test_not_known_survives_the_cache(tmp_path: Path) -> None:
    cohort = _cohort(_folder(tmp_path / "chexpert"))
    assert cohort.findings[1] == [None, None, None, None, 1.0]
    assert "NaN" not in (cohort.folder / "index.json").read_text(), "not JSON"


@pytest.mark.parametrize(("view", "films"), [("frontal", 2), ("lateral", 1), ("both", 3)])
def test_views(tmp_path: Path, view: str, films: int) -> None:
    cohort = _cohort(_folder(tmp_path / "chexpert"), view=view)
    assert len(cohort.film_patients) == films
    assert cohort.patients == min(films, 2)


def test_the_folder_may_be_the_collection_itself(tmp_path: Path) -> None:
    assert _cohort(_folder(tmp_path / "chexpert", within="."), view="both").patients == 2


def test_other_findings(tmp_path: Path) -> None:
    cohort = _cohort(_folder(tmp_path / "chexpert"), findings=("Support Devices", "No Finding"), view="both")
    np.testing.assert_array_equal(cohort.film_labels, [[0, 1], [1, 0], [1, 0]])


@pytest.mark.parametrize(
    ("change", "settings", "says"),
    [
        (("Lateral,,", "Oblique,,"), {}, "label table line 4: the view is neither Frontal nor Lateral"),
        (("patient90001", "DOE-JANE"), {}, "label table line 2: the path names no patient"),
        (("view1_frontal.jpg,Male", "view9_frontal.jpg,Male"), {}, "label table line 3: the file does not exist"),
        ((",,1.0,,,1.0\n", ",,0.7,,,1.0\n"), {}, "label table line 3: a finding is none of"),
        ((",,1.0,,,1.0\n", ",,JANE,,,1.0\n"), {}, "label table line 3: a finding is none of"),
        (("view2_lateral", "view1_frontal"), {"view": "both"}, "label table line 4: the film of line 3 again"),
        (("", ""), {"findings": ("Edema", "Gout")}, "label table: no column Gout"),
        (("", ""), {"findings": ("Edema", "Edema")}, "data.chexpert.findings: name one column or more, each once"),
        (("", ""), {"findings": ("Edema", "edema")}, "data.chexpert.findings: name one column or more, each once"),
        (("Frontal,", "Lateral,"), {}, "no frontal films"),
    ],
)
def test_bad_tables_get_one_line(tmp_path: Path, change: tuple[str, str], settings: dict[str, Any], says: str) -> None:
    rows = "\n".join([*ROWS, ""]).replace(*change) if change[0] else "\n".join(ROWS)
    with pytest.raises(InputError) as caught:
        _cohort(_folder(tmp_path / "chexpert", rows.split("\n")), **settings)
    assert says in str(caught.value)
    assert "JANE" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_film_that_lies_in_both_places_with_other_content_is_refused(tmp_path: Path) -> None:
    root = _folder(tmp_path / "chexpert")
    other = root / "train/patient90002/study1/view1_frontal.jpg"
    other.parent.mkdir(parents=True)
    other.write_bytes((root / "CheXpert-v1.0-small" / other.relative_to(root)).read_bytes())
    assert _cohort(root).patients == 2
    Image.fromarray(np.full((40, 30), 255, np.uint8)).save(other)
    with pytest.raises(InputError, match="label table line 3: the film lies beside the table and in the collection's"):
        _cohort(root)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ((",,1.0,,,1.0\n", ",,nan,,,1.0\n"), "label table line 3: a finding is none of"),
        ((",,1.0,,,1.0\n", ",,-0.0,,,1.0\n"), "label table line 3: a finding is none of"),
        ((",,1.0,,,1.0\n", ",,-TRUE,,,1.0\n"), "label table line 3: a finding is none of"),
        ((",,1.0,,,1.0\n", ",,-,,,1.0\n"), "label table line 3: a finding is none of"),
        ((",,1.0,,,1.0\n", ",,1.0\n"), "label table line 3: fewer cells than columns"),
        ((",,1.0,,,1.0\n", ",,#N/A,,,1.0\n"), "label table line 3: a finding is none of"),
    ],
)
def test_a_finding_that_is_no_value_is_refused(tmp_path: Path, change: tuple[str, str], says: str) -> None:
    rows = "\n".join([*ROWS, ""]).replace(*change)
    with pytest.raises(InputError, match=says):
        _cohort(_folder(tmp_path / "chexpert", rows.split("\n")[:-1]))


def test_the_same_table_by_a_spreadsheet(tmp_path: Path) -> None:
    expected = _cohort(_folder(tmp_path / "chexpert")).fingerprint
    root = _folder(tmp_path / "saved")
    text = (root / "train.csv").read_text().replace(".0,", ",").replace("1.0\n", "TRUE\n")
    (root / "train.csv").write_text("\ufeffsep=;\r\n" + text.replace(",", ";").replace("\n", "\r\n"))
    assert _cohort(root).fingerprint == expected


def test_a_column_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    root = _folder(tmp_path / "chexpert")
    (root / "train.csv").write_text((root / "train.csv").read_text().replace("Lung Lesion", "edema"))
    with pytest.raises(InputError, match="label table: columns 10 and 11 are both called Edema"):
        _cohort(root)
