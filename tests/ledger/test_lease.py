"""One driver a study: who holds the lease, who is refused, and who takes over from the dead."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
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


def _soon(reached: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 60
    while not reached() and time.monotonic() < deadline:
        time.sleep(0.01)
    return reached()


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
    assert _soon(lambda: lease.lost)
    lease.release()
    assert json.loads(path.read_text()) == ELSEWHERE, "the other's lease is left alone"


@pytest.mark.parametrize("name", ["boot", "namespace"])
def test_a_namesake_of_this_machine_is_another_one(held: Lease, path: Path, name: str) -> None:
    """A clone, or a container that has the host's name: its processes are not seen here."""
    ours = json.loads(path.read_text())
    assert name in ours
    assert module.lives_here(ours) is True
    assert module.lives_here(ours | {"process": 2**22}) is False
    assert module.lives_here(ours | {"process": 2**22, name: "theirs"}) is None
    of_old = {key: value for key, value in ours.items() if key not in ("boot", "namespace")}
    assert module.lives_here(of_old) is True
    assert module.lives_here(of_old | {"process": 2**22}) is False


def test_where_the_system_does_not_tell_itself_the_name_has_to_do(
    path: Path, held: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = json.loads(path.read_text())
    monkeypatch.setattr(module, "_BOOT", Path("/nowhere"))
    assert module.lives_here(ours) is None, "it is of a system that does"
    lease = Lease(path.with_name("other"))
    lease.take()
    assert module.lives_here(json.loads(lease.path.read_text())) is True
    lease.release()


def test_another_process_under_the_holders_number_is_not_the_holder(held: Lease, path: Path) -> None:
    ours = json.loads(path.read_text())
    assert module.lives_here(ours | {"since": ours["since"] - 60}) is False


def test_a_holder_that_nobody_has_buried_yet_is_dead(held: Lease, path: Path) -> None:
    with subprocess.Popen(["true"]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        of_child = {"process": child.pid, "since": psutil.Process(child.pid).create_time()}
        assert module.lives_here(json.loads(path.read_text()) | of_child) is False


def test_of_two_that_take_a_dead_lease_over_at_once_the_earlier_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_text("damaged")
    monkeypatch.setattr(module.time, "sleep", lambda _: path.write_text(json.dumps(ELSEWHERE)))
    with pytest.raises(InputError, match="is being run by process 1 on elsewhere"):
        Lease(path).take()


def test_a_lease_that_is_gone_was_taken_over_and_let_go(held: Lease, path: Path) -> None:
    path.unlink()
    assert _soon(lambda: held.lost)
    assert not path.exists(), "it is not taken back"


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

    monkeypatch.setattr(module, "write_whole", full)
    assert _soon(lambda: held.full)
    time.sleep(module.EXPIRY)
    assert not held.lost, "its name is in the file, so nobody else's is"
    monkeypatch.setattr(module, "write_whole", write)
    assert _soon(lambda: not held.full)
    assert not held.lost


@pytest.mark.parametrize(
    "error", [OSError(errno.ESTALE, "Stale file handle"), ZeroDivisionError("of a store's client")]
)
def test_a_renewal_that_fails_is_tried_again(held: Lease, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    failed = 0

    def fail(_: Path) -> bytes:
        nonlocal failed
        failed += 1
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(module, "EXPIRY", 600.0)
        patched.setattr(module, "read_whole", fail)
        assert _soon(lambda: failed > 2)
        assert not held.lost
    renewals = held._renewals
    assert _soon(lambda: held._renewals > renewals), "it goes on"
    monkeypatch.setattr(module, "read_whole", fail)
    assert _soon(lambda: held.lost), "for so long that nobody knows who has it"
