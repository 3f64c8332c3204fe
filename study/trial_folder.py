"""The worker's side of the ledger: one trial's folder, written to by its owner alone."""

from __future__ import annotations

import io
import json
import pickle
import secrets
import socket
from typing import Any

import torch

from analysis.storage import Folder, create_whole, delete, make, write_whole
from analysis.trials import read_json, read_result
from sldd.errors import InputError


class ReplacedError(RuntimeError):
    """Another worker has taken this trial over."""


class TrialFolder:
    """What a worker sees of the ledger: its own trial's folder, as long as it owns it.

    Args:
        folder: the trial's.
        owner: the token under which the driver began the trial.

    Raises:
        InputError: this machine does not see the study's folder.
        ReplacedError: the trial was begun anew since.
    """

    def __init__(self, folder: Folder, owner: str) -> None:
        self._folder, self._owner = folder, owner
        self._worker = secrets.token_hex(8)
        if not (folder / "config.json").is_file():
            raise InputError(
                f"{socket.gethostname()} does not see {folder}; --out must be a folder that all machines share"
            )
        self._check_driver()
        write_whole(folder / "worker", self._worker)

    def _check_driver(self) -> None:
        config = read_json(self._folder / "config.json")
        if config is None or config.get("owner") != self._owner:
            raise ReplacedError(f"{self._folder.parent.name}/{self._folder.name} was begun anew")

    def _check_owner(self) -> None:
        self._check_driver()
        if (self._folder / "worker").read_text() != self._worker:
            raise ReplacedError(f"{self._folder.parent.name}/{self._folder.name} runs on another worker by now")

    @property
    def finished(self) -> bool:
        """True once the trial has a result: a worker that was started again has nothing left to do."""
        return read_result(self._folder) is not None

    def save_package(self, content: bytes) -> None:
        """Write what would be shared.

        Raises:
            ReplacedError: another worker owns the trial now.
        """
        self._check_owner()
        write_whole(self._folder / "package.safetensors", content)

    def save_checkpoint(self, step: int, state: dict[str, Any]) -> None:
        """Write the checkpoint of an outer step; the one before it stays, should this one be damaged.

        Raises:
            ReplacedError: another worker owns the trial now.
        """
        self._check_owner()
        folder = self._folder / "checkpoint"
        make(folder)
        content = io.BytesIO()
        torch.save(state, content)
        write_whole(folder / f"{step:09}.pt", content.getvalue())
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
        """The last whole checkpoint, or None."""
        for path in self._checkpoints():
            try:
                content = io.BytesIO(path.read_bytes())
                state: dict[str, Any] = torch.load(content, map_location=device, weights_only=True)
            except (OSError, RuntimeError, EOFError, pickle.UnpicklingError):
                continue  # cut by something stronger than us
            return state
        return None

    def note_error(self, error: str) -> None:
        """Leave the reason for the driver, should this have been the last try."""
        self._check_owner()
        write_whole(self._folder / "error.txt", error)

    def finish(self, result: dict[str, Any]) -> None:
        """Write the result, then drop the checkpoint.

        Raises:
            ReplacedError: another worker owns the trial now.
        """
        self._check_owner()
        if not create_whole(self._folder / "result.json", json.dumps(result, indent=1)):
            if self.finished:
                raise ReplacedError(f"{self._folder.parent.name}/{self._folder.name} was finished by another worker")
            write_whole(self._folder / "result.json", json.dumps(result, indent=1))  # what was there is damaged
        delete(self._folder / "checkpoint")
        for leftover in ("error.txt", "worker"):
            (self._folder / leftover).unlink(missing_ok=True)
