"""A real cluster, made by `ray up` of hosts in namespaces: whatever dies, a study ends with every trial done once."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
import torch
import yaml

from analysis.records.records import MEASURED
from benchmarks.clusters.hosts import HOME, MISSING, ROOT, USER, Host, hosts
from ledger.trial_files import read_json
from ledger.trial_folder import WORKER
from sldd.data.cohort import prepare
from sldd.data.settings import open_source
from sldd.data.split import split_patients
from study.config.cells import cells
from study.config.loader import load
from study.config.tasks import TASKS
from study.planning.step_time import StepTime, time_step, trial_seconds
from study.trial.worker import PROCESS

pytestmark = pytest.mark.slow

STUDY = [
    "demo", "grid.backbone=[test_resnet]", "grid.images=[2,3,4]", "grid.method=sldd",
    "data.phantom={patients: 16, size: 128}", "data.split={validation: 0.2, test: 0.4}",
    "patches={size: 24, stride: 8, input_size: 32}",
    "outer={batch_size: 12, evaluations: 2, statistics_batches: 2, checkpoint_every: 10}",
    "outer.checkpoint_share=null",
    "search.trials=1", "confirm.repeats=1",
]  # fmt: skip
TRIALS = 3 * (1 + 1)
SECONDS = 6.0
"""A trial's, on one idle core: looks every twentieth of a second are to catch hosts in the middle of it, twice."""
# Ray gives a silent node up after a minute; here, after some seconds.
HASTE = "RAY_health_check_period_ms=1000 RAY_health_check_timeout_ms=2000 RAY_health_check_failure_threshold=3"
_IDLE = {"sshd", "cat"}  # what runs on a host of its own accord
LITTLE = "--num-cpus=1 --object-store-memory=100000000"


class Cluster:
    """The hosts, and what a user does with them at the laptop."""

    def __init__(self, folder: Path, laptop: Host, machines: list[Host]) -> None:
        self.folder, self.laptop = folder, laptop
        self.machines = machines
        self.head, *self.workers = machines
        self.file = folder / "local.yaml"
        self.steps = _steps(folder / "cohorts")

    def configure(self) -> None:
        """``clusters/local.yaml``, edited as its first lines say, and what keeps the hosts small and hasty."""
        config = yaml.safe_load((ROOT / "clusters" / "local.yaml").read_text())
        config["provider"] |= {"head_ip": self.head.address, "worker_ips": [host.address for host in self.workers]}
        config["auth"] = {"ssh_user": USER, "ssh_private_key": str(self.laptop.key)}
        for kind in ("head", "worker"):
            config[f"{kind}_start_ray_commands"][-1] += f" {LITTLE}"
        self.file.write_text(yaml.safe_dump(config))
        for host in self.machines:  # in place of the installation, which needs a network
            own = f"export {HASTE} PYTHONPATH=~/sldd-study PYTHONWARNINGS=ignore"
            installed = f"mkdir ~/sldd-venv && ln -s {sys.prefix}/* ~/sldd-venv && touch ~/sldd-venv/installed"
            host.run(["bash", "-c", f"{installed} && echo '{own}' > ~/.bashrc"])

    def ray(self, *words: str) -> str:
        """A command of Ray's, at the laptop, in this project's folder."""
        return self.laptop.run(["ray", *words], folder=ROOT, seconds=300)

    def until_nodes(self, count: int) -> None:
        """Wait until the cluster has so many nodes, as its head has it."""
        polling = (
            "import ray, time; ray.init('auto', logging_level='ERROR')\n"
            f"while sum(node['Alive'] for node in ray.nodes()) != {count}: time.sleep(0.5)"
        )
        self.head.run(["bash", "-ic", f"python -c {shlex.quote(polling)}"], seconds=300)


