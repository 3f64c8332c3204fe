"""Files that a command writes: whole or not at all, and in nobody's way."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from sldd.errors import InputError
from sldd.io.atomic_file import write_file


def test_a_file_is_replaced_and_has_the_mode_asked_for(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_file(out, b"one")
    write_file(out, b"two", mode=0o600)
    assert out.read_bytes() == b"two"
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_what_cannot_be_written_leaves_what_was_there_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fail(_: int) -> None:
        raise error

    out = tmp_path / "out"
    write_file(out, b"old")
    monkeypatch.setattr(os, "fsync", fail)
    told = InputError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(told, match="cannot be written .No space left on device" if told is InputError else None):
        write_file(out, b"new")
    assert out.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [out]


def test_a_file_in_the_way_is_named_and_stays(tmp_path: Path) -> None:
    there = tmp_path / f".out.{os.getpid()}"
    there.write_bytes(b"somebody's")
    with pytest.raises(InputError, match=f"{there.name} is in the way; remove it"):
        write_file(tmp_path / "out", b"new")
    assert there.read_bytes() == b"somebody's"
    assert list(tmp_path.iterdir()) == [there]
