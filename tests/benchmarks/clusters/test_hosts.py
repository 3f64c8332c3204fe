"""Hosts in namespaces: they are apart, can be cut and killed, and leave nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from benchmarks.clusters.hosts import MISSING, ROOT, Host, end, hosts

MAKER = """
import sys
from pathlib import Path
from benchmarks.clusters.hosts import hosts
with hosts(Path(sys.argv[1]), ["one"]) as (one,):
    print(one.namespace, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module", autouse=True)
def _can_be_made() -> None:
    if MISSING:
        words = f"no hosts were made: {', '.join(MISSING)} missing"
        pytest.fail(words) if os.environ.get("CI") else pytest.skip(words)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[list[Host]]:
    with hosts(tmp_path, ["one", "two"]) as made:
        yield made


def _of(namespace: str) -> list[int]:
    """The processes of a namespace."""
    found = []
    for number in psutil.pids():
        try:
            found += [number] if os.readlink(f"/proc/{number}/ns/pid") == namespace else []  # noqa: PTH115
        except OSError:
            continue
    return found


def _reaches(host: Host, other: Host) -> bool:
    try:
        host.run(["timeout", "2", "bash", "-c", f"echo > /dev/tcp/{other.address}/22"])
    except RuntimeError:
        return False
    return True


def test_a_host_is_a_machine_of_its_own(pair: list[Host], tmp_path: Path) -> None:
    one, two = pair
    greeting = ["ssh", "-o", "StrictHostKeyChecking=no", "-i", str(one.key), two.address, "hostname; ls -A /tmp ~"]
    said = one.run(greeting)
    assert "two" in said.split()
    assert one.run(["hostname"]) == "one\n"
    assert int(one.run(["bash", "-c", "touch /tmp/x ~/x /dev/shm/x /run/x; ps -e | wc -l"])) < 9
    with pytest.raises(RuntimeError, match="No such file"):
        two.run(["ls", "/tmp/x"])
    one.run(["touch", str(tmp_path / "shared")])
    two.run(["ls", str(tmp_path / "shared")])


def test_cut_and_killed(pair: list[Host]) -> None:
    one, two = pair
    assert _reaches(one, two)
    two.cut()
    assert not _reaches(one, two)
    two.mend()
    assert _reaches(one, two)
    namespace = two.namespace
    two.kill()
    assert _of(namespace) == []
    assert not _reaches(one, two)


def test_a_command_is_ended_for_itself(pair: list[Host], tmp_path: Path) -> None:
    one, _ = pair
    sleeping = one.start(["sleep", "600"], tmp_path / "log")
    deadline = time.monotonic() + 60
    while "sleep" not in one.run(["ps", "-eo", "comm"]):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    end(sleeping)
    assert "sleep" not in one.run(["ps", "-eo", "comm"])


@pytest.mark.parametrize("killed", [False, True])
def test_nothing_is_left_behind(tmp_path: Path, killed: bool) -> None:
    before = Path("/proc/net/dev").read_text().count("\n"), Path("/proc/self/mounts").read_text()
    maker = subprocess.Popen(
        [sys.executable, "-c", MAKER, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert maker.stdout is not None
    namespace = maker.stdout.readline().strip()
    deadline = time.monotonic() + 60
    while len(_of(namespace)) <= 2:  # its hosts are on their way
        assert time.monotonic() < deadline
        time.sleep(0.05)
    if killed:
        maker.kill()
    maker.communicate()  # the end of its standard input: unless killed, it ends the block itself
    deadline = time.monotonic() + 60
    while _of(namespace):
        assert killed
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert before == (Path("/proc/net/dev").read_text().count("\n"), Path("/proc/self/mounts").read_text())
