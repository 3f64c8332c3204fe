"""Folders and object stores: the same files, whole or not at all, and one of several writers that creates one."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from ledger.storage import (
    Folder,
    StorageError,
    create_whole,
    delete,
    is_url,
    move,
    open_folder,
    read_many,
    write_whole,
)


@pytest.fixture(params=["folder", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    found = open_folder(tmp_path if request.param == "folder" else f"memory://{tmp_path.name}")
    delete(found)
    (found / "a" / "1").mkdir(parents=True)
    return found


def test_what_is_written_is_read(folder: Folder) -> None:
    write_whole(folder / "a" / "1" / "config.json", "first")
    write_whole(folder / "a" / "1" / "config.json", b"second")
    (folder / "a" / "1" / "other").write_bytes(b"")
    assert dict(read_many(folder, re.compile(r"a/\d/config\.json"))) == {"a/1/config.json": b"second"}
    assert list(read_many(folder / "nowhere", re.compile(".*"))) == []


def test_of_several_writers_one_creates(folder: Folder) -> None:
    path = folder / "result.json"
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda writer: create_whole(path, str(writer)), range(8)))
    if isinstance(folder, Path):  # fsspec's memory looks and then writes
        assert won.count(True) == 1
        assert path.read_text() == str(won.index(True))
    assert not create_whole(path, "late")
    assert sorted(entry.name for entry in folder.iterdir()) == ["a", "result.json"], "no drafts are left"


def test_a_write_that_fails_leaves_the_old_file_and_no_draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_whole(tmp_path / "file", "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ledger.storage.os.fsync", full)
    for write in (write_whole, create_whole):
        with pytest.raises(OSError, match="No space left"):
            write(tmp_path / "file", "new")
    assert [(entry.name, entry.read_text()) for entry in tmp_path.iterdir()] == [("file", "old")]


def test_a_folder_moves_with_all_below_it(folder: Folder) -> None:
    write_whole(folder / "a" / "1" / "x", "y")
    move(folder / "a", folder / "b" / "c")
    assert dict(read_many(folder, re.compile(".*"))) == {"b/c/1/x": b"y"}
    delete(folder / "b")
    delete(folder / "never")
    assert list(read_many(folder, re.compile(".*"))) == []


class ThrottledError(Exception):
    """As of a store whose errors are no OSErrors."""


def test_what_a_store_does_not_give_just_now_is_no_file_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger that took it for missing would name the next trial over an existing one."""
    folder = open_folder("memory://throttled")
    for name in ("a", "b"):
        write_whole(folder / name, name)
    read = MemoryFileSystem.cat_file

    def fail_with(error: type[Exception]) -> None:
        def some(store: MemoryFileSystem, path: str, *given: object, **named: object) -> bytes:
            if path.endswith("b"):
                raise error("slow down")
            return bytes(read(store, path, *given, **named))

        monkeypatch.setattr(MemoryFileSystem, "cat_file", some)

    fail_with(FileNotFoundError)
    assert dict(read_many(folder, re.compile(".*"))) == {"a": b"a"}, "it went missing between listing and reading"
    with pytest.raises(OSError, match="throttled was not moved: b"):
        move(folder, folder.parent / "target")
    fail_with(ThrottledError)
    for read_all in (lambda: list(read_many(folder, re.compile(".*"))), lambda: move(folder, folder.parent / "target")):
        with pytest.raises(OSError, match="slow down"):
            read_all()
    assert sorted(path.name for path in folder.iterdir()) == ["a", "b"]
    delete(folder)


def test_places_are_told_apart(tmp_path: Path) -> None:
    assert is_url("s3://bucket/studies")
    assert not is_url("results")
    assert open_folder(f"file://{tmp_path}") == tmp_path
    with pytest.raises(StorageError, match="Unsupported filesystem: 'nosuch'"):
        open_folder("nosuch://bucket")