class Study:
    """A study of the cluster, as its folder tells it."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster, self.folder, self.log = cluster, cluster.folder / "studies" / name, cluster.folder / f"{name}.log"
        words = [*STUDY, f"outer.steps={cluster.steps}", f"name={name}", "--out", str(self.folder.parent)]
        self.command = f"cd ~/sldd-study && python -m study.run {shlex.join(words)}"

    def start(self) -> subprocess.Popen[str]:
        """The command on the head, sent from the laptop."""
        words = ["ray", "exec", str(self.cluster.file), self.command]
        return self.cluster.laptop.start(words, self.log, folder=ROOT)

    def driver(self) -> psutil.Process:
        (driver,) = [
            process
            for process in self.cluster.head.processes()
            if process.cmdline()[:3] == ["python", "-m", "study.run"]
        ]
        return driver

    def results(self) -> dict[str, tuple[int, dict[str, Any]]]:
        """Every trial's result, and when it was written."""
        paths = self.folder.glob("trials/*/*/result.json")
        return {str(path.parent): (path.stat().st_mtime_ns, json.loads(path.read_text())) for path in paths}

    def checkpoints(self) -> dict[str, tuple[int, int]]:
        """Of every unfinished trial with a checkpoint: how often it was started, and its steps so far."""
        found = {}
        for path in sorted(self.folder.glob("trials/*/*/checkpoint/*.pt")):  # of two, the later stays
            with suppress(OSError):  # it ended, or was followed by another, this moment
                state = torch.load(path, weights_only=True)
                found[str(path.parents[1])] = len(state["starts"]), int(state["loop"]["progress"]["step"])
        return found

    def records(self) -> pd.DataFrame:
        return pd.read_csv(self.folder / "records.csv").drop(columns=MEASURED)

    def until(self, happened: Callable[[], object]) -> None:
        deadline = time.monotonic() + 300
        while not happened():
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def until_all_stand_still(self, before: dict[str, tuple[int, int]]) -> dict[str, list[psutil.Process]]:
        """Stop every host in the middle of a trial that is further than ``before``; returns the trials' processes.

        Each host stands still as soon as it is so far, and waits for the others: no trial has to last for that.
        """
        stopped: dict[str, list[psutil.Process]] = {}
        names = {host.name: host for host in self.cluster.machines}

        def happened() -> bool:
            for trial, at in self.checkpoints().items():
                worker = read_json(Path(trial, WORKER)) or {}  # none: it begins or ended this moment
                host = names.get(worker.get("host"))
                if host is None or host.name in stopped or at == before.get(trial):
                    continue
                running = _trials_on(host)
                for process in running:
                    process.suspend()
                if trial in self.checkpoints():
                    stopped[host.name] = running
                else:  # it ended this moment
                    _go_on(running)
            return len(stopped) == len(self.cluster.machines)

        self.until(happened)
        return stopped


def _steps(cache: Path) -> int:
    """Outer steps that take a trial ``SECONDS`` on this machine, as a study's plan reckons them."""
    config = load(STUDY[0], STUDY[1:])
    cohort = prepare(open_source(config.data), cache)
    data = TASKS[config.task].data(cohort, config.patches, split_patients(cohort, config.data.split))
    cell = cells(config.grid)[0]
    step = time_step(cell, config, config.outer, data)
    assert isinstance(step, StepTime), step
    return max(160, round(SECONDS * config.outer.steps / trial_seconds(cell, step, config, config.outer, data)))


def _go_on(stopped: list[psutil.Process]) -> None:
    for process in stopped:
        with suppress(psutil.NoSuchProcess):
            process.resume()


