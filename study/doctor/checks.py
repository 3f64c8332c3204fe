"""Checks of a cluster: each is a function from facts to what is wrong, where, and the cure.

A new check is one function under ``@check``; its name is the check's. It asks nobody: what it needs to know, a machine
tells (``study.doctor.machine``) and ``Facts`` carries.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from analysis.text.words import duration, listed
from study.doctor.facts import Facts

GIB = 2**30
LEAST_ROOM = 2 * GIB
"""Bytes that have to be free on a disk for studies, and on one for decoded films and kept features."""
LEAST_MEMORY = 1 * GIB
"""Bytes of memory for a trial: PyTorch, timm and Ray take 0.6 GiB before there is any data."""
_RAY_FREE = 0.05  # share of its disk: from 95 % on Ray takes a disk for full, and makes no more objects
_CLOCK_SECONDS = 5.0  # results carry times to the second, and object stores refuse requests that are minutes off
_SLOW = 2.0  # times the median step of machines of its kind

Judge = Callable[[Facts], Iterator[tuple[str, str, str]]]
"""A check: yields (where, what is wrong, cure) for each thing that is wrong."""
CHECKS: dict[str, Judge] = {}
"""All checks by name, in the order of this file, which is that of the findings."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: by which check, where, what, and the cure. As a string it is the user's line."""

    check: str
    where: str
    what: str
    cure: str

    def __str__(self) -> str:
        return f"{self.check}: {self.where}: {self.what}; {self.cure}"


def findings(facts: Facts) -> list[Finding]:
    """All that is wrong, check by check, without repetitions; empty on a healthy cluster."""
    found: list[Finding] = []
    for name, judge in CHECKS.items():
        found += [Finding(name, *wrong) for wrong in judge(facts)]
    return list(dict.fromkeys(found))  # the driver's machine may have been examined twice


def check(judge: Judge) -> Judge:
    """Register a check under its function's name."""
    CHECKS[judge.__name__] = judge
    return judge


@check
def machines(facts: Facts) -> Iterator[tuple[str, str, str]]:
    """There are as many machines as there should be, and all answer."""
    if len(facts.machines) < facts.wanted:
        yield (
            "cluster",
            f"{len(facts.machines)} of {facts.wanted} machines are there that take trials",
            "look for the reason in /tmp/ray/session_latest/logs/monitor* on the head, or start Ray on them "
            "(docs/cluster.md)",
        )
    for machine in facts.machines:
        if machine.silent is not None:
            yield (
                machine.host,
                f"does not answer ({machine.silent})",
                "see that it is idle, reached on every port, and has this project and its requirements installed",
            )


@check
def versions(facts: Facts) -> Iterator[tuple[str, str, str]]:
    """Versions, and this project's source, are the same everywhere, since they decide results."""
    here = facts.driver.versions
    for machine in facts.everywhere:
        for name, version in machine.versions.items():
            if version == here[name]:
                continue
            cure = f"install {name} {here[name]} there, and start Ray on it again"
            if name == "sldd-study":
                cure = "bring it to the same revision (ray up copies it; git pull; the same image)"
            yield machine.host, f"{name} is {version} there, and {here[name]} on {facts.driver.host}", cure


@check
def storage(facts: Facts) -> Iterator[tuple[str, str, str]]:
    """Every machine writes to the study's folder, and reads what any other wrote."""
    cure = "mount it there for writing, or name an --out that all machines share, such as s3://bucket/studies"
    for machine in facts.everywhere:
        if machine.unwritten is not None:
            yield machine.host, f"cannot write to {facts.out} ({machine.unwritten})", cure
        elif machine.unread:
            others, reason = list(machine.unread), next(iter(machine.unread.values()))
            yield machine.host, f"does not see what {listed(others[:3])} wrote in {facts.out} ({reason})", cure


@check
def room(facts: Facts) -> Iterator[tuple[str, str, str]]:
    """Every disk has room for what is kept there: results, decoded films, Ray's own files."""
    settings = {"studies": "--out", "cache": "data.cache", "ray": "RAY_TMPDIR"}
    for machine in facts.everywhere:
        for kind, disk in machine.rooms.items():
            least = _RAY_FREE * disk.total if kind == "ray" else LEAST_ROOM
            if disk.free < least:
                yield (
                    machine.host,
                    f"{disk.folder} has {disk.free / GIB:.2f} GiB left, and {least / GIB:.2f} are needed",
                    f"make room there, or name a larger disk ({settings[kind]})",
                )


