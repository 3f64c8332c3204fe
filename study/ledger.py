"""The truth on disk. A study is what its ledger says, whatever Ray, the driver or a worker remembers.

    <study>/study.yaml                     configuration, provenance, cells
    <study>/pseudonyms.key                 the study's own key; patients cannot be named without it: never share it
    <study>/trials/<cell>/<i>/config.json  written before the trial starts
                              checkpoint/  while it runs
                              result.json  last: a trial with a result is finished and never runs again
                              package.safetensors
    <study>/superseded/<cell>/<i>          confirm trials of a setting that a longer search has overtaken

Every file appears whole or not at all (temporary file, then ``os.replace``). Each time a driver begins a trial, and
each time a worker starts on it, a new token is written; a worker that finds another token than its own has been
replaced and writes nothing more.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import os
import secrets
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import yaml

from sldd.errors import InputError
from study.trial_folder import read_json, write_atomically, write_json

FORMAT = 2


@dataclass
class Trial:
    """One trial of the ledger: what it was asked (``config``) and, once finished, what came out (``result``)."""

    folder: Path
    config: dict[str, Any]
    result: dict[str, Any] | None = None

    @property
    def cell(self) -> str:
        return str(self.config["cell"])

    @property
    def index(self) -> int:
        return int(self.config["index"])

    @property
    def status(self) -> str:
        return "running" if self.result is None else str(self.result["status"])

    @property
    def settled(self) -> bool:
        """True where the same command must not run it again; a failed trial may be tried again."""
        return self.status in ("done", "diverged")


@dataclass
class Ledger:
    """A study's folder, held by one driver at a time."""

    folder: Path
    trials: dict[str, list[Trial]] = field(default_factory=dict)
    _lock: IO[str] | None = None

    @property
    def header_path(self) -> Path:
        return self.folder / "study.yaml"

    @property
    def stop_path(self) -> Path:
        """Workers that see this file checkpoint and stop."""
        return self.folder / ".stop"

    def header(self) -> dict[str, Any] | None:
        """The content of ``study.yaml``; None for a study that was never started.

        Raises:
            InputError: the folder holds something else.
        """
        try:
            if not self.header_path.is_file():
                # A dot file is ours: the lock of a driver that was killed before it began.
                if self.folder.is_dir() and any(not path.name.startswith(".") for path in self.folder.iterdir()):
                    raise InputError(f"{self.folder} is not empty and holds no study; choose another --out or name")
                return None
            header = yaml.safe_load(self.header_path.read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(f"cannot read {self.folder} ({error.strerror}); choose another --out") from None
        except (yaml.YAMLError, UnicodeDecodeError):
            header = None
        known = isinstance(header, dict) and header.get("format") == FORMAT
        if not known or not {"config", "provenance"} <= header.keys():
            raise InputError(f"{self.header_path}: not a study of this version; choose another --out or name")
        return header

    def hold(self) -> None:
        """Take the study for this driver.

        Raises:
            InputError: the folder cannot be written, or another driver holds the study.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = (self.folder / ".lock").open("a+")
        except OSError as error:
            raise InputError(f"cannot write to {self.folder} ({error.strerror}); choose another --out") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.seek(0)
            holder = self._lock.read().strip() or "another process"
            self._lock.close()
            raise InputError(f"{self.folder} is being run by {holder}; wait for it or stop it") from None
        if not os.path.samestat(os.fstat(self._lock.fileno()), (self.folder / ".lock").stat()):
            self._lock.close()
            raise InputError(f"{self.folder} was let go of by another process this moment; try again")
        self._lock.truncate(0)
        self._lock.write(f"process {os.getpid()} on {socket.gethostname()}")
        self._lock.flush()
        self.stop_path.unlink(missing_ok=True)

    def start(self, header: dict[str, Any]) -> None:
        """Write the study's header and read its trials."""
        write_atomically(self.header_path, yaml.safe_dump(header, sort_keys=False, width=120).encode())
        self._scan()

    def close(self) -> None:
        """Let go of the study; one that never started leaves nothing."""
        self.stop_path.unlink(missing_ok=True)
        if self._lock is not None:
            (self.folder / ".lock").unlink(missing_ok=True)
            self._lock.close()
            self._lock = None
            with suppress(OSError):  # a study that was started is not empty
                self.folder.rmdir()

    def _scan(self) -> None:
        self.trials = {}
        for path in sorted(self.folder.glob("trials/*/*/config.json")):
            config = read_json(path)
            if config is not None and path.parent.name.isdecimal():
                trial = Trial(path.parent, config, read_json(path.parent / "result.json"))
                self.trials.setdefault(trial.cell, []).append(trial)
        for trials in self.trials.values():
            trials.sort(key=lambda trial: trial.index)

    def of(self, cell: str, phase: str) -> list[Trial]:
        """A cell's trials of a phase, oldest first."""
        return [trial for trial in self.trials.get(cell, []) if trial.config["phase"] == phase]

    def begin(self, trial: Trial) -> Trial:
        """Write a trial's configuration, under a new owner, before it starts; a failed one counts a new attempt.

        A worker of a driver that was killed may have finished the trial meanwhile: it is then settled, and not begun.
        """
        failed = trial.status == "failed"
        config = trial.config | {
            "attempt": trial.config.get("attempt", 1) + (1 if failed else 0),
            "owner": secrets.token_hex(8),
        }
        trial.folder.mkdir(parents=True, exist_ok=True)
        write_json(trial.folder / "config.json", config)  # from here on, no earlier worker writes
        trial.config = config
        self.refresh(trial)
        if not trial.settled:
            trial.result = None
            for leftover in ("result.json", "error.txt"):
                (trial.folder / leftover).unlink(missing_ok=True)
        return trial

    def add(self, cell: str, config: dict[str, Any]) -> Trial:
        """A new trial of a cell, with the next free index; nothing is written before ``begin``."""
        trials = self.trials.setdefault(cell, [])
        index = max((trial.index for trial in trials), default=-1) + 1
        folder = self.folder / "trials" / cell / str(index)
        trial = Trial(folder, {"trial": f"{cell}/{index}", "cell": cell, "index": index, **config})
        trials.append(trial)
        return trial

    def refresh(self, trial: Trial) -> None:
        """Read a trial's result, if there is one by now."""
        trial.result = read_json(trial.folder / "result.json")

    def fail(self, trial: Trial) -> None:
        """Record that a trial could not be run, with the reason its worker left."""
        config = read_json(trial.folder / "config.json")
        if config is None or config.get("owner") != trial.config["owner"]:
            return  # another driver's by now
        note = trial.folder / "error.txt"
        error = note.read_text() if note.is_file() else "the worker was lost: its process or machine died"
        line = next(iter(error.splitlines()), "")
        write_json(trial.folder / "result.json", {"status": "failed", "error": line, **_attempt(trial)})
        self.refresh(trial)

    def note_spent(self, trial: Trial, seconds: float) -> None:
        """Write into a trial's configuration what it has taken so far, where no result says so."""
        path = trial.folder / "config.json"
        config = read_json(path)
        if config is not None and config.get("owner") == trial.config["owner"]:
            trial.config = trial.config | {"spent": seconds}
            write_json(path, trial.config)

    def supersede(self, trial: Trial) -> None:
        """Move a confirm trial aside whose setting is no longer the cell's best."""
        target = self.folder / "superseded" / trial.cell / f"{trial.index}-{secrets.token_hex(2)}"
        target.parent.mkdir(parents=True, exist_ok=True)
        trial.folder.rename(target)
        self.trials[trial.cell].remove(trial)

    def pseudonyms(self, patient_ids: Sequence[str]) -> list[str]:
        """``P-3f9a12bc04``-like names, one a patient: a keyed hash under a key that only this study's folder has."""
        path = self.folder / "pseudonyms.key"
        if not path.is_file():
            write_atomically(path, secrets.token_hex(32).encode(), mode=0o600)
        key = path.read_bytes()
        return ["P-" + hmac.new(key, patient.encode(), hashlib.sha256).hexdigest()[:10] for patient in patient_ids]


def _attempt(trial: Trial) -> dict[str, Any]:
    return {"attempt": trial.config.get("attempt", 1)}
