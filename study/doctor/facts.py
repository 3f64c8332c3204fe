"""Facts of a cluster and its machines, in plain values: what ``study.doctor.checks`` judges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Room:
    """Room on the disk of a folder."""

    folder: str
    free: int
    """Bytes."""
    total: int
    """Bytes."""


@dataclass(frozen=True)
class Machine:
    """One machine: what it tells of itself, and what came of a training step and a tiny trial on it."""

    host: str
    silent: str | None = None
    """Why it does not answer, and all other fields have no meaning; None where it answers."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Versions of Python and of packages, and a digest of this project's source, by name."""
    ahead: float = 0.0
    """Seconds that its clock is ahead of the driver's, at least; negative where it is behind."""
    unwritten: str | None = None
    """Why it cannot write to the study's folder; None where it can."""
    unread: Mapping[str, str] = field(default_factory=dict)
    """Machines whose files in the study's folder it cannot read, each with the reason."""
    rooms: Mapping[str, Room] = field(default_factory=dict)
    """Disks by what is kept there: ``studies`` (``--out``), ``cache`` (``data.cache``), ``ray`` (Ray's own files)."""
    cpus: float = 0.0
    """CPUs, as Ray counts them."""
    gpus: float = 0.0
    """GPUs, as Ray counts them."""
    devices: int = 0
    """GPUs, as its operating system counts them."""
    cuda: bool = False
    """Whether PyTorch can use its GPUs."""
    trials: int = 1
    """Trials that will run there at once."""
    memory: int = 0
    """Bytes of memory for trials, as Ray counts them."""
    store: int = 0
    """Bytes that Ray's object store may take."""
    shared: int | None = None
    """Bytes of shared memory (/dev/shm), where the object store should lie; None where there is none."""
    step: float | None = None
    """Seconds of a training step of ResNet-18 on 16 patches of 64 x 64 pixels: CPU time, or wall-clock time on a GPU.
    None where none was taken."""
    trial: float | None = None
    """Seconds of a tiny trial, from its beginning to its result; None where there is no result."""
    failure: str | None = None
    """Why the step or the trial failed; None where neither did."""


@dataclass(frozen=True)
class Facts:
    """A cluster as it was found, and what a study asks of it."""

    driver: Machine
    """The machine where the command runs; it need not take trials."""
    machines: tuple[Machine, ...]
    """Machines that take trials."""
    out: str
    """The folder or object store for studies."""
    cohort: tuple[str, ...] = ()
    """Why the study's radiographs cannot be opened on the driver's machine: lines that begin with a setting, or with
    the line of a table."""
    wanted: int = 1
    """How many machines there should be."""
    cpus: float = 1.0
    """CPUs of a trial (``resources.cpus_per_trial``)."""
    gpus: float | str = "auto"
    """GPUs of a trial (``resources.gpus_per_trial``): a number, or ``auto`` for one where there are any."""

    @property
    def everywhere(self) -> tuple[Machine, ...]:
        """The driver and all that answered; the driver's machine is among them twice where it takes trials."""
        return (self.driver, *self.answering)

    @property
    def answering(self) -> tuple[Machine, ...]:
        """Machines that take trials and answered."""
        return tuple(machine for machine in self.machines if machine.silent is None)
