"""Which cluster is joined, and how many trials fit from what it has."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from ray._private.utils import validate_socket_filepath

from sldd.errors import InputError
from study.cluster.ray_cluster import (
    Slots,
    _check_growth,
    _slots,
    _start_here,
    connect,
    find_cluster,
    memory_per_trial,
    slots_here,
)
from study.cluster.ray_temporary import check_temporary
from study.config.resource_settings import ResourceSettings


@pytest.mark.parametrize(
    ("settings", "machines", "expected"),
    [
        (ResourceSettings(), [(2, 0)], Slots(1, 0.0, 2)),
        (ResourceSettings(), [(16, 4)], Slots(1, 1.0, 16)),  # once four are seen to fit on one
        (ResourceSettings(trials_per_gpu=1), [(16, 4)], Slots(1, 1.0, 4)),
        (ResourceSettings(gpus_per_trial=0.5), [(16, 4)], Slots(1, 0.5, 8)),
        (ResourceSettings(gpus_per_trial=0.3), [(16, 1)], Slots(1, 0.3, 3)),
        (ResourceSettings(gpus_per_trial=0.6), [(16, 2)], Slots(1, 0.6, 2)),  # no share of two GPUs
        (ResourceSettings(gpus_per_trial=2), [(16, 5)], Slots(1, 2, 2)),
        (ResourceSettings(cpus_per_trial=4), [(6, 0)], Slots(4, 0.0, 1)),
        (ResourceSettings(cpus_per_trial=0.2), [(2, 0)], Slots(0.2, 0.0, 10)),
        (ResourceSettings(concurrent=50, gpus_per_trial=1), [(2, 0)], Slots(1, 1, 50)),
        (ResourceSettings(cpus_per_trial=4), [(6, 0)] * 3, Slots(4, 0.0, 3)),  # what six leave is not put together
        (ResourceSettings(trials_per_gpu=1), [(0, 0), (64, 0), (4, 1), (4, 2)], Slots(1, 1.0, 3)),
    ],
)
def test_slots(settings: ResourceSettings, machines: list[tuple[float, float]], expected: Slots) -> None:
    assert _slots(settings, machines) == expected


def test_a_plan_counts_what_a_container_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not what its host has: Ray starts as many trials as the container's limit lets it."""
    monkeypatch.setattr("ray._private.utils.get_num_cpus", lambda **_: 3)
    monkeypatch.setattr("ray._private.utils.get_system_memory", lambda: 6 * 2**30)
    settings = ResourceSettings(gpus_per_trial=0)
    assert slots_here(settings) == Slots(1, 0, 3)
    assert memory_per_trial(settings, None) == 2 * 2**30
    assert memory_per_trial(settings, "10.0.0.1:6379") is None, "its machines are not known here"


@pytest.mark.parametrize(("gpus", "gib"), [("auto", 24), (0.5, 12), (2, 24)])
def test_a_trial_on_a_gpu_has_its_share_of_it_however_much_is_free(
    monkeypatch: pytest.MonkeyPatch, gpus: Any, gib: int
) -> None:
    monkeypatch.setattr("ray._private.utils.get_num_cpus", lambda **_: 8)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda: (2**30, 24 * 2**30))
    assert memory_per_trial(ResourceSettings(gpus_per_trial=gpus), None) == gib * 2**30


@pytest.mark.parametrize("name", ["RAY_TMPDIR", "TMPDIR"])
def test_a_folder_too_long_for_sockets_is_said_before_ray_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv(name, str(tmp_path / ("scratch" * 20)))
    monkeypatch.setattr("ray.init", lambda **_: pytest.fail("Ray was started"))
    with pytest.raises(InputError, match=rf"^{name}: Ray keeps its sockets in .* too long.*choose a shorter"):
        _start_here()


