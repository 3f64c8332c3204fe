"""Workers that Ray kills: Tune hears of a worker's death, and retries, whatever Ray calls it."""

import pytest
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.air.execution._internal.tracked_actor import TrackedActor
from ray.air.execution._internal.tracked_actor_task import TrackedActorTask
from ray.exceptions import (
    LocalRayletDiedError,
    NodeDiedError,
    ObjectLostError,
    OutOfDiskError,
    OutOfMemoryError,
    RayActorError,
    RayError,
    WorkerCrashedError,
)

from study.engine.lost_workers import UNKNOWN_TO_TUNE, lost_workers_retried


def _heard(exception: Exception) -> list[Exception]:
    """What a trial's error handlers are told when a task of its worker ends with this."""
    heard: list[Exception] = []
    actor = TrackedActor("id", on_error=lambda _, told: heard.append(told))
    task = TrackedActorTask(actor, on_error=lambda _, told: heard.append(told))
    manager = object.__new__(RayActorManager)  # whose __init__ would start Ray
    manager._failed_actor_ids = set()
    manager._cleanup_actor = lambda tracked_actor: None  # there is none to clean up after
    manager._actor_task_failed(tracked_actor_task=task, exception=exception)  # as Tune calls it
    return heard


KILLED = [
    LocalRayletDiedError(),
    NodeDiedError("gone"),
    ObjectLostError("00" * 28, None, ""),
    OutOfDiskError(),
    OutOfMemoryError("low on memory"),
    WorkerCrashedError(),
]


def test_every_loss_is_tried() -> None:
    assert {type(killed) for killed in KILLED} == set(UNKNOWN_TO_TUNE)


@pytest.mark.parametrize("killed", KILLED, ids=lambda killed: type(killed).__name__)
def test_a_killed_worker_is_a_dead_worker(killed: RayError) -> None:
    with pytest.raises(RuntimeError, match="unexpected exception"):
        _heard(killed)  # without it a study would end here; once Tune knows better, the module can go
    with lost_workers_retried():
        for told in _heard(killed):
            assert isinstance(told, RayActorError)
    with pytest.raises(RuntimeError, match="unexpected exception"):
        _heard(killed)


def test_what_ray_said_is_kept() -> None:
    with lost_workers_retried():
        assert [str(told) for told in _heard(OutOfMemoryError("low on memory"))] == ["low on memory"] * 2


def test_other_faults_still_end_the_run() -> None:
    with lost_workers_retried(), pytest.raises(RuntimeError, match="unexpected exception"):
        _heard(ValueError("of our own"))
