"""One file of a study's records: nothing is lost on the way, and a stranger's file does no harm."""

from __future__ import annotations

import io
import json
import shlex
import shutil
import tarfile
from pathlib import Path

import pandas as pd
import pytest
import yaml

from ledger.ledger import KEY
from ledger.trial_files import LANDSCAPE
from ledger.trial_folder import WEIGHTS
from study.export.archive import main
from tests.analysis.conftest import Ledger
from tests.study.command import Here, Study

pytestmark = pytest.mark.slow  # all want the study that ran undisturbed


@pytest.fixture
def packed(undisturbed: Study, tmp_path: Path) -> Path:
    file = tmp_path / "tiny.study.tar.xz"
    assert main(["pack", str(undisturbed.folder), str(file), "--key"]) == 0
    return file


def _names(file: Path) -> list[str]:
    with tarfile.open(file) as archive:
        return archive.getnames()


def _write(file: Path, members: dict[str, bytes], kind: bytes = tarfile.REGTYPE) -> Path:
    with tarfile.open(file, "w:xz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size, member.type = len(content), kind
            archive.addfile(member, io.BytesIO(content))
    return file


def test_a_study_goes_on_where_its_file_ends(undisturbed: Study, packed: Path, tmp_path: Path) -> None:
    """A confirm trial was still running when the study was packed: it alone runs again, and comes out the same."""
    half = shutil.copytree(undisturbed.folder, tmp_path / "half" / "tiny")
    last = sorted(half.glob("trials/*/2/result.json"))[0]
    last.unlink()
    assert main(["pack", str(half), str(packed), "--key"]) == 0
    assert main(["unpack", str(packed), "--out", str(tmp_path / "out")]) == 0
    kept = {path: path.read_bytes() for path in (tmp_path / "out").glob("tiny/trials/*/*/result.json")}
    assert len(kept) == len(undisturbed.trials("result.json")) - 1
    resumed = Here(tmp_path / "out")
    assert resumed.status == 0, resumed.log.read_text()
    assert all(path.read_bytes() == content for path, content in kept.items())
    pd.testing.assert_frame_equal(resumed.records(), undisturbed.records(), check_exact=True)


def test_without_its_key_a_study_is_read_but_not_gone_on_with(undisturbed: Study, tmp_path: Path) -> None:
    file = tmp_path / "tiny.study.tar.xz"
    assert main(["pack", str(undisturbed.folder), str(file)]) == 0
    assert not any(KEY in name for name in _names(file))
    assert not any(name.endswith(".safetensors") for name in _names(file))
    assert main(["unpack", str(file), "--out", str(tmp_path / "out")]) == 0
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    resumed = Here(tmp_path / "out")
    assert resumed.status == 2
    assert "key" in resumed.log.read_text().splitlines()[-1]
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()} == before


def test_where_the_cohort_gives_the_key_the_file_goes_on_without_one(undisturbed: Study, tmp_path: Path) -> None:
    """A public cohort's study, packed without a key, ends as the one that nothing disturbed did, names and all."""
    whole, file = Here(tmp_path / "whole", "pseudonyms=cohort"), tmp_path / "tiny.study.tar.xz"
    results = {path.relative_to(whole.folder): path.read_bytes() for path in whole.trials("result.json")}
    whole.trials("result.json")[-1].unlink()
    assert main(["pack", str(whole.folder), str(file)]) == 0
    assert not any(KEY in name for name in _names(file))
    assert main(["unpack", str(file), "--out", str(tmp_path / "out")]) == 0
    resumed = Here(tmp_path / "out", "pseudonyms=cohort")
    assert resumed.status == 0, resumed.log.read_text()
    for path, content in results.items():
        again = json.loads((resumed.folder / path).read_bytes())
        assert again["validation"]["patients"] == json.loads(content)["validation"]["patients"]
    assert (resumed.folder / KEY).read_bytes() == (whole.folder / KEY).read_bytes()
    pd.testing.assert_frame_equal(resumed.records(), undisturbed.records(), check_exact=True)


