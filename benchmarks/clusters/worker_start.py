"""How long a machine takes to become a worker: by pip, from the image, and from an image that is there already.

    podman push IMAGE oci:image                  # of the Dockerfile, packed as a registry keeps it
    pip download . setuptools --dest wheels      # what pip would fetch
    python -m benchmarks.clusters.worker_start --wheels wheels --image image

Hosts in namespaces of this machine: a head, and one for each way, which starts with nothing. Measured is the time from
its first command, as clusters/local.yaml (pip) and Ray's container commands (image) have it, until the head counts
the worker. Both ways read from this disk: what a network adds follows from the bytes beside the times. Booting a
machine is not in them. Linux, as root, with podman; nothing outlives it.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.clusters.hosts import MISSING, ROOT, Host, end, hosts
from sldd.errors import InputError

LITTLE = "--num-cpus=1 --object-store-memory=100000000"
# Prints a line once it counts, and ends when the cluster has as many nodes as its argument says.
WAIT = """
import ray, sys, time
ray.init("auto", logging_level="ERROR")
print("watching", flush=True)
while sum(node["Alive"] for node in ray.nodes()) != int(sys.argv[1]):
    time.sleep(0.1)
"""


@dataclass(frozen=True)
class Start:
    """One way to become a worker: seconds of each of its steps, by name, and bytes that it reads."""

    way: str
    seconds: dict[str, float]
    nbytes: int

    def __str__(self) -> str:
        steps = ", ".join(f"{name} {seconds:.0f}" for name, seconds in self.seconds.items())
        return f"{self.way:<22}{sum(self.seconds.values()):>7.0f} s  ({steps}); reads {self.nbytes / 1e9:.2f} GB"


class Cluster:
    """A head that counts its workers."""

    def __init__(self, head: Host) -> None:
        self._head = head
        head.run(["bash", "-c", f"ray start --head --port=6379 --include-dashboard=false {LITTLE}"])

    @property
    def join(self) -> str:
        """The command of a worker."""
        return f"ray start --address={self._head.address}:6379 {LITTLE}"

    def timed(self, worker: Host, steps: dict[str, str], count: int) -> dict[str, float]:
        """Seconds of each of a worker's commands, by name; the last one's time is until the head has ``count`` nodes.

        Args:
            steps: commands of bash by name, in order.
            count: nodes of the cluster, the head being one.

        Raises:
            RuntimeError: a command failed; with what it said.
        """
        command = self._head.command(["python", "-W", "ignore", "-c", WAIT, str(count)])
        seconds = {}
        watching = subprocess.Popen(command, text=True, stdout=subprocess.PIPE)
        assert watching.stdout is not None
        try:
            watching.stdout.readline()
            for number, (name, step) in enumerate(steps.items(), 1):
                begun = time.monotonic()
                worker.run(["bash", "-c", step], seconds=3600)
                if number == len(steps):
                    watching.wait(timeout=300)
                seconds[name] = time.monotonic() - begun
        finally:
            watching.stdout.close()
            if watching.poll() is None:
                end(watching)
        return seconds

    def wait_until_gone(self, worker: Host) -> None:
        """Wait until the head no longer counts a worker whose Ray was stopped, and is alone."""
        self.timed(worker, {"gone": "true"}, 1)  # `true` does nothing


def by_pip(cluster: Cluster, worker: Host, wheels: Path, folder: Path) -> Start:
    """As clusters/local.yaml installs it: an environment of its own, then this project into it."""
    home = folder / "environment"
    install = f"{home}/bin/pip install --quiet --no-index --find-links {wheels} --editable {ROOT}"
    steps = {
        "environment": f"{sys.base_prefix}/bin/python3 -m venv {home}",
        "pip": install,
        "ray": f"{home}/bin/{cluster.join}",
    }
    found = Start("pip", cluster.timed(worker, steps, 2), _bytes(wheels))
    worker.run([f"{home}/bin/ray", "stop"])
    return found


def from_image(cluster: Cluster, worker: Host, image: Path, folder: Path, runtime: str) -> tuple[Start, Start]:
    """Pulled and started; then started again where it has been pulled."""
    podman = (
        f"podman --root {folder}/containers --runroot /run/containers --runtime {runtime} --cgroup-manager cgroupfs"
    )
    run = f"{podman} run --detach --name ray --network host --ulimit host --shm-size 1g"
    steps = {
        "pull": f"{podman} pull --quiet oci:{image} > {folder}/name",
        "ray": f"{run} $(cat {folder}/name) {cluster.join} --block",
    }
    try:
        first = Start("image", cluster.timed(worker, steps, 2), _bytes(image))
        worker.run(["bash", "-c", f"{podman} rm --force --time 0 ray"])
        cluster.wait_until_gone(worker)
        return first, Start("image, pulled before", cluster.timed(worker, {"ray": steps["ray"]}, 2), 0)
    finally:
        worker.run(["bash", "-c", f"{podman} rm --force --all --time 0; {podman} rmi --force --all > {folder}/removed"])


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main(arguments: Sequence[str] | None = None) -> int:
    """``python -m benchmarks.clusters.worker_start``; 1 where a command fails, 2 where something is missing."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.clusters.worker_start",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--wheels", type=Path, required=True, metavar="DIR", help="all that pip needs")
    parser.add_argument("--image", type=Path, required=True, metavar="DIR", help="the image, as an OCI layout")
    parser.add_argument("--runtime", default="crun", help="that podman starts containers by; default crun")
    parser.add_argument("--scratch", type=Path, metavar="DIR", help="a folder with room for both, default the system's")
    options = parser.parse_args(arguments)
    try:
        missing = [*MISSING, *(["the program podman"] if shutil.which("podman") is None else [])]
        if missing:
            raise InputError(f"no hosts can be made: {', '.join(missing)} missing")
        for folder in (options.wheels, options.image):
            if not folder.is_dir():
                raise InputError(f"{folder} is no folder")
        measure(options.wheels.resolve(), options.image.resolve(), options.scratch, options.runtime)
    except InputError as error:
        print(f"benchmarks.clusters.worker_start: {error}", file=sys.stderr)
        return 2
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def measure(wheels: Path, image: Path, scratch: Path | None, runtime: str) -> None:
    """Print a line for each way."""
    with tempfile.TemporaryDirectory(dir=scratch) as name:
        folder = Path(name).resolve()
        with hosts(folder, ["head", "pip", "image"]) as (head, pip, container):
            for seen in (wheels, image):
                try:
                    head.run(["test", "-d", str(seen)])
                except RuntimeError:
                    raise InputError(
                        f"{seen}: hosts have /tmp and the home folder for themselves; put it elsewhere"
                    ) from None
            cluster = Cluster(head)
            print(by_pip(cluster, pip, wheels, folder), flush=True)
            cluster.wait_until_gone(pip)
            for start in from_image(cluster, container, image, folder, runtime):
                print(start, flush=True)


if __name__ == "__main__":
    sys.exit(main())
