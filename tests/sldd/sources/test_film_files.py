"""Folders of films without a table: what is a film by its content, and what is counted and passed over."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sldd.errors import InputError
from sldd.sources.film_files import find_films, left_out_words
from tests.conftest import write_dicom

DEEP = np.arange(64, dtype=np.uint16).reshape(8, 8)
GRAY = Image.fromarray(DEEP.astype(np.uint8))


def test_films_are_known_by_their_content_or_ending(tmp_path: Path) -> None:
    write_dicom(tmp_path / "IM000001", DEEP)
    write_dicom(tmp_path / "1.2.840.113619.2.5", DEEP)
    write_dicom(tmp_path / "a.DCM", DEEP)
    for name in ("b.png", "c.jpg", "d.JPEG", "e.tif", "f.TIFF"):
        GRAY.save(tmp_path / name)
    GRAY.save(tmp_path / "scan", "PNG")
    GRAY.save(tmp_path / "scan3", "TIFF", big_tiff=True)
    GRAY.save(tmp_path / "scan2", "JPEG")
    (tmp_path / "broken.png").write_bytes(b"nothing")  # is to be missed, and not passed over
    (tmp_path / "notes.txt").write_text("Jane Doe")
    (tmp_path / "empty").touch()
    (tmp_path / "sub").mkdir()
    GRAY.save(tmp_path / "sub" / "g.png")
    found = find_films(tmp_path)
    assert [path.name for path in found.paths] == sorted(
        ["1.2.840.113619.2.5", "IM000001", "a.DCM", "b.png", "broken.png", "c.jpg", "d.JPEG", "e.tif", "f.TIFF"]
        + ["scan", "scan2", "scan3"]
    ) + ["g.png"]
    assert found.in_words() == "2 other files"


def test_what_is_no_film_is_counted(tmp_path: Path) -> None:
    GRAY.save(tmp_path / "1.png")
    for name in ("._1.png", ".DS_Store", "__MACOSX/1.png", ".git/x.png", "@eaDir/t.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        GRAY.save(tmp_path / name, "PNG")
    for name in ("masks/1.png", "lung_masks/1.png", "Segmentation/1.png", "1_mask.png", "1-seg.tif", "mask_1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        GRAY.save(tmp_path / name)
    write_dicom(tmp_path / "DICOMDIR", DEEP)
    (tmp_path / "thumbs.db").write_bytes(b"x")
    found = find_films(tmp_path)
    assert [path.name for path in found.paths] == ["1.png"]
    assert found.in_words() == (
        "5 hidden files, 3 files in folders of masks, 3 masks by their names, 1 directory of a disc, 1 other file"
    )


@pytest.mark.parametrize("name", ["unmasked", "segment 3", "roy", "mask"])
def test_films_of_such_names_are_films(tmp_path: Path, name: str) -> None:
    (tmp_path / "masked ball").mkdir()
    GRAY.save(tmp_path / "masked ball" / f"{name}.png")
    assert len(find_films(tmp_path).paths) == 1


def test_a_folder_called_masks_that_is_named_itself(tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    GRAY.save(tmp_path / "masks" / "1.png")
    assert len(find_films(tmp_path / "masks").paths) == 1
    with pytest.raises(InputError, match=r"no PNG, .* file in it, only 1 file in folders of masks"):
        find_films(tmp_path)


def test_links_out_of_what_was_received_are_not_opened(tmp_path: Path) -> None:
    folder, outside = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    outside.mkdir()
    write_dicom(outside / "secret", DEEP)
    GRAY.save(folder / "1.png")
    (folder / "IM1").symlink_to(outside / "secret")
    assert find_films(folder, received=True).in_words() == "1 other file"
    assert len(find_films(folder).paths) == 2
    (folder / "2.dcm").symlink_to(outside / "secret")
    with pytest.raises(InputError, match="file 2 of 2 by name is a link that leads out"):
        find_films(folder, received=True)


def test_words() -> None:
    assert left_out_words({"hidden files": 0, "other files": 1}) == "1 other file"
    assert left_out_words({"hidden files": 1200, "masks by their names": 1}) == "1,200 hidden files, 1 mask by its name"
    assert left_out_words({}) == ""
