"""Facts of a cluster's machines, in plain values, on which ``study.doctor.checks`` judges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Room:
    """A folder's disk, in bytes."""

    folder: str
    free: int
    total: int


@dataclass(frozen=True)
class Machine:
    """What a machine says of itself, and what came of asking it; times in seconds, memory in bytes."""

    host: str
    silent: str | None = None
    """Why it does not answer; all else is then unknown."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Of Python, packages and this project's source (a digest), by name."""
    ahead: float = 0.0
    """Its clock before the driver's, at least: what the question's way took is taken off."""
    unwritten: str | None = None
    """Why it cannot write to the study's folder."""
    unread: Mapping[str, str] = field(default_factory=dict)
    """Why it cannot read the file that another machine wrote there, by that machine's name."""
    rooms: Mapping[str, Room] = field(default_factory=dict)
    """By what is kept there: ``studies`` (``--out``), ``cache`` (``data.cache``), ``ray``."""
    cpus: float = 0.0
    """As Ray counts them; GPUs too."""
    gpus: float = 0.0
    devices: int = 0
    """GPUs that its operating system has."""
    cuda: bool = False
    """Whether PyTorch can use them."""
    trials: int = 1
    """As many as will run there at once."""
    memory: int = 0
    """For trials, as Ray counts it."""
    store: int = 0
    """Of Ray's object store."""
    shared: int | None = None
    """Shared memory (/dev/shm), where the object store should lie; None where there is none."""
    step: float | None = None
    """A training step of ResNet-18 on sixteen patches of 64 x 64 pixels: of the processor's time, or on a GPU."""
    trial: float | None = None
    """A tiny trial, from beginning to result."""
    failure: str | None = None
    """Why step or trial failed."""


@dataclass(frozen=True)
class Facts:
    """A cluster as it was found, and what a study asks of it."""

    driver: Machine
    """Where the command runs; it need not take trials."""
    machines: tuple[Machine, ...]
    """Those that take trials."""
    out: str
    """The folder or object store for studies."""
    cohort: tuple[str, ...] = ()
    """Why the study's radiographs cannot be opened on the driver's machine: lines that begin with a setting, or with
    the line of a table."""
    wanted: int = 1
    """Machines that there should be."""
    cpus: float = 1.0
    """Of a trial; GPUs too, or ``auto``."""
    gpus: float | str = "auto"

    @property
    def everywhere(self) -> tuple[Machine, ...]:
        """The driver's process, and machines that answered; they may run on one and the same."""
        return (self.driver, *self.answering)

    @property
    def answering(self) -> tuple[Machine, ...]:
        """Machines that take trials and answered."""
        return tuple(machine for machine in self.machines if machine.silent is None)
