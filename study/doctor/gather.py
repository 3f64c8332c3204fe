"""Gathers facts of a cluster: an examiner in a process on every machine that takes trials, and the driver's own."""

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

_LOOKS = 5  # at each clock; the one of the shortest way counts
_FILMS = 5  # that are read of each source: all of them would take as long as the study's own start
_COMING_SECONDS, _LOOK_SECONDS = 600.0, 2.0

Silent = dict[str, str]
"""Why machines do not answer, by their names."""


def gather(config: StudyConfig, out: Folder, wanted: int | None) -> Facts:
    """Facts of the cluster that Ray is connected to.

    Args:
        out: the folder for studies; made where there is none. Nothing is left in it.
        wanted: machines that are asked for and waited for; those that there are unless given.

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
    # What the checks before these find would only fail here once more.
    able = {name: each for name, each in examiners.items() if told[name]["cuda"] or not on_gpu[name]}
    steps, idle = ask(able, "step")
    writing = {name: each for name, each in able.items() if stored[name] == {}}
    trials, failures = run_tiny_trials(config, out, writing, on_gpu)

    def machine(name: str) -> Machine:
        if name in silent:
            return Machine(name, silent[name])
        return Machine(
            name, **told[name], **stored[name], **_counted(nodes[name], config.resources),
            ahead=_ahead(examiners[name]), step=steps.get(name), trial=trials.get(name),
            failure=idle.get(name) or failures.get(name),
        )  # fmt: skip

    if made:
        with suppress(OSError):  # another command may use it by now
            out.rmdir()
    return Facts(
        Machine(socket.gethostname(), **driver.told(str(out), cache), **stored[""]),
        tuple(map(machine, nodes)),
        str(out),
        cohort=tuple(_cohort(config)),
        wanted=wanted or 1,
        cpus=config.resources.cpus_per_trial,
        gpus=config.resources.gpus_per_trial,
    )


def ask(examiners: Mapping[str, Any], question: str, *given: Any) -> tuple[dict[str, Any], Silent]:
    """Ask all machines the same at once."""
    return answers({name: getattr(each, question).remote(*given) for name, each in examiners.items()})


def _await(wanted: int, settings: ResourceSettings) -> None:
    """Ask the autoscaler, where there is one, for so many machines with room for a trial, and wait for them.

    It packs what is asked for onto few machines. So those that are there are asked for whole, and each that is missing
    is to be as large as the smallest of them: at least one more comes each time, and all at once where they are alike.
    """
    gpus = 0 if settings.gpus_per_trial == "auto" else settings.gpus_per_trial
    deadline = time.monotonic() + _COMING_SECONDS
    try:
        while len(nodes := trial_nodes()) < wanted and time.monotonic() < deadline:
            there = [{kind: node["Resources"].get(kind, 0.0) for kind in ("CPU", "GPU")} for node in nodes]
            least = min((each["CPU"] for each in there), default=0.0)
            missing = {"CPU": max(settings.cpus_per_trial, least), "GPU": gpus}
            bundles = [*there, *[missing] * (wanted - len(nodes))]
            request_resources(bundles=[{kind: number for kind, number in each.items() if number} for each in bundles])
            time.sleep(_LOOK_SECONDS)
    finally:
        request_resources(bundles=[])  # it would hold for good, and machines cost money


def _by_name(nodes: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """By host; where several nodes are on one, with a piece of their identifiers."""
    hosts = [node["NodeManagerHostname"] for node in nodes]
    return {
        host if hosts.count(host) == 1 else f"{host} ({node['NodeID'][:6]})": node
        for host, node in sorted(zip(hosts, nodes, strict=True), key=lambda pair: pair[0])
    }


def _examiners(nodes: Mapping[str, dict[str, Any]], on_gpu: Mapping[str, bool], threads: int) -> dict[str, Any]:
    """An actor on each node; with the least share of a GPU that shows it one, since trials may run beside it."""
    actor = ray.remote(num_cpus=0, max_restarts=0)(Examiner)
    return {
        name: actor.options(scheduling_strategy=on(node["NodeID"]), num_gpus=0.001 if on_gpu[name] else 0).remote(
            on_gpu[name], threads
        )
        for name, node in nodes.items()
    }


def _storage(driver: Examiner, examiners: Mapping[str, Any], out: Folder) -> dict[str, dict[str, Any]]:
    """Of every machine, and of the driver as "": fields of ``Machine`` on what it cannot write or read; empty ones
    where all is well."""
    token = secrets.token_hex(8)
    paths = {name: out / f".doctor-{token}-{number}" for number, name in enumerate(["", *examiners])}
    try:
        written, _ = answers({name: each.write.remote(str(paths[name])) for name, each in examiners.items()})
        written[""] = driver.write(str(paths[""]))
        there = {name or "the driver": str(paths[name]) for name, reason in written.items() if reason is None}
        read, _ = ask(examiners, "unread", there)
        read[""] = driver.unread(there)
    finally:
        for path in paths.values():
            with suppress(OSError), store_errors():  # where nothing can be written, nothing can be deleted either
                path.unlink(missing_ok=True)
    stored: dict[str, dict[str, Any]] = {name: {} for name in paths}
    for name in paths:
        if written.get(name):
            stored[name]["unwritten"] = written[name]
        if read.get(name):
            stored[name]["unread"] = read[name]
    return stored


def _counted(node: Mapping[str, Any], settings: ResourceSettings) -> dict[str, Any]:
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
    """Seconds that a machine's clock is ahead of ours, less what may be the question's way."""
    looks = []
    for _ in range(_LOOKS):
        begun = time.time()
        found, _ = answers({"": examiner.now.remote()})
        ended = time.time()
        looks.append((ended - begun, found.get("", begun) - (begun + ended) / 2))
    way, ahead = min(looks)
    return math.copysign(max(0.0, abs(ahead) - way / 2), ahead)


def _cohort(config: StudyConfig) -> Iterator[str]:
    """Why films of the study, and of the collections that its chains name, cannot be had."""
    yield from _unread(config.data)
    named = {name for block in config.grid for chain in block.chain for name in chain}
    for name in sorted(named & config.sources.keys()):
        for message in _unread(config.sources[name]):
            setting = message.removeprefix("data.")
            yield f"sources.{name}: {message}" if setting == message else f"sources.{name}.{setting}"


def _unread(data: DataSettings) -> Iterator[str]:
    """Why the table cannot be used; else of the first film, the last and those between that are read, which cannot."""
    try:
        source = open_source(data)
    except InputError as error:
        yield str(error)
        return
    last = len(source.films) - 1
    for number in sorted({place * last // (_FILMS - 1) for place in range(_FILMS)} if last >= 0 else ()):
        try:
            source.read(number)
        except InputError as error:
            yield f"{source.films[number].where}: {error}"
