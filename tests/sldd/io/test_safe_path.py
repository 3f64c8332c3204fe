"""A table points into its folder; a link out of it is followed where its owner laid it, not where it was received."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sldd.errors import InputError
from sldd.io.safe_path import inside
from sldd.package.apply.films import find_patients
from sldd.sources.chexpert import CheXpertSettings, read_chexpert
from sldd.sources.folder import FolderSource
from sldd.sources.hospital import HospitalSettings, read_hospital

CHEXPERT = "Path,Frontal/Lateral,Atelectasis,Cardiomegaly,Consolidation,Edema,Pleural Effusion\n"
TABLES: dict[str, tuple[str, str, Callable[[Path], object]]] = {
    "folder": ("manifest.csv", "patient_id,image,mask,label\nJANE,{0},,1\n", FolderSource),
    "mask": ("manifest.csv", "patient_id,image,mask,label\nJANE,film.png,{0},1\n", FolderSource),
    "received": ("manifest.csv", "patient_id,image,label\nJANE,{0},1\n", find_patients),
    "hospital": (
        "labels.csv",
        "patient_id,image,findings\nJANE,{0},heart\n",
        lambda root: read_hospital(root, HospitalSettings(), 16),
    ),
    "chexpert": (
        "train.csv",
        CHEXPERT + "{0},Frontal,1,0,0,0,0\n",
        lambda root: read_chexpert(root, CheXpertSettings(), 16),
    ),
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with a film, beside one that is nobody's business."""
    for folder in ("root", "outside/patient1"):
        (tmp_path / folder).mkdir(parents=True)
    for path in ("root/film.png", "outside/patient1/film.png"):
        Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(tmp_path / path)
    return tmp_path / "root"


def _write(root: Path, table: str, name: str) -> Callable[[Path], object]:
    file, text, read = TABLES[table]
    (root / file).write_text(text.format(name))
    return read


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("name", ["../outside/patient1/film.png", "{0}/outside/patient1/film.png"])
def test_a_path_out_of_the_folder_is_refused(root: Path, table: str, name: str) -> None:
    read = _write(root, table, name.format(root.parent))
    with pytest.raises(InputError, match="line 2: the path leads out of the table's folder") as caught:
        read(root)
    assert "JANE" not in str(caught.value)


def test_a_link_of_the_owner_is_followed_and_one_received_is_not(root: Path) -> None:
    (root / "link.png").symlink_to("../outside/patient1/film.png")
    source = _write(root, "folder", "link.png")(root)
    assert isinstance(source, FolderSource)
    assert source.read(0)[0].pixels.shape == (8, 8)
    with pytest.raises(InputError, match="line 2: a symbolic link leads out"):
        _write(root, "received", "link.png")(root)
    (root / "manifest.csv").unlink()
    with pytest.raises(InputError, match="file 2 of 2 by name is a link that leads out"):
        find_patients(root)


def test_a_link_within_what_was_received_is_followed(root: Path) -> None:
    (root / "link.png").symlink_to("film.png")
    (patient,) = find_patients_of(root)
    assert patient.films[0].path == root / "link.png"


def find_patients_of(root: Path) -> list:  # type: ignore[type-arg]
    """Of a manifest that names the link."""
    _write(root, "received", "link.png")
    return find_patients(root)


@pytest.mark.parametrize("name", ["a\x00b", "a\x1b[2Jb", "a\nb", "C:\\films\\a.png"])
def test_a_name_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="line 2"):
        inside(tmp_path, name, "line 2")