@check
def clock(facts: Facts) -> Iterator[tuple[str, str, str]]:
    """Clocks of all machines agree with the driver's to a few seconds."""
    for machine in facts.answering:
        if abs(machine.ahead) > _CLOCK_SECONDS:
            side = "ahead of" if machine.ahead > 0 else "behind"
            yield (
                machine.host,
                f"its clock is {duration(abs(machine.ahead))} {side} that of {facts.driver.host}",
                "let a time service set it (timedatectl set-ntp true)",
            )


@check
def cohort(facts: Facts) -> Iterator[tuple[str, str, str]]:
    """The radiographs open on the driver's machine, from which all others get them."""
    for message in facts.cohort:
        place, _, reason = message.partition(": ")
        yield facts.driver.host, reason or place, f"bring the radiographs there, or correct {place}"


@check
def fit(facts: Facts) -> Iterator[tuple[str, str, str]]:
    """At least one machine has the CPUs and GPUs of a trial, which never runs across two."""
    there = facts.answering
    gpus = float(any(machine.gpus for machine in there) if facts.gpus == "auto" else facts.gpus)
    if there and not any(machine.cpus >= facts.cpus and machine.gpus >= gpus for machine in there):
        yield (
            "cluster",
            f"a trial takes {facts.cpus:g} CPUs and {gpus:g} GPUs, and no machine has as many",
            "start one that has, or lower resources.cpus_per_trial or resources.gpus_per_trial",
        )


@check
def gpus(facts: Facts) -> Iterator[tuple[str, str, str]]:
    """Ray knows all GPUs of a machine, and PyTorch can use them; not asked where trials take none."""
    if facts.gpus == 0:
        return
    for machine in facts.answering:
        if machine.gpus and not machine.cuda:
            yield (
                machine.host,
                f"torch {machine.versions.get('torch')} cannot use the GPU that Ray has found",
                "install a build of torch for it and its driver, or set resources.gpus_per_trial=0",
            )
        elif machine.devices > machine.gpus:
            yield (
                machine.host,
                f"has {machine.devices} GPUs, of which Ray knows {machine.gpus:g}",
                f"start Ray there with --num-gpus={machine.devices}, or let its container have them (--gpus all)",
            )


@check
def memory(facts: Facts) -> Iterator[tuple[str, str, str]]:
    """Memory is enough for the trials that run at once, and shared memory for Ray's object store."""
    for machine in facts.answering:
        if machine.memory / machine.trials < LEAST_MEMORY:
            yield (
                machine.host,
                f"{machine.trials} trials at once have {machine.memory / GIB:.1f} GiB between them, and each needs "
                f"{LEAST_MEMORY / GIB:.0f}",
                "take a machine with more memory, raise resources.cpus_per_trial, or give resources.concurrent",
            )
        shared = machine.shared or 0
        if shared < machine.store:
            yield (
                machine.host,
                f"/dev/shm has {shared / GIB:.2f} GiB, and Ray's object store wants {machine.store / GIB:.2f}",
                "give its container more (--shm-size), or start Ray with a smaller --object-store-memory",
            )


@check
def throughput(facts: Facts) -> Iterator[tuple[str, str, str]]:
    """No machine is far slower than the median of those with a GPU, or of those without; only the slowest is named."""
    steps_by_kind: dict[str, list[tuple[str, float]]] = defaultdict(list)  # (host, seconds)
    for machine in facts.answering:
        if machine.step is not None:
            kind = "gpu" if machine.gpus and machine.cuda else "cpu"
            steps_by_kind[kind].append((machine.host, machine.step))
    for steps in steps_by_kind.values():
        usual = statistics.median_low(seconds for _, seconds in steps)
        host, slowest = max(steps, key=lambda step: step[1])
        if slowest > _SLOW * usual:
            slow = sum(seconds > _SLOW * usual for _, seconds in steps)
            more = f"; so are {slow - 1} others" if slow > 1 else ""
            yield (
                host,
                f"a step takes {1000 * slowest:.0f} ms there, and {1000 * usual:.0f} ms as a rule{more}",
                "see what else runs there, whether it is throttled or older; every trial there takes as much longer",
            )


@check
def trial(facts: Facts) -> Iterator[tuple[str, str, str]]:
    """A tiny trial runs on each machine, from its patients to its result in the study's folder."""
    for machine in facts.answering:
        if machine.failure is not None:
            yield (
                machine.host,
                f"failed ({machine.failure})",
                "a study's trials would fail there alike: mend that first",
            )
