from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sldd import overlay as module
from sldd.data.patches import PatchSettings
from sldd.errors import InputError
from sldd.overlay import main, write_picture
from sldd.package.apply.vote_map import FilmVotes
from sldd.package.apply.vote_picture import COLOURS, draw, in_words
from sldd.rng import stream
from tests.sldd.package.apply.test_vote_map import SETTINGS, bright, quadrants

NAME = "jane-doe-1950"


@dataclass
class Stub:
    """What the overlay asks of a package, whatever the format of its file."""

    patches: PatchSettings = SETTINGS
    mean: float = 100.0
    deviation: float = 50.0
    channels: int = 1

    def threshold(self) -> float:
        return 0.5


class Bright(torch.nn.Module):
    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        return bright(crops)


@pytest.fixture
def film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    def rebuild(package: Stub, start: Path | None) -> object:
        assert start is None
        return Bright()

    monkeypatch.setattr(module.Package, "load", lambda path: Stub())
    monkeypatch.setattr(module, "rebuild", rebuild)
    path = tmp_path / f"{NAME}.png"
    Image.fromarray(quadrants()).save(path)
    mask = np.zeros((40, 52), np.uint8)
    mask[:, 30:] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    yield path
    assert not list(tmp_path.glob(".*")), "no draft is left"


def run(film: Path, out: Path, *more: object) -> int:
    return main([str(each) for each in ("package.safetensors", film, "--out", out, *more)])


def test_the_picture_is_its_owners_alone_and_names_nobody(film: Path, capsys: pytest.CaptureFixture[str]):
    out = film.parent / "overlay.png"
    assert run(film, out, "--mask", film.parent / "mask.png") == 0
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        "Called positive: score 0.667 is at or above delta 0.500",
        "Votes of 12 patches: 4 P (positive), 2 N (negative), 6 I (irrelevant); score = P / (N + P)",
        "Of the 3 inside the organ: 2 P, 1 N, 0 I",
    ]
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    with Image.open(out) as picture:
        assert picture.size[0] > 1400
        assert not picture.info
    assert NAME not in said.out + said.err
    assert NAME.encode() not in out.read_bytes()


def test_tint_tells_n_from_p_and_leaves_i_as_it_is():
    cast = np.array([[0, 1, 2]])
    gray = np.full((20, 60), 128, np.uint8)
    picture = np.asarray(draw(FilmVotes((20, 60), cast, 20, 20, 0.5), gray, None)).astype(int)
    # The two panels, side by side: the rows of which the left half is evenly gray.
    row = next(y for y in range(picture.shape[0]) if (picture[y, 100:600] == 128).all())
    left, right = picture[row + 5, 28:748], picture[row + 5, 768:1488]
    assert (left == 128).all()
    places = {0: 40, 1: 330, 2: 570}  # beside the signs and the first window's outline
    assert (right[places[0]] == 128).all()
    for vote in (1, 2):
        toward = np.array(COLOURS[vote]) - 128
        moved = right[places[vote]] - 128
        assert (np.sign(moved) == np.sign(toward)).all()
        assert np.abs(moved - toward / 2).max() <= 1


def test_words_for_those_without_a_vote():
    lines = in_words(FilmVotes((8, 8), np.zeros((2, 3), int), 8, 1, 0.4))
    assert lines[0] == "Undecided, counted as negative: no patch voted N or P (delta 0.400)"


@pytest.mark.parametrize(("shape", "dtype"), [((90, 30), np.uint8), ((30, 90), np.uint16), ((2048, 2048), np.uint16)])
def test_films_of_any_shape_and_depth(shape: tuple[int, int], dtype: type):
    pixels = stream(0, "film").integers(0, np.iinfo(dtype).max, shape).astype(dtype)
    size, stride = (299, 50) if shape[0] > 1000 else (16, 7)
    grid = tuple((side - size) // stride + 1 for side in shape)
    cast = stream(0, "votes").integers(0, 3, grid)
    picture = draw(FilmVotes(shape, cast, size, stride, 0.4), pixels, np.ones(shape, bool))
    assert max(picture.size) < 1800
    assert picture.size[0] > 400


def test_an_existing_file_is_kept_unless_forced(film: Path, capsys: pytest.CaptureFixture[str]):
    out = film.parent / "overlay.png"
    out.write_bytes(b"mine")
    assert run(film, out) == 2
    assert "--force" in capsys.readouterr().err
    assert out.read_bytes() == b"mine"
    with pytest.raises(InputError, match="exists"):
        write_picture(Image.new("L", (1, 1)), out, force=False)  # it appeared meanwhile
    assert out.read_bytes() == b"mine"
    assert run(film, out, "--force") == 0
    assert out.read_bytes().startswith(b"\x89PNG")
    assert stat.S_IMODE(out.stat().st_mode) == 0o600


def test_never_into_a_studys_folder(film: Path, capsys: pytest.CaptureFixture[str]):
    deep = film.parent / "results" / "demo" / "pictures"
    deep.mkdir(parents=True)
    (deep.parent / "study.yaml").touch()
    link = film.parent / "elsewhere"
    link.symlink_to(deep)
    for folder in (deep.parent, deep, link):
        assert run(film, folder / "overlay.png") == 2
        assert "holds a study" in capsys.readouterr().err
    assert list(deep.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["{film}", "--out", "{folder}/o.jpg"], "PNG"),
        (["{film}", "--out", "{folder}/none/o.png"], "no such folder"),
        (["{film}", "--out", "{film}", "--force"], "one of the files that are read"),
        (["{folder}/jane-doe-1951.png", "--out", "{folder}/o.png"], "RADIOGRAPH: there is no such file"),
        (["{folder}/jane-doe.txt", "--out", "{folder}/o.png"], "RADIOGRAPH: the image cannot be read"),
        (["{film}", "--mask", "{folder}/jane-doe.txt", "--out", "{folder}/o.png"], "--mask: the mask cannot be read"),
    ],
)
def test_wrong_input_is_one_line_that_names_nobody(
    film: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
):
    (film.parent / "jane-doe.txt").write_text("no film")
    given = [each.format(film=film, folder=film.parent) for each in arguments]
    assert main(["package.safetensors", *given]) == 2
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    assert line.startswith("overlay: ")
    assert says in line
    assert "jane" not in line
    assert said.out == ""
    assert not (film.parent / "o.png").exists()


def test_a_package_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "package.safetensors").write_bytes(b"no package")
    Image.fromarray(quadrants()).save(tmp_path / "film.png")
    arguments = [tmp_path / "package.safetensors", tmp_path / "film.png", "--out", tmp_path / "o.png"]
    assert main([str(each) for each in arguments]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "o.png").exists()
