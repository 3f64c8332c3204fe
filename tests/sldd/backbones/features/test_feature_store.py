"""Kept features: the same bytes or none, whatever befalls the file; bounded; readable by their owner alone."""

from __future__ import annotations

import os
import time
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest
import torch

from sldd.backbones.features.feature_store import FeatureStore
from tests.forks import FORKS

ROOM = 2**30


def values(seed: int, rows: int = 50) -> torch.Tensor:
    return torch.randn(rows, 7, generator=torch.Generator().manual_seed(seed))


def keep(store: FeatureStore, key: str, features: torch.Tensor) -> None:
    with store.writing(key) as draft:
        for part in features.split(20):
            draft.append(part)
        draft.finish(truth=torch.arange(len(features)) % 3, classes=torch.tensor([1, -128], dtype=torch.int8))


def test_what_was_written_is_read(tmp_path: Path) -> None:
    keep(FeatureStore(tmp_path / "features", ROOM), "one", values(1))
    found = FeatureStore(tmp_path / "features", ROOM).read("one")
    assert found is not None
    assert torch.equal(found["features"], values(1))
    assert torch.equal(found["truth"], torch.arange(50) % 3)
    assert found["classes"].tolist() == [1, -128]
    assert FeatureStore(tmp_path / "features", ROOM).read("other") is None
    (file,) = (tmp_path / "features").iterdir()
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_every_torn_file_is_found(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, ROOM)
    keep(store, "one", values(1))
    path = tmp_path / "one.features"
    whole = path.read_bytes()
    torn = [whole[:length] for length in (0, 1, 8, 40, len(whole) // 2, len(whole) - 1)]
    torn += [whole + b"0", bytes(len(whole)), whole[:100] + bytes(500) + whole[600:]]
    torn += [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in (0, 1400, len(whole) - 60, len(whole) - 1)]
    for content in torn:
        path.write_bytes(content)
        assert FeatureStore(tmp_path, ROOM).read("one") is None
    again = FeatureStore(tmp_path, ROOM)
    keep(again, "one", values(1))
    found = again.read("one")
    assert found is not None
    assert torch.equal(found["features"], values(1))


def test_an_error_while_writing_leaves_nothing(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, ROOM)
    with pytest.raises(TypeError), store.writing("one") as draft:
        draft.append(None)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
    assert store.trouble is None


def test_what_was_used_longest_ago_goes_first(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, 3 * 4000)
    for number, key in enumerate(("one", "two", "three")):
        keep(store, key, values(number, 100))  # 2,800 bytes of features, 800 of classes
        os.utime(tmp_path / f"{key}.features", (1000 + number, 1000 + number))
    (tmp_path / ".old.draft").write_bytes(b"what a kill left")
    os.utime(tmp_path / ".old.draft", (1000, 1000))
    (tmp_path / ".new.draft").write_bytes(b"another is writing")
    opened = store.read("two")
    assert opened is not None
    assert FeatureStore(tmp_path, ROOM).read("one") is not None  # used, so that two is the oldest but for its own use
    os.utime(tmp_path / "two.features", (1001, 1001))
    keep(store, "four", values(4, 100))
    assert {path.name for path in tmp_path.iterdir()} == {
        "one.features", "three.features", "four.features", ".new.draft",
    }  # fmt: skip
    assert torch.equal(opened["features"], values(1, 100))  # whoever has it mapped keeps it
    assert list(store._opened) == [], "nor is its disk space taken for ever"


def test_what_others_removed_is_let_go(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, ROOM)
    keep(store, "one", values(1))
    assert store.read("one") is not None
    (tmp_path / "one.features").unlink()
    found = store.read("one")
    assert found is not None
    assert torch.equal(found["features"], values(1))
    assert store.read("one") is None


def test_what_is_too_large_is_said_once_and_smaller_files_are_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = FeatureStore(tmp_path, 3 * 4000)
    for key in ("large", "larger"):
        keep(store, key, values(5, 1000))
    keep(store, "small", values(5, 100))
    assert [path.name for path in tmp_path.iterdir()] == ["small.features"]
    (record,) = caplog.records
    assert "(more than the 1.12e-05 GiB of resources.feature_cache) but worked out each time" in record.message


@pytest.mark.skipif(os.geteuid() == 0 and not Path("/dev/full").exists(), reason="no disk can be made full")
def test_a_full_disk_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = FeatureStore(tmp_path, ROOM)
    with store.writing("one") as draft, Path("/dev/full").open("wb", buffering=0) as full:
        draft._file = full
        draft.append(values(1))
        draft.append(values(2))
        draft.finish()
    assert store.trouble == f"features are not kept in {tmp_path} (No space left on device) but worked out each time"
    keep(store, "two", values(1))
    assert list(tmp_path.iterdir()) == []
    assert store.read("two") is None
    assert len(caplog.records) == 1


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = FeatureStore(tmp_path / "file" / "features", ROOM)
    assert store.check() == (
        f"features are not kept in {tmp_path}/file/features (Not a directory) but worked out each time"
    )
    keep(store, "one", values(1))
    assert FeatureStore(tmp_path, ROOM).check() is None
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def _write_and_read(folder: Path, wrong: SimpleQueue[int]) -> None:
    bad = 0
    for turn in range(40):
        store = FeatureStore(folder, 3 * 4000)  # room for three of five
        key = turn % 5
        found = store.read(str(key))
        if found is None:
            keep(store, str(key), values(key, 100))
            found = store.read(str(key))
        bad += found is not None and not torch.equal(found["features"], values(key, 100))
    wrong.put(bad)


def test_two_writers_at_once(tmp_path: Path) -> None:
    wrong: SimpleQueue[int] = FORKS.SimpleQueue()
    writers = [FORKS.Process(target=_write_and_read, args=(tmp_path, wrong)) for _ in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert [wrong.get() for _ in writers] == [0, 0]
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 3 * 4000


def _write_for_ever(folder: Path, begun: Event) -> None:
    store = FeatureStore(folder, ROOM)
    begun.set()
    while True:
        for key in range(3):
            with store.writing(str(key)) as draft:
                for part in values(key, 40_000).split(1000):
                    draft.append(part)
                draft.finish()


def kill_while_writing(folder: Path, kills: int) -> tuple[int, int]:
    """Wrong values, and files that were there, over so many kills of a writer at a moment of its work."""
    wrong = whole = 0
    for number in range(kills):
        begun = FORKS.Event()
        writer = FORKS.Process(target=_write_for_ever, args=(folder, begun), daemon=True)
        writer.start()
        assert begun.wait(60)
        time.sleep(0.007 * number)
        writer.kill()
        writer.join()
        for key in range(3):
            found = FeatureStore(folder, ROOM).read(str(key))
            whole += found is not None
            wrong += found is not None and not torch.equal(found["features"], values(key, 40_000))
    return wrong, whole


@pytest.mark.slow
def test_twenty_kills_leave_no_wrong_value(tmp_path: Path) -> None:
    wrong, whole = kill_while_writing(tmp_path, 20)
    assert wrong == 0
    assert whole > 20
    assert [path for path in tmp_path.iterdir() if path.suffix == ".draft"]  # some were in the middle
