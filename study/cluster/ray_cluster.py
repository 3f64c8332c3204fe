"""Connection to Ray: join a running cluster or start one on this machine; count the trials that fit on it."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from sldd.errors import InputError
from study.cluster.ray_temporary import check_temporary
from study.config.resource_settings import ResourceSettings

# Telemetry off; no loggers and files that nobody reads; trials stay in the directory they were started from.
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    # What cuBLAS wants to hear for compute.deterministic, before it is loaded.
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    # Threads that prepare batches come and go with a worker's trials; glibc would keep freed memory for each of them.
    "MALLOC_ARENA_MAX": "2",
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",  # Tune's own snapshots are never read: the ledger is the truth
}


@dataclass(frozen=True)
class Slots:
    """Resources of a trial, and the number of trials that run at once."""

    cpus: float
    """CPUs of a trial."""
    gpus: float
    """GPUs of a trial, such as 0.5; with ``resources.gpus_per_trial=auto`` a whole one where there are any, of which
    ``GpuShares`` may give it a part."""
    concurrent: int
    """Trials at once; where ``GpuShares`` may let them share GPUs, as many as would fit then."""


def find_cluster(address: str | None) -> str | None:
    """The address of the cluster to join; None where Ray is to be started on this machine.

    Args:
        address: the address of a cluster; ``local`` for none; ``auto`` for the one that runs on this machine; None for
            what ``RAY_ADDRESS`` says, else the one that runs on this machine, if any.

    Raises:
        InputError: ``auto``, and there is none.
    """
    wanted = address or os.environ.get("RAY_ADDRESS") or None
    if wanted == "local":
        return None
    if wanted not in (None, "auto"):
        return wanted
    found = _started_here()
    if found is None and wanted == "auto":
        raise InputError("--address auto: no Ray cluster runs on this machine; start one (ray up, ray start)")
    return found


def _started_here() -> str | None:
    """The cluster that ``ray start`` made or joined on this machine, if it still runs."""
    from ray._private import services

    # Only `ray start` leaves its address behind (/tmp/ray/ray_current_cluster); a Ray that another study started for
    # itself by ray.init() does not, and must not be joined: it ends with that study. ray.init("auto") would join it.
    # The file outlives a cluster that died, so a raylet of that address has to run here too.
    address = services.find_bootstrap_address(None)
    services.find_gcs_addresses.cache_clear()
    return address if address in services.find_gcs_addresses() else None


@contextmanager
def connect(address: str | None, settings: ResourceSettings) -> Iterator[tuple[str, Slots]]:
    """Connect to Ray for the length of a ``with`` block.

    Args:
        address: a running cluster's (see ``find_cluster``), or None: a new one on this machine.

    Yields:
        What was connected to, in words, and the slots for trials.

    Raises:
        InputError: the cluster cannot be reached, or has no machine that can hold a trial; or the caller's own Ray runs
            in this process.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import ray

    if ray.is_initialized():  # the caller's: a second one cannot be started, and the end of this would end it
        raise InputError("Ray runs in this process already, and a study starts or joins its own; ray.shutdown() first")
    # A trial that is tried again is told of in a line by the study; Tune would print a traceback.
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    if address is None:
        _start_here()
    else:
        _join(address)
    try:
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        cpus, gpus = (sum(has.get(kind, 0.0) for has in nodes) for kind in ("CPU", "GPU"))
        if address is not None:
            _check_growth(settings, cpus, gpus)
        slots = _slots(settings, [(has.get("CPU", 0.0), has.get("GPU", 0.0)) for has in nodes])
        where = "this machine" if address is None else f"the cluster at {address} ({len(nodes)} nodes now)"
        yield f"Ray on {where}: {cpus:g} CPUs, {gpus:g} GPUs; trials at once: {slots.concurrent}", slots
    finally:
        ray.shutdown()


def _join(address: str) -> None:
    """Connect to a running cluster.

    Raises:
        InputError: it cannot be reached.
    """
    import ray

    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"--address {address}: cannot connect to Ray ({reason}); --address local starts Ray here instead"
        ) from None


