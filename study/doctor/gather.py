"""Gathers facts of a cluster: from an actor on every machine that takes trials, and from the driver's own process."""

from __future__ import annotations

import math
import secrets
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import ray
from ray.autoscaler.sdk import request_resources

from ledger.storage import Folder, make, store_errors
from sldd.data.settings import DataSettings, open_source
from sldd.errors import InputError
from study.cluster.nodes import answers, on, trial_nodes
from study.cluster.ray_cluster import fitting_trials
from study.config.paths import cache_folder
from study.config.resource_settings import ResourceSettings
from study.config.schema import StudyConfig
from study.doctor.facts import Facts, Machine
from study.doctor.machine import Examiner
from study.doctor.tiny_trial import run_tiny_trials

_DRIVER = ""  # the driver's process among names of machines, which are never empty
_CLOCK_READINGS = 5  # of each machine; the one that came back fastest counts
_FILMS = 5  # films that are read of each source: all of them would take as long as the study's own start
_COMING_SECONDS, _LOOK_SECONDS = 600.0, 2.0  # waiting for machines at most, and from look to look

Silent = dict[str, str]
"""Why machines do not answer, by their names."""


def gather(config: StudyConfig, out: Folder, wanted: int | None) -> Facts:
    """Facts of the cluster that Ray is connected to.

    Args:
        out: the folder for studies; made where there is none. Nothing is left in it.
        wanted: how many machines to ask for and to wait for; None takes those that there are.

    Raises:
        InputError: ``out`` cannot be made on the driver's machine.
    """
    if wanted:
        _await(wanted, config.resources)
    nodes = _by_name(trial_nodes())
    on_gpu = {
        name: bool(node["Resources"].get("GPU")) and config.resources.gpus_per_trial != 0
        for name, node in nodes.items()
    }
    examiners = _examiners(nodes, on_gpu, config.resources.threads)
    made = isinstance(out, Path) and not out.exists()
    try:
        make(out)
    except OSError as error:
        raise InputError(f"--out {out}: {error.strerror}; name another folder") from None

    cache = config.data.cache and str(cache_folder(config.data))
    driver = Examiner(gpu=False, threads=config.resources.threads)
    told, silent = ask(examiners, "told", str(out), cache)
    examiners = {name: examiners[name] for name in told}
    stored = _storage(driver, examiners, out)
    # A step needs a usable GPU, where it is to run on one, and a trial the study's folder too: where they are missing,
    # a check of its own says so, and the step or the trial would only fail once more.
    able = {name: each for name, each in examiners.items() if told[name]["cuda"] or not on_gpu[name]}
    steps, step_failures = ask(able, "step")
    writing = {name: each for name, each in able.items() if stored[name] == {}}
    trials, trial_failures = run_tiny_trials(config, out, writing, on_gpu)
    if made:
        with suppress(OSError):  # another command may use it by now
            out.rmdir()

    machines = []
    for name, node in nodes.items():
        if name in silent:
            machines.append(Machine(name, silent[name]))
            continue
        machine = Machine(
            name, **told[name], **stored[name], **_counted(node, config.resources),
            ahead=_ahead(examiners[name]), step=steps.get(name), trial=trials.get(name),
            failure=step_failures.get(name) or trial_failures.get(name),
        )  # fmt: skip
        machines.append(machine)
    return Facts(
        Machine(socket.gethostname(), **driver.told(str(out), cache), **stored[_DRIVER]),
        tuple(machines),
        str(out),
        cohort=tuple(_cohort(config)),
        wanted=wanted or 1,
        cpus=config.resources.cpus_per_trial,
        gpus=config.resources.gpus_per_trial,
    )


def ask(examiners: Mapping[str, Any], question: str, *given: Any) -> tuple[dict[str, Any], Silent]:
    """Call the method ``question`` of all examiners at once: returns of ``answers``."""
    return answers({name: getattr(each, question).remote(*given) for name, each in examiners.items()})


def _await(wanted: int, settings: ResourceSettings) -> None:
    """Ask the autoscaler, where there is one, for ``wanted`` machines with room for a trial, and wait for them.

    The autoscaler packs the bundles of a request onto as few machines as it can. So the request has one bundle for each
    machine that is there, as large as all of it, and one for each that is missing, with as many CPUs as the smallest of
    those. At least one more machine comes with each request, and all at once where machines are alike.
    """
    gpus = 0 if settings.gpus_per_trial == "auto" else settings.gpus_per_trial
    deadline = time.monotonic() + _COMING_SECONDS
    try:
        while len(nodes := trial_nodes()) < wanted and time.monotonic() < deadline:
            there = [{kind: node["Resources"].get(kind, 0.0) for kind in ("CPU", "GPU")} for node in nodes]
            smallest = min((each["CPU"] for each in there), default=0.0)
            missing = {"CPU": max(settings.cpus_per_trial, smallest), "GPU": gpus}
            bundles = [*there, *[missing] * (wanted - len(nodes))]
            request_resources(bundles=[{kind: number for kind, number in each.items() if number} for each in bundles])
            time.sleep(_LOOK_SECONDS)
    finally:
        request_resources(bundles=[])  # a request holds until the next one, and machines cost money


