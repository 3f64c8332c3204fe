"""Worker's side of the ledger: one trial's folder, which only its owner writes to."""

from __future__ import annotations

import io
import json
import secrets
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import torch

from ledger.storage import Folder, create_whole, delete, make, no_room, write_whole
from ledger.trial_files import read_json, read_result

PACKAGE, CARD = "package.safetensors", "card.md"
WEIGHTS = "weights.safetensors"
"""What a confirm trial on another collection leaves, for the trials that start from its network."""
MEASURED = "measured.json"
"""In a checkpoint's folder: what was measured of the best state, after the last step, until the result has it."""
WORKER = "worker.json"
"""Who runs the trial, and what became of those before since the driver began it."""
LOST = "the worker was lost: its process or machine died"
_ROOM_POLL_SECONDS = 2.0


class ReplacedError(RuntimeError):
    """Another worker has taken this trial over."""


class FolderNotVisibleError(RuntimeError):
    """This machine does not see the study's folder."""


def failure(config: dict[str, Any], error: str) -> dict[str, Any]:
    """The result of a trial that could not be run."""
    line = next(iter(error.splitlines()), "")
    return {"status": "failed", "error": line, "attempt": config.get("attempt", 1), "finished": now()}


def now() -> str:
    """The time by this machine's clock, as results carry it: ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class TrialFolder:
    """A trial's folder for the worker that owns it: checkpoints, errors, result.

    Args:
        folder: the trial's.
        owner: the token under which the driver began the trial.
        stopping: whether the trial is to end before its time; asked often.

    Attributes:
        name: ``<cell>/<i>``.
        trials: the folder of all the study's.
        attempt: counts from 1.

    Raises:
        FolderNotVisibleError: this machine does not see the study's folder.
        ReplacedError: the trial was begun anew since.
    """

    def __init__(self, folder: Folder, owner: str, stopping: Callable[[], bool] = lambda: False) -> None:
        self._folder, self._owner, self.stopping = folder, owner, stopping
        config = self._check_driver()
        self.name, self.trials = f"{folder.parent.name}/{folder.name}", folder.parent.parent
        self.attempt: int = config.get("attempt", 1)
        self._worker = self._new_worker()
        self._write_worker()

    def _new_worker(self) -> dict[str, Any]:
        """Content of ``worker.json`` for this worker, with the counts that it takes over from those before.

        ``lost`` counts workers in a row that died without getting any further. The last one did where it has not said
        that it ended, and checkpoint and measured rows are those with which it began.
        """
        before = read_json(self._folder / WORKER) or {"ended": True}
        step = max((int(path.stem) for path in self._checkpoints()), default=0)
        rows = len(self.measured().get("rows", ()))
        stood_still = (step, rows) == (before.get("step"), before.get("rows", rows))
        lost_in_vain = not before.get("ended") and stood_still
        return {
            "worker": secrets.token_hex(8),
            "host": socket.gethostname(),
            "step": step,
            "rows": rows,
            "lost": _count(before.get("lost")) + 1 if lost_in_vain else 0,
            "errors": _count(before.get("errors")),
            "error": before.get("error"),
        }

    def _write_worker(self) -> None:
        self._wait_for_room(lambda: write_whole(self._folder / WORKER, json.dumps(self._worker)))

    def _wait_for_room(self, write: Callable[[], None]) -> None:
        """Write; on a full disk, wait for room and try again: what was computed is not thrown away."""
        while True:
            try:
                return write()
            except OSError as error:
                if not no_room(error) or self.stopping():
                    raise
                time.sleep(_ROOM_POLL_SECONDS)
                self._check_driver()

    def _check_driver(self) -> dict[str, Any]:
        unseen = f"{socket.gethostname()} does not see the study's folder"
        try:
            config = read_json(self._folder / "config.json")
        except OSError as error:
            kind = type(error.__cause__ or error).__name__  # and no more: stores' messages may name anything
            raise FolderNotVisibleError(f"{unseen} ({kind})") from error
        if config is None:
            raise FolderNotVisibleError(unseen)
        if config.get("owner") != self._owner:
            raise ReplacedError(f"{self._folder.parent.name}/{self._folder.name} was begun anew")
        return config

    def _check_owner(self) -> None:
        self._check_driver()
        if (read_json(self._folder / WORKER) or {}).get("worker") != self._worker["worker"]:
            raise ReplacedError(f"{self.name} runs on another worker by now")

    @property
    def errors(self) -> int:
        """Times that the trial ended with an error, since the driver began it."""
        return int(self._worker["errors"])

    @property
    def lost(self) -> int:
        """Workers lost in a row (the process or its machine) before any wrote a checkpoint."""
        return int(self._worker["lost"])

    @property
    def finished(self) -> bool:
        """True once the trial has a result: a worker that was started again has nothing left to do."""
        return read_result(self._folder) is not None

    def save(self, name: str, content: bytes) -> None:
        """Write what the trial leaves beside its result: what would be shared, or a network that others start from.

        Raises:
            ReplacedError: another worker owns the trial now.
        """
        self._check_owner()
        self._wait_for_room(lambda: write_whole(self._folder / name, content))

    def save_checkpoint(self, step: int, state: dict[str, Any]) -> None:
        """Write the checkpoint of an outer step; the one before it stays, should this one be damaged.

        On a full disk, nothing is written, and a later one may be.

        Raises:
            ReplacedError: another worker owns the trial now.
        """
        self._check_owner()
        folder = self._folder / "checkpoint"
        make(folder)
        content = io.BytesIO()
        torch.save(state, content)
        try:
            write_whole(folder / f"{step:09}.pt", content.getvalue())
        except OSError as error:
            if not no_room(error):
                raise
            return
        for older in [path for path in self._checkpoints() if int(path.stem) < step][1:]:
            older.unlink(missing_ok=True)

    def _checkpoints(self) -> list[Folder]:
        """Latest first. Of a worker that was replaced, one may be among them: it is as good as its successor's."""
        folder = self._folder / "checkpoint"
        if not folder.is_dir():
            return []
        found = [path for path in folder.iterdir() if path.suffix == ".pt" and path.stem.isdecimal()]
        return sorted(found, key=lambda path: path.name, reverse=True)

    def load_checkpoint(self, device: torch.device) -> dict[str, Any] | None:
        """The last whole checkpoint, or None.

        Raises:
            OSError: a file cannot be read just now, which is no reason to begin anew.
            MemoryError, OutOfMemoryError: it does not fit.
        """
        for path in self._checkpoints():
            try:
                content = io.BytesIO(path.read_bytes())
            except FileNotFoundError:  # a worker that was replaced has dropped it
                continue
            try:
                state: dict[str, Any] = torch.load(content, map_location=device, weights_only=True)
            except (MemoryError, torch.OutOfMemoryError):
                raise
            except Exception:  # cut by something stronger than us: what torch makes of that depends on where
                continue
            return state
        return None

    def save_measured(self, content: dict[str, Any]) -> None:
        """Keep what was measured so far of the best state: ``rows``, and what they took.

        Raises:
            ReplacedError: another worker owns the trial now.
        """
        self._check_owner()
        make(self._folder / "checkpoint")
        self._wait_for_room(lambda: write_whole(self._folder / "checkpoint" / MEASURED, json.dumps(content)))

    def measured(self) -> dict[str, Any]:
        """What ``save_measured`` kept; empty where there is nothing."""
        return read_json(self._folder / "checkpoint" / MEASURED) or {}

    def note_error(self, error: str) -> None:
        """Keep the reason for whoever tries next, and for the driver should there be no next."""
        self._check_owner()
        self._worker |= {"errors": self.errors + 1, "error": error, "ended": True}
        self._write_worker()

    def finish(self, result: dict[str, Any], *, keep_checkpoint: bool = False) -> None:
        """Write the result, then drop the checkpoint, unless it is kept for a trial that may be taken up again.

        Raises:
            ReplacedError: another worker owns the trial now.
        """
        self._check_owner()
        # On one line: votes and curves are lists of numbers, and a line for each made the file three times as long.
        path, content = self._folder / "result.json", json.dumps(result)

        def create() -> None:
            if create_whole(path, content):
                return
            if self.finished:
                raise ReplacedError(f"{self.name} was finished by another worker")
            write_whole(path, content)  # what was there is damaged

        self._wait_for_room(create)
        if not keep_checkpoint:
            delete(self._folder / "checkpoint")
        (self._folder / WORKER).unlink(missing_ok=True)


def _count(value: Any) -> int:
    """A count as a file has it; 0 where that is damaged."""
    return value if isinstance(value, int) and 0 <= value < 1_000_000 else 0