def _start_here() -> None:
    """Start Ray on this machine. On a busy one that may take too long: it is tried twice.

    Raises:
        InputError: it cannot be started.
    """
    import ray

    check_temporary()
    reason = ""
    for _ in range(2):
        try:
            # "local" and not None, for which Ray would look at RAY_ADDRESS and for other clusters itself.
            ray.init(address="local", log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
            return
        except Exception as error:  # a bare Exception, where its processes do not come up in half a minute
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            ray.shutdown()
    raise InputError(f"Ray cannot be started on this machine ({reason}); is it overloaded? Try again")


def _check_growth(settings: ResourceSettings, cpus: float, gpus: float) -> None:
    """Check that the settings say what trials get on a cluster that has no workers yet.

    Such a cluster starts workers when trials ask for them. Until then it has no CPU, since its head takes no trial, and
    the number of slots cannot be counted.

    Args:
        cpus: CPUs that the cluster has now.
        gpus: GPUs that it has now.

    Raises:
        InputError: it has no workers, and a setting is missing.
    """
    missing = []
    if settings.concurrent is None:
        missing.append("resources.concurrent (trials at once, such as its largest number of GPUs)")
    if settings.gpus_per_trial == "auto" and not gpus:
        missing.append("resources.gpus_per_trial (1, or 0 for workers without)")
    if cpus < 1 and missing:
        raise InputError(f"the cluster has no workers yet, it grows with the trials; give {' and '.join(missing)}")


def memory_per_trial(settings: ResourceSettings, address: str | None) -> int | None:
    """Bytes of memory for each of the trials at once on this machine, on its GPU where they use one.

    Args:
        address: of the cluster that trials run on, whose machines are not known here: the answer is None then.
    """
    if address is not None:
        return None
    slots = slots_here(settings)
    if slots.gpus:
        return int(torch.cuda.mem_get_info()[1] * min(1.0, slots.gpus))
    from ray._private.utils import get_system_memory

    return int(get_system_memory()) // slots.concurrent  # a container's, where it has a limit


def slots_here(settings: ResourceSettings) -> Slots:
    """Resources of a trial on this machine, and the number that run at once.

    Raises:
        InputError: this machine cannot hold a single trial.
    """
    from ray._private.utils import get_num_cpus  # as Ray itself will count them: a container has fewer than its host

    gpus = torch.cuda.device_count() if settings.gpus_per_trial != 0 else 0
    return _slots(settings, [(float(get_num_cpus(override_docker_cpu_warning=True)), float(gpus))])


def _slots(settings: ResourceSettings, machines: Sequence[tuple[float, float]]) -> Slots:
    """Slots on all machines together; a trial runs on one of them, and never across two.

    Args:
        machines: (CPUs, GPUs) of each.

    Raises:
        InputError: no machine can hold a trial, and ``resources.concurrent`` is not set.
    """
    per_trial = settings.gpus_per_trial
    any_gpu = any(gpus for _, gpus in machines)
    wanted = float(any_gpu) if per_trial == "auto" else per_trial  # a whole GPU, where there is any
    fitting = sum(fitting_trials(settings, cpus, gpus) for cpus, gpus in machines if gpus or not wanted)
    if settings.concurrent is None and fitting < 1:
        kinds = sorted({machine for machine in machines if any(machine)}, reverse=True)  # a head may take none
        there = " or ".join(f"{cpus:g} and {gpus:g}" for cpus, gpus in kinds[:3]) + (", ..." if len(kinds) > 3 else "")
        raise InputError(
            f"resources: a trial takes {settings.cpus_per_trial:g} CPUs and {wanted:g} GPUs of one machine, and each "
            f"has {there}; lower resources.cpus_per_trial or resources.gpus_per_trial"
        )
    return Slots(settings.cpus_per_trial, wanted, settings.concurrent or fitting)


def fitting_trials(settings: ResourceSettings, cpus: float, gpus: float) -> int:
    """Trials for which a machine of these CPUs and GPUs has room at once.

    With ``resources.gpus_per_trial=auto`` trials may come to share GPUs, and as many are counted as would fit then.
    """
    per_trial = settings.gpus_per_trial
    by_cpus = _times(cpus, settings.cpus_per_trial)
    if per_trial == "auto":
        return min(by_cpus, int(gpus) * settings.trials_per_gpu) if gpus else by_cpus
    if not per_trial:
        return by_cpus
    if per_trial < 1:  # a share is of one GPU: what is left of two is not put together
        return min(by_cpus, int(gpus) * _times(1, per_trial))
    return min(by_cpus, _times(gpus, per_trial))


def _times(there: float, each: float) -> int:
    """How often ``each`` goes into ``there``. Rounding errors take nothing away: 0.2 goes ten times into 2."""
    return int(there / each + 1e-9)