@pytest.mark.parametrize(("spare", "fits"), [(0, True), (-1, False)])
def test_the_longest_folder_that_fits_is_rays(monkeypatch: pytest.MonkeyPatch, spare: int, fits: bool) -> None:
    room = 107 if sys.platform != "darwin" else 103
    below = f"/ray/session_2026-01-01_00-00-00_000000_{os.getpid()}/sockets/plasma_store"
    folder = "/tmp/".ljust(room - len(below) - spare, "x")
    assert len(folder + below) == room - spare
    monkeypatch.setenv("RAY_TMPDIR", folder)
    with nullcontext() if fits else pytest.raises(InputError, match="1 characters too long"):
        check_temporary()
    with nullcontext() if fits else pytest.raises(OSError, match="AF_UNIX path length cannot exceed"):
        validate_socket_filepath(folder + below)


def test_a_folder_that_is_a_file_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    short = Path(tempfile.mkdtemp(dir="/tmp"))
    (short / "f").touch()
    monkeypatch.setenv("RAY_TMPDIR", str(short / "f"))
    with pytest.raises(InputError, match="which cannot be written to; choose another folder"):
        check_temporary()
    shutil.rmtree(short)


@pytest.mark.parametrize(
    ("settings", "machines", "says"),
    [
        (ResourceSettings(cpus_per_trial=4), [(2, 0)], "4 CPUs and 0 GPUs of one machine, and each has 2 and 0; lower"),
        (ResourceSettings(cpus_per_trial=4), [(0, 0), *[(2, 0)] * 4], "and each has 2 and 0; lower"),
        (ResourceSettings(gpus_per_trial=2), [(8, 1)] * 4, "1 CPUs and 2 GPUs of one machine, and each has 8 and 1;"),
        (ResourceSettings(cpus_per_trial=4), [(2, 1), (8, 0)], "and each has 8 and 0 or 2 and 1; lower"),
        (ResourceSettings(cpus_per_trial=9), [(1, 0), (2, 0), (3, 0), (4, 0)], "4 and 0 or 3 and 0 or 2 and 0, ...;"),
    ],
)
def test_trial_that_fits_on_no_single_machine_is_refused(
    settings: ResourceSettings, machines: list[tuple[float, float]], says: str
) -> None:
    with pytest.raises(InputError, match=re.escape(says)):
        _slots(settings, machines)


@pytest.mark.parametrize("address", [None, "10.0.0.1:6379"])
def test_the_callers_own_ray_is_left_alone(monkeypatch: pytest.MonkeyPatch, address: str | None) -> None:
    monkeypatch.setattr("ray.is_initialized", lambda: True)
    for name in ("init", "shutdown"):
        monkeypatch.setattr(f"ray.{name}", lambda **_: pytest.fail("the caller's Ray was touched"))
    with (
        pytest.raises(InputError, match=r"^Ray runs in this process already, .*; ray.shutdown\(\) first$"),
        connect(address, ResourceSettings()),
    ):
        pass


def test_a_cluster_is_counted_machine_by_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    machines: list[dict[str, object]] = [{"Alive": True, "Resources": {"CPU": 6.0, "memory": 1.0}}] * 3
    machines += [{"Alive": False, "Resources": {"CPU": 64.0}}, {"Alive": True, "Resources": {"memory": 1.0}}]
    monkeypatch.setattr("ray.init", lambda **_: None)
    monkeypatch.setattr("ray.nodes", lambda: machines)
    with connect("10.0.0.1:6379", ResourceSettings(cpus_per_trial=4)) as (where, slots):
        assert slots == Slots(4, 0.0, 3)
        assert where.endswith("10.0.0.1:6379 (4 nodes now): 18 CPUs, 0 GPUs; trials at once: 3")


def test_a_cluster_that_cannot_be_reached_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(**_: object) -> None:
        raise ConnectionError("no such address\nand much more")

    monkeypatch.setattr("ray.init", unreachable)
    says = (
        r"^--address 10.0.0.1:6379: cannot connect to Ray \(no such address\); --address local starts Ray here instead$"
    )
    with pytest.raises(InputError, match=says), connect("10.0.0.1:6379", ResourceSettings()):
        pass


