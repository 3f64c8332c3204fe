"""Driver's side of the ledger: a study's trials on disk, whatever Ray, the driver or a worker remembers.

    <study>/.lock                          whose driver runs it (``ledger.lease``)
    <study>/study.yaml                     configuration, provenance, cells
    <study>/pseudonyms.key                 the study's own key; patients cannot be named without it: never share it
    <study>/prior.json                     what another study found, where this one began with it (``search.prior``)
    <study>/landscape.json                 what the model of all cells expects of rates (``search.sampler=shared``)
    <study>/trials/<cell>/<i>/config.json  written before the trial starts
                              checkpoint/  while it runs
                              result.json  last: a trial with a result is finished and never runs again, but for one
                                           that waits at a rung (``take_up``)
                              package.safetensors
    <study>/superseded/<cell>/<i>          trials that a longer search has overtaken: their setting, or their start

Every file appears whole or not at all (``ledger.storage``). Each time a driver begins a trial, and each time a worker
starts on it, a new token is written; a worker that finds another token than its own has been replaced and writes
nothing more. What it may have begun to write at that moment does no harm: a result is created, never replaced, and
the checkpoint of the most steps is the one that counts.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ledger import safe_yaml
from ledger.lease import Lease
from ledger.storage import Folder, create_whole, make, move, read_whole, store_errors, write_whole
from ledger.trial import Trial
from ledger.trial_files import MOVED, read_json, read_result, read_trials
from ledger.trial_folder import LOST, WORKER, failure
from sldd.errors import InputError

FORMAT = 2
KEY = "pseudonyms.key"


@dataclass
class Ledger:
    """A study's folder, held by one driver at a time."""

    folder: Folder
    trials: dict[str, list[Trial]] = field(default_factory=dict)
    _lease: Lease | None = None
    _superseded: dict[str, int] = field(default_factory=dict)
    """By cell, the largest index of a trial that was moved aside: a trial's name is never given to another."""

    @property
    def header_path(self) -> Folder:
        return self.folder / "study.yaml"

    @property
    def stop_path(self) -> Folder:
        """File that tells this driver's workers to write a checkpoint and stop.

        Its name is this driver's own: workers of one that takes the study over go on.
        """
        return self.folder / (".stop" if self._lease is None else f".stop-{self._lease.token}")

    def header(self) -> dict[str, Any] | None:
        """The content of ``study.yaml``; None for a study that was never started.

        Raises:
            InputError: the folder holds something else.
        """
        try:
            with store_errors():
                there = self.header_path.is_file()
                # A dot file is ours: the lock of a driver that was killed before it began.
                foreign = (
                    not there
                    and self.folder.is_dir()
                    and any(not path.name.startswith(".") for path in self.folder.iterdir())
                )
            if foreign:
                raise InputError(f"{self.folder} is not empty and holds no study; choose another --out or name")
            if not there:
                return None
            header = safe_yaml.load(read_whole(self.header_path).decode())
        except OSError as error:
            raise InputError(f"cannot read {self.folder} ({error.strerror or error}); choose another --out") from None
        except (yaml.YAMLError, UnicodeDecodeError):
            header = None
        known = isinstance(header, dict) and header.get("format") == FORMAT
        if not known or not {"config", "provenance"} <= header.keys():
            raise InputError(f"{self.header_path}: not a study of this version; choose another --out or name")
        return header

    def hold(self, say: Callable[[str], None] = lambda _: None) -> None:
        """Take the study for this driver.

        Args:
            say: told why it takes a while, where it does.

        Raises:
            InputError: the folder cannot be written, or another driver holds the study.
        """
        lease = Lease(self.folder / ".lock", say)
        try:
            make(self.folder)
            lease.take()
            for path in [path for path in self.folder.iterdir() if path.name.startswith(".stop")]:
                path.unlink(missing_ok=True)  # of a driver that was killed
        except OSError as error:
            reason = error.strerror or error
            raise InputError(f"cannot write to {self.folder} ({reason}); choose another --out") from None
        self._lease = lease

    def start(self, header: dict[str, Any]) -> None:
        """Write the study's header and read its trials."""
        write_whole(self.header_path, yaml.safe_dump(header, sort_keys=False, width=120))
        self._scan()

    def finish(self, at: str) -> None:
        """Write into the header when the study's last trial had ended; the next start takes it out again.

        Only who ran the searches knows that no trial is left: where image counts are searched, files do not tell. Where
        it cannot be written just now, the study only looks unfinished.
        """
        with suppress(OSError), store_errors():
            header = safe_yaml.load(read_whole(self.header_path).decode())
            header["provenance"]["finished"] = at
            write_whole(self.header_path, yaml.safe_dump(header, sort_keys=False, width=120))

    def close(self) -> None:
        """Let go of the study; one that never started leaves nothing."""
        if self._lease is None:
            return
        self.stop_path.unlink(missing_ok=True)
        self._lease.release()
        self._lease = None
        if isinstance(self.folder, Path):  # an object store has no empty folders
            with suppress(OSError):  # a study that was started is not empty
                self.folder.rmdir()

    def _scan(self) -> None:
        self.trials = {}
        for found in read_trials(self.folder):
            trial = Trial.read(self.folder, found)
            self.trials.setdefault(trial.cell, []).append(trial)
        for trials in self.trials.values():
            trials.sort(key=lambda trial: trial.index)
        aside = self.folder / "superseded"
        for cell in aside.iterdir() if aside.is_dir() else ():  # a person may have put anything there
            named = [MOVED.fullmatch(path.name) for path in (cell.iterdir() if cell.is_dir() else ())]
            self._superseded[cell.name] = max((int(each[1]) for each in named if each), default=-1)

    def begun(self) -> set[str]:
        """Names of the cells that have trials, without reading any."""
        folder = self.folder / "trials"
        return {path.name for path in folder.iterdir()} if folder.is_dir() else set()

    @property
    def lost(self) -> bool:
        """True once a driver on another machine has taken this one for dead and the study over, or may have."""
        return self._lease is not None and self._lease.lost

    @property
    def full(self) -> bool:
        """True while the study's disk has no room left."""
        return self._lease is not None and self._lease.full

    def of(self, cell: str, phase: str) -> list[Trial]:
        """A cell's trials of a phase, oldest first."""
        return [trial for trial in self.trials.get(cell, []) if trial.phase == phase]

    def begin(self, trial: Trial) -> Trial:
        """Write a trial's configuration, under a new owner, before it starts; a failed one counts a new attempt.

        A worker of a driver that was killed may have finished the trial meanwhile: it is then settled, and not begun.

        Raises:
            InputError: a new trial's place is taken by one that this driver did not find when it read the study.
        """
        failed = trial.status == "failed"
        config = trial.config | {
            "attempt": trial.config.get("attempt", 1) + (1 if failed else 0),
            "owner": secrets.token_hex(8),
        }
        make(trial.folder)
        path, content = trial.folder / "config.json", json.dumps(config, indent=1)
        if "owner" in trial.config:
            write_whole(path, content)  # from here on, no earlier worker writes
        elif not create_whole(path, content) and (read_json(path) or {}).get("owner") != config["owner"]:
            raise InputError(f"{trial.folder} holds a trial that cannot be read; move it elsewhere, and run again")
        trial.config = config
        self.refresh(trial)
        if not trial.settled:
            trial.result = None
            for leftover in ("result.json", WORKER):
                (trial.folder / leftover).unlink(missing_ok=True)
        return trial

    def add(self, cell: str, config: dict[str, Any]) -> Trial:
        """A new trial of a cell, with the next free index; nothing is written before ``begin``.

        Its configuration is what its file will say: a tuple is a list before a resume too.
        """
        config = json.loads(json.dumps(config))
        trials = self.trials.setdefault(cell, [])
        index = max([self._superseded.get(cell, -1), *(trial.index for trial in trials)]) + 1
        folder = self.folder / "trials" / cell / str(index)
        trial = Trial(folder, {"trial": f"{cell}/{index}", "cell": cell, "index": index, **config})
        trials.append(trial)
        return trial

    def refresh(self, trial: Trial) -> None:
        """Read a trial's result, if there is one by now."""
        trial.result = read_result(trial.folder)

    def fail(self, trial: Trial, error: str | None = None) -> None:
        """Record that a trial could not be run, with the reason given, or that its worker left."""
        config = read_json(trial.folder / "config.json")
        if config is None or config.get("owner") != trial.config["owner"]:
            return  # another driver's by now
        worker = read_json(trial.folder / WORKER) or {}
        error = error or worker.get("error") or LOST
        create_whole(trial.folder / "result.json", json.dumps(failure(trial.config, error)))
        self.refresh(trial)

    def note_spent(self, trial: Trial, seconds: float) -> None:
        """Write into a trial's configuration what it has taken so far, where no result says so."""
        path = trial.folder / "config.json"
        config = read_json(path)
        if config is not None and config.get("owner") == trial.config["owner"]:
            trial.config = trial.config | {"spent": seconds}
            write_whole(path, json.dumps(trial.config, indent=1))

    def take_up(self, trial: Trial, scores: Sequence[float]) -> None:
        """Let a trial that waits at a rung go on from its checkpoint: its result until then is removed.

        The configuration, with the scores, is written first. A driver that is killed between the two still finds the
        trial at its rung, and decides the same.

        Args:
            scores: its scores by this rung and by each before.
        """
        trial.config = trial.config | {"taken_up": list(scores)}
        write_whole(trial.folder / "config.json", json.dumps(trial.config, indent=1))
        (trial.folder / "result.json").unlink(missing_ok=True)
        trial.result = None

    def supersede(self, trial: Trial) -> None:
        """Move a trial aside that a longer search has overtaken: its setting, or the network that it started from."""
        target = self.folder / "superseded" / trial.cell / f"{trial.index}-{secrets.token_hex(2)}"
        move(trial.folder, target)
        self.trials[trial.cell].remove(trial)
        self._superseded[trial.cell] = max(trial.index, self._superseded.get(trial.cell, -1))

    @property
    def has_key(self) -> bool:
        """Whether the key of the pseudonyms is there."""
        return (self.folder / KEY).is_file()

    def write_key(self, key: str) -> None:
        """Write the key of the pseudonyms, for its owner alone."""
        write_whole(self.folder / KEY, key, mode=0o600)

    def check_key(self) -> None:
        """Raise an InputError where there are trials and no key, as in a study that came without it."""
        if not self.has_key and self.begun():
            raise InputError(
                f"{self.folder / KEY} is missing: patients of new trials would go by other names than in the trials "
                "that are there; put the key back, or give this study another name (name=...)"
            )

    def pseudonyms(self, patient_ids: Sequence[str], key: str | None = None) -> list[str]:
        """``P-3f9a12bc04``-like names, one a patient: a keyed hash, under the study's key unless another is given.

        Raises:
            InputError: as ``check_key``.
        """
        if key is None and not self.has_key:
            self.check_key()
            self.write_key(secrets.token_hex(32))
        used = read_whole(self.folder / KEY) if key is None else key.encode()
        return ["P-" + hmac.new(used, patient.encode(), hashlib.sha256).hexdigest()[:10] for patient in patient_ids]

    def named_patients(self) -> set[str]:
        """Pseudonyms of the study's own patients in one trial that has scores; none while no trial has.

        Collections that networks are trained on first do not count: one may be missing when a study goes on.
        """
        for cell in (self.folder / "trials" / name for name in sorted(self.begun())):
            for trial in cell.iterdir() if cell.is_dir() else ():
                scores = (read_result(trial) or {}).get("validation") or {}
                rows = scores.get("patients") or scores.get("films")
                if rows and not (read_json(trial / "config.json") or {}).get("stage"):
                    return {row["patient"] for row in rows}
        return set()
