"""Retries of trials whose workers Ray killed in ways at which Ray Tune (2.60) would end the whole run.

Tune retries a trial whose worker died (``RayActorError``). A worker that Ray kills because its machine runs low on
memory is reported as another ``RayError``, and so is one whose machine or disk is lost at the wrong moment.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ray.air.execution._internal.actor_manager import RayActorManager, TrackedActorTask
from ray.exceptions import (
    LocalRayletDiedError,
    NodeDiedError,
    ObjectLostError,
    OutOfDiskError,
    OutOfMemoryError,
    RayActorError,
    WorkerCrashedError,
)

UNKNOWN_TO_TUNE = (
    LocalRayletDiedError,
    NodeDiedError,
    ObjectLostError,
    OutOfDiskError,
    OutOfMemoryError,
    WorkerCrashedError,
)


@contextmanager
def lost_workers_retried() -> Iterator[None]:
    """While it lasts, Tune retries trials of workers that were lost in these ways too."""
    handle = RayActorManager._actor_task_failed

    def handle_loss(manager: RayActorManager, tracked_actor_task: TrackedActorTask, exception: Exception) -> None:
        if isinstance(exception, UNKNOWN_TO_TUNE):
            exception = RayActorError(error_msg=str(exception))
        handle(manager, tracked_actor_task, exception)

    RayActorManager._actor_task_failed = handle_loss
    try:
        yield
    finally:
        RayActorManager._actor_task_failed = handle
