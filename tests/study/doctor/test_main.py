"""The doctor's table: what each machine has, and what it did not get to."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from study.cluster import ray_cluster
from study.doctor import gather
from study.doctor.__main__ import main
from study.doctor.facts import Facts, Machine, Room


def test_a_line_on_each_machine(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    rooms = {
        kind: Room(f"/{kind}", free * 2**30, 9 * 2**30) for kind, free in (("cache", 5), ("ray", 3), ("studies", 4))
    }
    one = Machine("one", memory=3 * 2**29, cpus=2, gpus=1, cuda=True, devices=1, rooms=rooms, step=0.0123, trial=2.5)
    facts = Facts(one, (one, Machine("two", silent="gone")), "/studies")
    monkeypatch.setattr(ray_cluster, "connect", lambda *_: nullcontext(("Ray on this machine: 2 CPUs", None)))
    monkeypatch.setattr(gather, "gather", lambda *_: facts)
    assert main(["--address", "local"]) == 1
    _, *lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["one", "2", "1", "1.5", "GiB", "3.0", "GiB", "12.3", "ms", "2.5", "s"]
    assert lines[1].split() == ["two", "0", "0", "0.0", "GiB", "-", "-", "-"]