def test_where_films_lie_is_not_told(tmp_path: Path) -> None:
    place = "/secret place/films"
    data = {"source": "folder", "root": place, "cache": f"{place}/cache"}
    words = ["ours", f"data.root={place}", f"sources.nih.root={place}", f"pretrained={place}", "search.trials=2"]
    starts, weights = {"resnet18": f"{place}/a.pt", "paper/vgg16": f"{place}/a.pt"}, {f"{place}/a.pt": 64 * "0"}
    study = Ledger(
        tmp_path / "ours",
        command=f"python -m study.run {shlex.join(words)}",
        config={
            "seed": 3, "data": data, "sources": {"nih": dict(data), "none": {"source": "phantom"}}, "pretrained": starts
        },
        provenance={"weights": weights},
    )  # fmt: skip
    study.done(study.cell("resnet18", 11_000_000, 1), 0)
    file = tmp_path / "x.tar.xz"
    assert main(["pack", str(study.folder), str(file)]) == 0
    assert main(["unpack", str(file), "--out", str(tmp_path / "out")]) == 0
    text = (tmp_path / "out/ours/study.yaml").read_text()
    assert "secret" not in text
    there = yaml.safe_load(text)
    command = "python -m study.run ours data.root=FOLDER sources.nih.root=FOLDER pretrained=FOLDER search.trials=2"
    assert there["command"] == command
    assert there["config"]["pretrained"] == {"resnet18": "FOLDER/resnet18.pt", "paper/vgg16": "FOLDER/paper/vgg16.pt"}
    assert there["provenance"]["weights"] == dict.fromkeys(there["config"]["pretrained"].values(), 64 * "0")
    assert there["config"]["data"] == {"source": "folder", "root": None, "cache": None}
    assert there["config"]["sources"]["none"] == {"source": "phantom"}
    described = yaml.safe_load((study.folder / "study.yaml").read_text())
    changed = ("command", "config", "provenance")
    assert {key: there[key] for key in described if key not in changed} == {
        key: described[key] for key in described if key not in changed
    }


def test_packages_come_where_they_are_asked_for(undisturbed: Study, tmp_path: Path) -> None:
    file = tmp_path / "tiny.study.tar.xz"
    assert main(["pack", str(undisturbed.folder), str(file), "--packages"]) == 0
    assert main(["unpack", str(file), "--out", str(tmp_path / "out")]) == 0
    for package in undisturbed.trials("package.safetensors"):
        there = tmp_path / "out" / "tiny" / package.relative_to(undisturbed.folder)
        assert there.read_bytes() == package.read_bytes()