def _trials_on(host: Host) -> list[psutil.Process]:
    found = []
    for process in host.processes():
        with suppress(psutil.NoSuchProcess):
            found += [process] if "".join(process.cmdline()[:1]).startswith(PROCESS) else []
    return found


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if MISSING:
        words = f"no cluster was made: {', '.join(MISSING)} missing"
        pytest.fail(words) if os.environ.get("CI") else pytest.skip(words)
    folder = tmp_path_factory.mktemp("cluster")
    with hosts(folder, ["laptop", "head", "worker-1", "worker-2"]) as (laptop, *machines):
        cluster = Cluster(folder, laptop, machines)
        cluster.configure()
        laptop.run(["ray", "get-auth-token", "--generate"])
        cluster.ray("up", "--yes", str(cluster.file))
        cluster.until_nodes(3)
        yield cluster


@pytest.fixture(scope="session")
def calm(cluster: Cluster) -> Study:
    """A study that nothing disturbed, sent to the cluster as a job."""
    study = Study(cluster, "calm")
    submit = ["ray", "job", "submit", "--address", "http://127.0.0.1:8265", "--", "bash", "-c", study.command]
    study.log.write_text(cluster.head.run(["bash", "-ic", shlex.join(submit)], seconds=600))
    return study


@pytest.mark.parametrize("token", ["", "RAY_AUTH_MODE=token RAY_AUTH_TOKEN=" + 64 * "0"], ids=["none", "another"])
def test_nobody_gets_in_without_the_token(cluster: Cluster, token: str) -> None:
    outsider = f"HOME=/tmp {token} ray status --address {cluster.head.address}:6379"
    with pytest.raises(RuntimeError, match="InvalidAuthToken"):
        cluster.laptop.run(["bash", "-c", outsider])


def test_the_dashboard_is_on_loopback_only(cluster: Cluster) -> None:
    cluster.head.run(["bash", "-c", "echo > /dev/tcp/127.0.0.1/8265"])
    with pytest.raises(RuntimeError, match="Connection refused"):
        cluster.laptop.run(["bash", "-c", f"echo > /dev/tcp/{cluster.head.address}/8265"])


def test_a_study_joins_the_cluster(calm: Study) -> None:
    assert f"Ray on the cluster at {calm.cluster.head.address}:6379 (3 nodes now): 3 CPUs" in calm.log.read_text()
    assert list(calm.records()["status"]) == ["done"] * TRIALS


def _doctor(cluster: Cluster, words: str) -> tuple[list[str], str]:
    """The command on the head, of all three machines: its findings, one a line, and all that it said."""
    command = f"cd ~/sldd-study; timeout 250 python -m study.doctor --machines 3 {words} || echo found $?"
    said = cluster.head.run(["bash", "-ic", command], seconds=300)
    lines = said.splitlines()
    machines = {host.name for host in cluster.machines}
    return [line for line in lines if line.count(": ") > 1 and line.split(": ")[1] in machines], said


def test_the_doctor_finds_nothing_on_a_healthy_cluster(cluster: Cluster) -> None:
    found, said = _doctor(cluster, f"--out {cluster.folder}/studies")
    assert found == [], said
    assert "nothing is wrong" in said
    assert "found" not in said


