"""The guard hears what it says it hears, and keeps what an input did even where nothing is left to tell."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.fuzz import guard
from benchmarks.fuzz.guard import TRAPS, Inputs, Prepared, Reader, attack
from benchmarks.fuzz.mutations import CELLS
from sldd.errors import InputError


def _reader(acts: Callable[[], object], *, enclosed: bool = True) -> Reader:
    """A reader that does something where its input says so, which the first one of all does not."""

    def prepare(folder: Path) -> Prepared:
        (folder / "input").write_bytes(b"harmless")
        (folder / "other").touch()

        def read() -> None:
            if Path("input").read_bytes() == b"hostile":
                acts()

        def make(random: object) -> Inputs:
            return {"input": b"hostile"}

        return make, read

    return Reader("test", prepare, (InputError,), enclosed=enclosed)


def _opened(path: str) -> Callable[[], object]:
    return lambda: os.close(os.open(Path(path).expanduser(), os.O_RDONLY))


@pytest.mark.parametrize("path", ["/etc/passwd", "/dev/zero", "../outside/secret.png", "link"])
def test_a_trap_that_is_read_is_heard(path: str) -> None:
    def acts() -> None:
        if path == "link":
            Path(path).symlink_to("/etc/passwd")
        _opened(path)()

    tally = attack(_reader(acts), range(1), 0)
    assert tally.counts == {"outside": 1}
    assert [*tally.first] == ["outside: opened a file outside"]
    assert attack(_reader(_opened(path if path != "link" else "other"), enclosed=False), range(1), 0).bad == 0


def test_traps_are_what_tables_name() -> None:
    assert {cell for cell in CELLS if cell.startswith(("/", "~"))} == set(TRAPS)


@pytest.mark.parametrize(
    ("acts", "heard"),
    [
        (lambda: Path("../outside/new").symlink_to("other"), "os.symlink outside"),
        (lambda: os.link("other", "../outside/new"), "os.link outside"),
        (lambda: Path("other").rename("../outside/new"), "os.rename outside"),
        (lambda: Path("../outside/secret.png").rename("new"), "os.rename outside"),
        (lambda: Path("../outside/secret.png").unlink(), "os.remove outside"),
        (lambda: Path("../new").mkdir(), "os.mkdir outside"),
        (lambda: (Path("new").symlink_to("../outside"), Path("new").unlink()), None),
        (lambda: os.link("other", "new"), None),
    ],
)
def test_names_that_come_or_go_outside_are_heard(acts: Callable[[], object], heard: str | None) -> None:
    tally = attack(_reader(acts), range(1), 0)
    assert [*tally.first] == ([] if heard is None else [f"outside: {heard}"])


def test_a_reader_that_does_more_than_read_has_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def takes_longer() -> None:
        end = time.process_time() + 0.3
        while time.process_time() < end:
            pass

    monkeypatch.setattr(guard, "SECONDS", 0.1)
    reader = _reader(takes_longer)
    assert attack(reader, range(1), 0).counts == {"hung": 1}
    assert attack(replace(reader, patience=20), range(1), 0).counts == {"read": 1}


def _spins() -> None:
    while True:
        pass


@pytest.mark.parametrize(
    ("acts", "kind"),
    [
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "crashed"),
        (_spins, "hung"),
        (lambda: 1 / 0, "crashed"),
        (lambda: None, "read"),
    ],
)
def test_bad_inputs_are_kept_whatever_they_did(
    acts: Callable[[], object], kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "SECONDS", 0.1)
    monkeypatch.chdir(tmp_path)
    assert attack(_reader(acts), range(7, 8), 0, Path("found")).counts == {kind: 1}
    kept = {str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert kept == ({} if kind == "read" else {"found/test-7/input": b"hostile"})
