"""One driver a study: who holds the lease, who is refused, and who takes over from the dead."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger import lease as module
from ledger.lease import Lease
from sldd.errors import InputError

ELSEWHERE = {"token": "theirs", "process": 1, "since": 0.0, "host": "elsewhere", "renewals": 1}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RENEWAL", 0.05)
    monkeypatch.setattr(module, "EXPIRY", 0.6)
    monkeypatch.setattr(module, "_SETTLING", 0.05)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".lock"


@pytest.fixture
def held(path: Path) -> Iterator[Lease]:
    lease = Lease(path)
    lease.take()
    yield lease
    lease.release()


def test_a_second_driver_on_this_machine_is_refused_at_once(held: Lease, path: Path) -> None:
    with pytest.raises(InputError, match=r"is being run by process \d+ on "):
        Lease(path).take()
    held.release()
    assert not path.exists()


def test_a_driver_elsewhere_that_renews_is_alive(path: Path) -> None:
    path.write_text(json.dumps(ELSEWHERE))
    beat = threading.Timer(0.3, lambda: path.write_text(json.dumps(ELSEWHERE | {"renewals": 2})))
    beat.start()
    with pytest.raises(InputError, match="is being run by process 1 on elsewhere"):
        Lease(path).take()


def test_a_driver_elsewhere_that_does_not_is_dead(path: Path) -> None:
    path.write_text(json.dumps(ELSEWHERE))
    said: list[str] = []
    lease = Lease(path, say=said.append)
    lease.take()
    assert "process 1 on elsewhere" in said[0]
    lease.release()


def test_a_killed_driver_of_this_machine_is_replaced_without_waiting(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "import os, sys; from pathlib import Path; from ledger.lease import Lease\n"
        "Lease(Path(sys.argv[1])).take(); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, path], check=False).returncode == -9
    assert path.exists()
    monkeypatch.setattr(module, "EXPIRY", 600.0)
    lease = Lease(path)
    lease.take()
    lease.release()


def test_a_driver_that_was_taken_for_dead_learns_of_it(path: Path) -> None:
    lease = Lease(path)
    lease.take()
    assert not lease.lost
    path.write_text(json.dumps(ELSEWHERE))
    deadline = time.monotonic() + 5
    while not lease.lost:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    lease.release()
    assert json.loads(path.read_text()) == ELSEWHERE, "the other's lease is left alone"


def test_a_damaged_lease_is_nobodys(path: Path) -> None:
    path.write_text("process 1 on nowh")
    lease = Lease(path)
    lease.take()
    assert json.loads(path.read_text())["process"] == os.getpid()
    lease.release()


def test_a_holder_knows_of_a_full_disk_and_of_its_end(held: Lease, monkeypatch: pytest.MonkeyPatch) -> None:
    write = module.write_whole

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def soon(expected: bool) -> bool:
        deadline = time.monotonic() + 10
        while held.full != expected and time.monotonic() < deadline:
            time.sleep(0.01)
        return held.full == expected

    monkeypatch.setattr(module, "write_whole", full)
    assert soon(True)
    monkeypatch.setattr(module, "write_whole", write)
    assert soon(False)
    assert not held.lost