def _by_name(nodes: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Nodes by host name, in its order; where several are on one host, a piece of their identifiers is added."""
    hosts = [node["NodeManagerHostname"] for node in nodes]
    return {
        host if hosts.count(host) == 1 else f"{host} ({node['NodeID'][:6]})": node
        for host, node in sorted(zip(hosts, nodes, strict=True), key=lambda pair: pair[0])
    }


def _examiners(nodes: Mapping[str, dict[str, Any]], on_gpu: Mapping[str, bool], threads: int) -> dict[str, Any]:
    """An ``Examiner`` as an actor on each node.

    On a GPU it takes the smallest share with which Ray shows it one, since trials may run beside it.
    """
    actor = ray.remote(num_cpus=0, max_restarts=0)(Examiner)
    return {
        name: actor.options(scheduling_strategy=on(node["NodeID"]), num_gpus=0.001 if on_gpu[name] else 0).remote(
            on_gpu[name], threads
        )
        for name, node in nodes.items()
    }


def _storage(driver: Examiner, examiners: Mapping[str, Any], out: Folder) -> dict[str, dict[str, Any]]:
    """Let all machines and the driver (``_DRIVER``) write a file each into the study's folder, and read all of them.

    Returns:
        By machine: fields of ``Machine``, ``unwritten`` and ``unread``, where there is something to tell; no field
        where all is well.
    """
    token = secrets.token_hex(8)
    paths = {name: out / f".doctor-{token}-{number}" for number, name in enumerate([_DRIVER, *examiners])}
    try:
        unwritten, _ = answers({name: each.write.remote(str(paths[name])) for name, each in examiners.items()})
        unwritten[_DRIVER] = driver.write(str(paths[_DRIVER]))
        there = {name or "the driver": str(paths[name]) for name, reason in unwritten.items() if reason is None}
        unread, _ = ask(examiners, "unread", there)
        unread[_DRIVER] = driver.unread(there)
    finally:
        for path in paths.values():
            with suppress(OSError), store_errors():  # where nothing can be written, nothing can be deleted either
                path.unlink(missing_ok=True)
    stored: dict[str, dict[str, Any]] = {name: {} for name in paths}
    for name in paths:
        if unwritten.get(name):
            stored[name]["unwritten"] = unwritten[name]
        if unread.get(name):
            stored[name]["unread"] = unread[name]
    return stored


def _counted(node: Mapping[str, Any], settings: ResourceSettings) -> dict[str, Any]:
    """Fields of ``Machine`` that Ray knows: its resources, and how many trials will run on them at once."""
    has = node["Resources"]
    fitting = max(1, fitting_trials(settings, has.get("CPU", 0.0), has.get("GPU", 0.0)))
    return {
        "trials": min(fitting, settings.concurrent or fitting),
        "cpus": has.get("CPU", 0.0),
        "gpus": has.get("GPU", 0.0),
        "memory": int(has.get("memory", 0)),
        "store": int(has.get("object_store_memory", 0)),
    }


def _ahead(examiner: Any) -> float:
    """Seconds that a machine's clock is ahead of ours, at least; negative where it is behind.

    The machine reads its clock at some time between our question and its answer. Halfway is the best guess, and it is
    wrong by half of the round trip at most (Cristian 1989). That much is taken off, so that a slow answer is not taken
    for a wrong clock.
    """
    readings = []  # (round trip, estimate), in seconds
    for _ in range(_CLOCK_READINGS):
        asked = time.time()
        found, _ = answers({"": examiner.now.remote()})
        answered = time.time()
        # Without an answer the estimate is half the round trip, of which nothing is left below.
        readings.append((answered - asked, found.get("", asked) - (asked + answered) / 2))
    round_trip, ahead = min(readings)
    return math.copysign(max(0.0, abs(ahead) - round_trip / 2), ahead)


def _cohort(config: StudyConfig) -> Iterator[str]:
    """Why films cannot be read: the study's, and those of each collection (``sources``) that its chains name."""
    yield from _unread(config.data)
    named = {name for block in config.grid for chain in block.chain for name in chain}
    for name in sorted(named & config.sources.keys()):
        for message in _unread(config.sources[name]):
            setting = message.removeprefix("data.")
            yield f"sources.{name}: {message}" if setting == message else f"sources.{name}.{setting}"


def _unread(data: DataSettings) -> Iterator[str]:
    """Why a source cannot be opened; else why films cannot be read, of ``_FILMS`` from the first to the last."""
    try:
        source = open_source(data)
    except InputError as error:
        yield str(error)
        return
    last = len(source.films) - 1
    if last < 0:
        return
    evenly_spaced = {place * last // (_FILMS - 1) for place in range(_FILMS)}
    for number in sorted(evenly_spaced):
        try:
            source.read(number)
        except InputError as error:
            yield f"{source.films[number].where}: {error}"