def test_networks_that_others_start_from_come_with_the_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = Ledger(tmp_path / "chained")
    stage, own = study.cell("net", 1, None, cell="a", stage="nih"), study.cell("net", 1, None, cell="b", chain=["nih"])
    (study.done(stage, 1) / WEIGHTS).write_bytes(b"weights")
    study.done(own, 0)
    (study.folder / KEY).write_text("key")
    assert main(["pack", str(study.folder), str(tmp_path / "x.tar.xz")]) == 0
    assert not any(name.endswith(WEIGHTS) for name in _names(tmp_path / "x.tar.xz"))
    assert main(["pack", str(study.folder), str(tmp_path / "x.tar.xz"), "--key"]) == 0
    assert main(["unpack", str(tmp_path / "x.tar.xz"), "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out/chained/trials/a/1" / WEIGHTS).read_bytes() == b"weights"
    assert (tmp_path / "out/chained" / KEY).stat().st_mode & 0o077 == 0, "the key is its owner's"


def test_all_that_is_read_of_a_study_comes_also_what_a_longer_search_overtook(tmp_path: Path) -> None:
    study = Ledger(tmp_path / "ours")
    cell = study.cell("net", 1, 3)
    for index in (0, 1):
        study.done(cell, index)
    (study.folder / "superseded" / cell).mkdir(parents=True)
    (study.folder / "trials" / cell / "1").rename(study.folder / "superseded" / cell / "1-0a1b")
    for name in ("prior.json", LANDSCAPE):
        (study.folder / name).write_text("{}")
    assert main(["pack", str(study.folder), str(tmp_path / "x.tar.xz")]) == 0
    assert main(["unpack", str(tmp_path / "x.tar.xz"), "--out", str(tmp_path / "out")]) == 0
    packed, there = (
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (study.folder, tmp_path / "out" / "ours")
    )
    assert there == packed


def test_what_could_not_be_unpacked_is_not_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    study = Ledger(tmp_path / "large")
    study.done(study.cell("net", 1, 3), 0)
    monkeypatch.setattr("study.export.archive._LARGEST", 2000)
    assert main(["pack", str(study.folder), str(tmp_path / "x.tar.xz")]) == 2
    assert "which one file cannot hold" in capsys.readouterr().err
    assert not (tmp_path / "x.tar.xz").exists()


def test_the_same_records_are_the_same_bytes(undisturbed: Study, packed: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.tar.xz"
    assert main(["pack", str(undisturbed.folder), str(again), "--key"]) == 0
    assert again.read_bytes() == packed.read_bytes()
    assert again.stat().st_mode & 0o077 == 0, "the file with the key is its owner's"


@pytest.mark.parametrize(
    "name",
    [
        "tiny/../../outside",
        "/tiny/study.yaml",
        "../study.yaml",
        "tiny/trials/../0/result.json",
        "tiny/trials/cell/0/worker.json",
        "tiny/dashboard.html",
        "tiny/trials/cell/0/checkpoint/1.pt",
    ],
)
def test_a_file_with_anything_else_in_it_is_refused(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = _write(tmp_path / "x.tar.xz", {"tiny/study.yaml": b"format: 2", name: b"{}"})
    assert main(["unpack", str(file), "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("names", [["./study.yaml"], ["tiny/study.yaml", "tiny/trials/./0/result.json"]])
def test_a_name_that_names_no_folder_of_its_own_is_refused(
    names: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = _write(tmp_path / "x.tar.xz", dict.fromkeys(names, b"{}"))
    assert main(["unpack", str(file), "--out", str(tmp_path / "out")]) == 2
    assert "holds what no study's records have" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["tiny\x9b2J", "tiny\u202e", "tiny\x1b", "tiny\udcff"])
def test_a_name_that_cannot_be_printed_is_refused(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It steers a terminal, or is no text at all."""
    file = _write(tmp_path / "x.tar.xz", {f"{name}/study.yaml": b"format: 2"})
    assert main(["unpack", str(file), "--out", str(tmp_path / "out")]) == 2
    assert "holds what no study's records have" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({"GNU.sparse.map": "0,1", "GNU.sparse.size": str(2**30)}, "holds what no study's records have"),
        ({"GNU.sparse.numblocks": "0", "GNU.sparse.size": str(2**30)}, "holds what no study's records have"),
        ({"size": "-512"}, "holds what no study's records have"),
        ({"size": str(2**40)}, "larger than the records of any study"),
    ],
)
def test_a_file_that_unpacks_to_more_than_it_is_is_refused_unread(
    headers: dict[str, str],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(tarfile.TarFile, "extractfile", lambda *_: pytest.fail("it is read"))
    with tarfile.open(tmp_path / "x.tar.xz", "w:xz", format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo("tiny/study.yaml")
        member.pax_headers = headers
        archive.addfile(member)
    assert main(["unpack", str(tmp_path / "x.tar.xz"), "--out", str(tmp_path / "out")]) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_links_and_folders_are_refused(tmp_path: Path) -> None:
    file = _write(tmp_path / "x.tar.xz", {"tiny/study.yaml": b""}, kind=tarfile.SYMTYPE)
    assert main(["unpack", str(file), "--out", str(tmp_path / "out")]) == 2
    assert not (tmp_path / "out").exists()


def test_what_is_cut_off_or_no_such_file_is_refused_in_a_line(
    packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = packed.read_bytes()
    for content in (b"", b"no archive", whole[:100], whole[: len(whole) // 2], whole[:-20]):
        packed.write_bytes(content)
        assert main(["unpack", str(packed), "--out", str(tmp_path / "out")]) == 2
        assert capsys.readouterr().err.count("\n") == 1
        assert not (tmp_path / "out").exists()
    assert main(["unpack", str(tmp_path / "none"), "--out", str(tmp_path / "out")]) == 2


def test_a_study_of_that_name_is_not_written_over(packed: Path, tmp_path: Path) -> None:
    assert main(["unpack", str(packed), "--out", str(tmp_path / "out")]) == 0
    assert main(["unpack", str(packed), "--out", str(tmp_path / "out")]) == 2


def test_an_attempt_that_was_killed_or_fails_leaves_nothing(packed: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / ".tiny.unpacking" / "trials").mkdir(parents=True)
    (out / ".tiny.unpacking" / "trials" / "stale").touch()
    assert main(["unpack", str(packed), "--out", str(out)]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["tiny"]
    assert not (out / "tiny" / "trials" / "stale").exists()
    (tmp_path / "file").touch()
    assert main(["unpack", str(packed), "--out", str(tmp_path / "file")]) == 2


def test_a_study_that_cannot_be_read_just_now_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    study = Ledger(tmp_path / "ours")
    for reader in ("read_study", "read_trials"):
        with monkeypatch.context() as patched:
            patched.setattr(f"study.export.archive.{reader}", fail)
            assert main(["pack", str(study.folder), str(tmp_path / "x")]) == 2
        words = f"archive: {study.folder} cannot be read just now (Input/output error); try again later\n"
        assert capsys.readouterr().err == words


def test_nothing_to_pack_and_no_place_for_it(
    undisturbed: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pack", str(tmp_path), str(tmp_path / "x")]) == 2
    assert main(["pack", str(undisturbed.folder), str(tmp_path / "none" / "x")]) == 2
    empty = tmp_path / "tiny"
    empty.mkdir()
    shutil.copy(undisturbed.folder / "study.yaml", empty)
    assert main(["pack", str(empty), str(tmp_path / "x")]) == 2
    assert capsys.readouterr().err.count("\n") == 3
    assert not (tmp_path / "x").exists()