def test_the_doctor_finds_what_was_planted(cluster: Cluster) -> None:
    """Ten at once, by real means; what hosts of one machine cannot have (another Python, clock or GPU) is planted among
    the facts (tests/study/doctor)."""
    one, two = cluster.workers
    apart, cache, source = "/tmp/studies", HOME / ".cache", HOME / "sldd-study"
    one.run(["bash", "-c", f"mkdir {apart} && mount --bind {apart} {apart} && mount -o remount,ro,bind {apart}"])
    one.run(["bash", "-c", f"mkdir -p {cache} && mount -t tmpfs -o size=1m sldd {cache}"])
    one.run(["bash", "-c", f"echo '# as it was' >> {source}/sldd/rng.py"])
    for package, version in (("torch", "2.8.0"), ("timm", "1.0.20")):
        folder = f"{source}/{package}-{version}.dist-info"
        metadata = f"Metadata-Version: 2.1\\nName: {package}\\nVersion: {version}\\n"
        two.run(["bash", "-c", f"mkdir {folder} && printf '{metadata}' > {folder}/METADATA"])
    two.run(["bash", "-c", f"mkdir {apart}; mount -o remount,size=64m /dev/shm"])
    two.run(["bash", "-c", "mount -o remount,size=512m /tmp && fallocate -l 497m /tmp/full"])
    try:
        found, said = _doctor(cluster, f"--out {apart} data.source=folder data.root=/tmp/films")
        assert "found 1" in said
        assert [line.split(": ")[:2] for line in found] == [
            ["versions", one.name], ["versions", two.name], ["versions", two.name],
            ["storage", cluster.head.name], ["storage", one.name], ["storage", two.name],
            ["room", one.name], ["room", two.name], ["room", two.name],
            ["cohort", cluster.head.name], ["memory", two.name],
        ], said  # fmt: skip
        assert "does not see what worker-2 wrote" in found[3]
        assert "Read-only file system" in found[4]
        assert "does not see what head and the driver wrote" in found[5]
    finally:
        one.run(["bash", "-c", f"umount {apart} {cache}; sed -i '$d' {source}/sldd/rng.py"])
        two.run(["bash", "-c", f"rm -rf {source}/*.dist-info {apart} /tmp/full"])
        two.run(["bash", "-c", "for each in /tmp /dev/shm; do mount -o remount,size=50% $each; done"])


def test_whatever_dies_every_trial_is_done_once(cluster: Cluster, calm: Study) -> None:
    study = Study(cluster, "rough")

    started = study.start()
    stopped = study.until_all_stand_still({})
    noted = [(study.results(), study.checkpoints())]
    study.driver().kill()
    for host in cluster.machines:
        _go_on(stopped[host.name])
    assert started.wait() != 0
    study.until(lambda: not any(map(_trials_on, cluster.machines)))  # none goes on without its driver

    started = study.start()
    stopped = study.until_all_stand_still(noted[0][1])
    noted.append((study.results(), study.checkpoints()))
    dead, lost = cluster.workers
    dead.kill()
    # A host that is cut off goes on, and may still reach the study's folder; held still, it cannot be done too early.
    lost.cut()
    _go_on(stopped[cluster.head.name])
    study.until(lambda: noted[-1][1].keys() <= study.results().keys())  # its trial has run elsewhere
    lost.mend()
    _go_on(stopped[lost.name])  # or it was ended by its own node, which gave the head up
    assert started.wait() == 0, study.log.read_text()

    pd.testing.assert_frame_equal(study.records(), calm.records())
    results = study.results()
    assert len(results) == TRIALS
    assert {result["attempt"] for _, result in results.values()} == {1}
    for (finished, unfinished), interrupted in zip(noted, (3, 2), strict=True):
        for trial, result in finished.items():
            assert results[trial] == result  # it did not run twice
        went_on = {trial: results[trial][1]["starts"][starts:] for trial, (starts, _) in unfinished.items()}
        assert sum(map(bool, went_on.values())) >= interrupted
        for trial, (_, step) in unfinished.items():
            assert min(went_on[trial], default=step) >= step  # no checkpointed step was repeated


def test_down_leaves_nothing(cluster: Cluster) -> None:
    cluster.ray("down", "--yes", str(cluster.file))
    _, worker = cluster.workers
    ssh = ["ssh", "-i", str(cluster.laptop.key), "-o", "StrictHostKeyChecking=no", f"{USER}@{worker.address}"]
    cluster.laptop.run([*ssh, "~/sldd-venv/bin/ray stop"])  # as docs/cluster.md says: `ray down` stops the head only
    deadline = time.monotonic() + 60

    def left() -> list[str]:
        still = [process for host in (cluster.head, worker) for process in host.processes()]
        return [process.name() for process in still if process.name() not in _IDLE]

    while left():  # a shared ssh connection is kept for ten seconds
        assert time.monotonic() < deadline, left()
        time.sleep(0.5)