@pytest.mark.parametrize(
    ("address", "environment", "left_behind", "running", "found"),
    [
        (None, None, None, [], None),
        (None, None, None, ["10.0.0.1:6379"], None),  # a Ray that another study started for itself
        (None, None, "10.0.0.1:6379", [], None),  # a cluster that died
        (None, None, "10.0.0.1:6379", ["10.0.0.1:6379"], "10.0.0.1:6379"),
        (None, None, "10.0.0.1:6379", ["127.0.0.1:50000", "10.0.0.1:6379"], "10.0.0.1:6379"),
        (None, None, "10.0.0.1:6379", ["127.0.0.1:50000"], None),
        ("auto", None, "10.0.0.1:6379", ["10.0.0.1:6379"], "10.0.0.1:6379"),
        ("local", "10.0.0.9:6379", "10.0.0.1:6379", ["10.0.0.1:6379"], None),
        (None, "local", "10.0.0.1:6379", ["10.0.0.1:6379"], None),
        (None, "10.0.0.9:6379", "10.0.0.1:6379", ["10.0.0.1:6379"], "10.0.0.9:6379"),
        ("10.0.0.8:6379", "10.0.0.9:6379", "10.0.0.1:6379", ["10.0.0.1:6379"], "10.0.0.8:6379"),
    ],
)
def test_which_cluster_is_joined(
    monkeypatch: pytest.MonkeyPatch,
    address: str | None,
    environment: str | None,
    left_behind: str | None,
    running: list[str],
    found: str | None,
) -> None:
    _pretend(monkeypatch, environment, left_behind, running)
    assert find_cluster(address) == found


def test_auto_needs_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    _pretend(monkeypatch, None, None, ["127.0.0.1:50000"])
    with pytest.raises(InputError, match="--address auto: no Ray cluster runs on this machine"):
        find_cluster("auto")


def _pretend(monkeypatch: pytest.MonkeyPatch, environment: str | None, left: str | None, running: list[str]) -> None:
    monkeypatch.setenv("RAY_ADDRESS", environment or "")
    monkeypatch.setattr("ray._private.services.find_bootstrap_address", lambda _: left)
    monkeypatch.setattr("ray._private.services._find_address_from_flag", lambda _: set(running))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (ResourceSettings(), r"give resources.concurrent \(.*\) and resources.gpus_per_trial \(.*\)"),
        (ResourceSettings(gpus_per_trial=1), r"give resources.concurrent \(.*\)$"),
        (ResourceSettings(concurrent=8), r"give resources.gpus_per_trial \(.*\)$"),
    ],
)
def test_a_cluster_without_workers_must_be_described(settings: ResourceSettings, says: str) -> None:
    with pytest.raises(InputError, match="has no workers yet, it grows with the trials; " + says):
        _check_growth(settings, 0, 0)


def test_a_cluster_that_is_described_may_be_empty() -> None:
    described = ResourceSettings(concurrent=8, gpus_per_trial=1)
    _check_growth(described, 0, 0)
    assert _slots(described, [(0, 0)]) == Slots(1, 1, 8)
    _check_growth(ResourceSettings(), 4, 0)


@pytest.mark.parametrize(("failures", "told"), [(1, None), (2, "Ray cannot be started on this machine \\(too slow\\)")])
def test_ray_that_comes_up_too_slowly_is_started_again(
    monkeypatch: pytest.MonkeyPatch, failures: int, told: str | None
) -> None:
    tries: list[dict[str, object]] = []

    def init(**options: object) -> None:
        tries.append(options)
        if len(tries) <= failures:
            raise Exception("too slow\nmore of it")

    monkeypatch.setattr("ray.init", init)
    with pytest.raises(InputError, match=told) if told else nullcontext():
        _start_here()
    assert len(tries) == 2
    assert {options["address"] for options in tries} == {"local"}
