"""The worker's side of the ledger: one trial's folder, written to by its owner alone."""

from __future__ import annotations

import io
import json
import os
import pickle
import secrets
import shutil
import socket
from pathlib import Path
from typing import Any

import torch

from sldd.errors import InputError


class ReplacedError(RuntimeError):
    """Another worker has taken this trial over."""


def write_atomically(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Write a file that appears whole or not at all, and survives a power cut once written."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with open(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:  # noqa: PTH123
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write a JSON object, atomically."""
    write_atomically(path, json.dumps(value, indent=1).encode())


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON object; None where the file is missing or cut."""
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


class TrialFolder:
    """What a worker sees of the ledger: its own trial's folder, as long as it owns it.

    Args:
        folder: the trial's.
        owner: the token under which the driver began the trial.

    Raises:
        InputError: this machine does not see the study's folder.
        ReplacedError: the trial was begun anew since.
    """

    def __init__(self, folder: Path, owner: str) -> None:
        self._folder, self._owner = folder, owner
        self._worker = secrets.token_hex(8)
        if not (folder / "config.json").is_file():
            raise InputError(
                f"{socket.gethostname()} does not see {folder}; --out must be a folder that all machines share"
            )
        self._check_driver()
        write_atomically(folder / "worker", self._worker.encode())

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
        return read_json(self._folder / "result.json") is not None

    def package_path(self) -> Path:
        """Where the package goes.

        Raises:
            ReplacedError: another worker owns the trial now.
        """
        self._check_owner()
        return self._folder / "package.safetensors"

    def save_checkpoint(self, state: dict[str, Any]) -> None:
        """Replace the checkpoint.

        Raises:
            ReplacedError: another worker owns the trial now.
        """
        self._check_owner()
        folder = self._folder / "checkpoint"
        folder.mkdir(exist_ok=True)
        content = io.BytesIO()
        torch.save(state, content)
        write_atomically(folder / "state.pt", content.getvalue())

    def load_checkpoint(self, device: torch.device) -> dict[str, Any] | None:
        """The last whole checkpoint, or None."""
        try:
            path = self._folder / "checkpoint" / "state.pt"
            state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError):
            return None  # none yet, or cut by something stronger than us: begin again
        return state

    def note_error(self, error: str) -> None:
        """Leave the reason for the driver, should this have been the last try."""
        self._check_owner()
        write_atomically(self._folder / "error.txt", error.encode())

    def finish(self, result: dict[str, Any]) -> None:
        """Write the result, then drop the checkpoint.

        Raises:
            ReplacedError: another worker owns the trial now.
        """
        self._check_owner()
        write_json(self._folder / "result.json", result)
        shutil.rmtree(self._folder / "checkpoint", ignore_errors=True)
        for leftover in ("error.txt", "worker"):
            (self._folder / leftover).unlink(missing_ok=True)
