"""A healthy cluster passes; each planted fault is found once, by its check, with its place and its cure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from study.doctor.checks import CHECKS, GIB, findings
from study.doctor.facts import Facts, Machine, Room

VERSIONS = {"python": "3.11.9", "torch": "2.9.0", "sldd-study": "0.1.0 of source 1234567890"}
ROOMS = {kind: Room(f"/{kind}", 50 * GIB, 100 * GIB) for kind in ("studies", "cache", "ray")}


def _machine(host: str, **other: Any) -> Machine:
    return replace(
        Machine(
            host, versions=VERSIONS, rooms=ROOMS, cpus=4, gpus=1, devices=1, cuda=True, trials=4, memory=16 * GIB,
            store=4 * GIB, shared=8 * GIB, step=0.01, trial=2.0, ahead=0.01,
        ),
        **other,
    )  # fmt: skip


def _facts(*, driver: dict[str, Any] | None = None, third: dict[str, Any] | None = None, **other: Any) -> Facts:
    machines = (_machine("one"), _machine("two"), _machine("three", **(third or {})))
    return replace(Facts(replace(_machine("head"), **(driver or {})), machines, "/studies", wanted=3), **other)


def _room(kind: str, free: float) -> dict[str, Any]:
    return {"rooms": ROOMS | {kind: Room(f"/{kind}", round(free * GIB), 100 * GIB)}}


def _third(check: str, cure: str, **other: Any) -> tuple[str, str, str, Facts]:
    """A fault of the third machine."""
    return check, "three", cure, _facts(third=other)


def _other(name: str, version: str) -> tuple[str, str, str, Facts]:
    cure = "same revision" if name == "sldd-study" else f"install {name} {VERSIONS[name]}"
    return _third("versions", cure, versions=VERSIONS | {name: version})


_NO_GPU = (_machine("one", gpus=0, devices=0),)
FAULTS = {
    "another Python": _other("python", "3.11.2"),
    "another PyTorch": _other("torch", "2.10.0"),
    "an older checkout": _other("sldd-study", "0.1.0 of source 0"),
    "no shared folder": _third("storage", "s3://bucket", unread={"one": "there is none", "two": "there is none"}),
    "a read-only folder": _third("storage", "for writing", unwritten="Read-only file system"),
    "a folder closed to the driver": ("storage", "head", "--out", _facts(driver={"unwritten": "Permission denied"})),
    "a full disk for studies": _third("room", "--out", **_room("studies", 0.5)),
    "a full cache": _third("room", "data.cache", **_room("cache", 1.9)),
    "a disk so full that Ray stops": _third("room", "RAY_TMPDIR", **_room("ray", 4.9)),
    "a clock that is fast": _third("clock", "timedatectl", ahead=240.0),
    "a clock that is slow": _third("clock", "timedatectl", ahead=-6.0),
    "no radiographs": ("cohort", "head", "correct data.root", _facts(cohort=("data.root: there is no /films",))),
    "a damaged radiograph": ("cohort", "head", "correct line 9", _facts(cohort=("line 9: the image cannot be read",))),
    "trials larger than any machine": ("fit", "cluster", "lower resources.cpus_per_trial", _facts(cpus=8.0)),
    "trials of more GPUs than a machine has": ("fit", "cluster", "or resources.gpus_per_trial", _facts(gpus=2.0)),
    "PyTorch without CUDA": _third("gpus", "install a build of torch", cuda=False, step=None),
    "a GPU that Ray does not know": _third("gpus", "--num-gpus=2", devices=2),
    "no GPU at all": ("fit", "cluster", "resources.gpus_per_trial", _facts(machines=_NO_GPU, gpus=1.0, wanted=1)),
    "little memory": _third("memory", "cpus_per_trial", memory=3 * GIB),
    "a container's shared memory": _third("memory", "--shm-size", shared=GIB // 16),
    "no shared memory": _third("memory", "--shm-size", shared=None),
    "a slow machine": _third("throughput", "throttled", step=0.05),
    "a trial that fails": _third("trial", "mend that first", trial=None, failure="ValueError: no"),
    "a machine that is gone": _third("machines", "every port", silent="The node died", trial=None),
    "workers that do not come": ("machines", "cluster", "monitor", _facts(wanted=8)),
}


def test_memory_is_for_the_trials_that_run_at_once() -> None:
    assert findings(_facts(third={"cpus": 64, "trials": 2, "memory": 3 * GIB})) == []


def test_a_trial_fits_where_one_machine_has_all_that_it_takes() -> None:
    many, gpu = _machine("many", cpus=64, gpus=0, devices=0), _machine("gpu", cpus=2)
    for cpus, gpus, fits in [(2.0, "auto", True), (8.0, "auto", False), (8.0, 1.0, False), (8.0, 0.0, True)]:
        found = findings(_facts(machines=(many, gpu), wanted=2, cpus=cpus, gpus=gpus))
        assert [each.check for each in found] == ([] if fits else ["fit"])
    assert findings(_facts(machines=(many,), wanted=1, cpus=8.0)) == [], "auto: where there is none, none is wanted"


def test_nothing_is_found_on_a_healthy_cluster() -> None:
    assert findings(_facts()) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_once_with_its_cure(fault: str) -> None:
    check, where, cure, facts = FAULTS[fault]
    (found,) = findings(facts)
    assert (found.check, found.where) == (check, where)
    assert cure in found.cure
    assert str(found) == f"{check}: {where}: {found.what}; {found.cure}"
    assert "\n" not in str(found)


def test_every_check_has_a_fault_that_it_finds() -> None:
    assert {check for check, *_ in FAULTS.values()} == set(CHECKS)


def test_the_slowest_of_several_slow_ones_is_named_and_a_gpu_is_no_measure_for_a_processor() -> None:
    others = [_machine(f"cpu-{number}", gpus=0, devices=0, cuda=False, step=0.4) for number in range(3)]
    assert findings(_facts(machines=(*_facts().machines, *others))) == []
    slow = [_machine("slow", gpus=0, devices=0, step=1.0), _machine("slower", gpus=0, devices=0, step=1.5)]
    (found,) = findings(_facts(machines=(*others, *slow)))
    assert found.where == "slower"
    assert "1500 ms there, and 400 ms as a rule; so are 1 others" in found.what


def test_one_fault_of_the_drivers_own_machine_is_one_line() -> None:
    (found,) = findings(_facts(driver={"host": "three", **_room("cache", 0)}, third=_room("cache", 0)))
    assert found.where == "three"


def test_gpus_do_not_matter_to_a_study_that_wants_none() -> None:
    assert findings(_facts(third={"cuda": False, "devices": 3}, gpus=0)) == []


def test_an_unshared_folder_names_three_machines_and_no_more() -> None:
    facts = _facts(third={"unread": {f"m{number}": "there is none" for number in range(9)}})
    (found,) = findings(facts)
    assert "what m0, m1 and m2 wrote in /studies (there is none)" in found.what
