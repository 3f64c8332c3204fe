"""Checks of a cluster's nodes: they see the study's folder, run the same versions, can use their GPUs."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ledger.storage import Folder, open_folder, write_whole
from sldd.errors import InputError

_PATIENCE = 120.0  # seconds for all machines together to answer
SAME_EVERYWHERE = ("torch", "torchvision", "timm", "ray", "sldd-study")
"""Packages whose version decides results, or whether machines understand each other."""


def check_nodes(folder: Folder) -> list[str]:
    """Check that every machine that may run trials can read and write the study's folder.

    Returns:
        A line for each package whose version is another one on some machine.

    Raises:
        InputError: a machine does not see the folder, or we do not see what it writes there.
    """
    nodes = trial_nodes()
    token = secrets.token_hex(8)  # a folder of the same path on a machine's own disk does not have it
    ours = folder / f".probe-{token}"
    write_whole(ours, token)
    theirs = {node["NodeID"]: folder / f".probe-{token}-{node['NodeID']}" for node in nodes}
    try:
        found, silent = answers({node: _ask(node, str(ours), token, str(path)) for node, path in theirs.items()})
        missing = []
        for node in nodes:
            answer = found.get(node["NodeID"]) or {"error": silent[node["NodeID"]]}
            if answer.get("error") or not theirs[node["NodeID"]].is_file():
                reason = answer.get("error") or "what it writes there does not appear here"
                missing.append(f"{node['NodeManagerHostname']} ({reason})")
    finally:
        for path in (ours, *theirs.values()):
            path.unlink(missing_ok=True)
    if missing:
        raise InputError(
            f"--out: {len(missing)} of {len(nodes)} machines do not see {folder}: {_some(missing)}; name "
            "a folder that all machines share, or an object store such as s3://bucket/studies"
        )
    return _other_versions({node["NodeManagerHostname"]: found[node["NodeID"]]["versions"] for node in nodes})


def check_gpus() -> None:
    """Check that PyTorch can use the GPU of every machine in which Ray has found one.

    Ray finds GPUs by asking their driver. Where PyTorch was built without CUDA, a trial would hold the GPU and compute
    on the CPU.

    Raises:
        InputError: there is one that cannot.
    """
    nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("GPU")]
    found, silent = answers(
        {node["NodeID"]: _gpu_use.options(scheduling_strategy=on(node["NodeID"])).remote() for node in nodes}
    )
    useless = []
    for node in nodes:
        name = node["NodeID"]
        if not found.get(name, {}).get("usable"):
            reason = silent.get(name) or f"torch {found[name]['torch']}"
            useless.append(f"{node['NodeManagerHostname']} ({reason})")
    if useless:
        raise InputError(
            f"resources: Ray has found GPUs that PyTorch cannot use on {_some(useless)}; install a build "
            "of torch for them and their driver there, or set resources.gpus_per_trial=0"
        )


def _some(machines: list[str]) -> str:
    """The first three of a list of machines, and how many more there are."""
    more = f" and {len(machines) - 3} more" if len(machines) > 3 else ""
    return f"{', '.join(machines[:3])}{more}"


def trial_nodes() -> list[dict[str, Any]]:
    """Ray's description (an entry of ``ray.nodes``) of each node that is alive and may run trials."""
    return [node for node in ray.nodes() if node["Alive"] and (node["Resources"].keys() & {"CPU", "GPU"})]


def on(node: str) -> NodeAffinitySchedulingStrategy:
    """Scheduling strategy of a task or actor that runs on this node (its ``NodeID``), and on no other."""
    return NodeAffinitySchedulingStrategy(node, soft=False)


def answers(asked: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Collect what machines answer; all have the same ``_PATIENCE`` seconds.

    Args:
        asked: object references by machine, under any name.

    Returns:
        Answers by machine; and why there is none, by machine.
    """
    if asked:
        ray.wait(list(asked.values()), num_returns=len(asked), timeout=_PATIENCE)
    found, silent = {}, {}
    for name, reference in asked.items():
        try:
            found[name] = ray.get(reference, timeout=0)
        except RayError as error:  # the machine is gone, cannot import this project, or does not answer
            silent[name] = str(error).strip().splitlines()[-1]
    return found, silent


def _ask(node: str, ours: str, token: str, theirs: str) -> Any:
    """Start ``_probe`` on a node; returns the object reference of its answer."""
    return _probe.options(scheduling_strategy=on(node)).remote(ours, token, theirs)


@ray.remote(num_cpus=0, max_retries=0)
def _probe(ours: str, token: str, theirs: str) -> dict[str, Any]:
    """Runs on a machine: reads the driver's file, and writes one of its own.

    Args:
        ours: path of the driver's file, which holds ``token``.
        theirs: path of the file that is written.

    Returns:
        ``versions`` of this machine's packages; or ``error``, why one of the two failed.
    """
    try:
        if open_folder(ours).read_text() != token:
            return {"error": "it sees another one of that name"}
        write_whole(open_folder(theirs), socket.gethostname())
    except FileNotFoundError:
        return {"error": "there is none"}
    except OSError as error:
        return {"error": error.strerror or str(error)}
    return {"versions": _versions()}


@ray.remote(num_cpus=0, max_retries=0)
def _gpu_use() -> dict[str, Any]:
    """Runs on a machine: the version of PyTorch (``torch``), and whether it can use a GPU (``usable``).

    Ray hides GPUs from tasks that ask for none, by these variables, so another process looks without them.
    """
    hidden = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    look = "import torch; print(torch.__version__, torch.cuda.is_available())"
    completed = subprocess.run(
        [sys.executable, "-c", look], env=environment, capture_output=True, text=True, check=False
    )
    last_line = completed.stdout.strip().rpartition("\n")[2]  # an import may print something before
    torch, _, usable = last_line.partition(" ")
    return {"torch": torch or "cannot be imported", "usable": usable == "True"}


def _versions() -> dict[str, str]:
    return {package: version(package) for package in SAME_EVERYWHERE}


def _other_versions(on_nodes: dict[str, dict[str, str]]) -> list[str]:
    """A line for each package (``on_nodes``: versions by package, by host) of another version than here."""
    here = _versions()
    return [
        f"{host} has {package} {versions[package]}, and this machine {here[package]}: results may differ"
        for host, versions in on_nodes.items()
        for package in SAME_EVERYWHERE
        if versions[package] != here[package]
    ]
