"""A trial of the ledger, as a driver knows it: its configuration, and its result once there is one."""

from __future__ import annotations

import json
import zlib
from typing import Any

from ledger.storage import Folder
from ledger.trial_files import TrialFiles


class Trial:
    """One trial of the ledger: its configuration (``config``) and, once finished, its ``result``.

    A driver keeps the results of thousands: each lies in memory as compressed text, until it is asked for.
    """

    def __init__(self, folder: Folder, config: dict[str, Any], result: dict[str, Any] | None = None) -> None:
        self.folder, self.config = folder, config
        self.result = result

    @classmethod
    def read(cls, study: Folder, files: TrialFiles) -> Trial:
        """Trial from its files."""
        # Folder names, not what the file says of itself: they are what leads back to the files.
        config = files.config | {"cell": files.cell, "index": files.number}
        trial = cls(study / "trials" / files.cell / str(files.number), config)
        trial._keep(files.result, files.text)
        return trial

    @property
    def result(self) -> dict[str, Any] | None:
        """The result, read anew at every call; None while the trial is not finished."""
        if self._text is None:
            return None
        result: dict[str, Any] = json.loads(zlib.decompress(self._text))
        return result

    @result.setter
    def result(self, result: dict[str, Any] | None) -> None:
        self._keep(result, json.dumps(result).encode())

    def _keep(self, result: dict[str, Any] | None, text: bytes) -> None:
        self._text = None if result is None else zlib.compress(text, 1)
        self.status = "running" if result is None else str(result["status"])
        seconds = (result or {}).get("seconds")
        self.seconds: float | None = seconds if isinstance(seconds, int | float) else None

    @property
    def cell(self) -> str:
        return str(self.config["cell"])

    @property
    def index(self) -> int:
        return int(self.config["index"])

    @property
    def name(self) -> str:
        """``<cell>/<i>``."""
        return f"{self.cell}/{self.index}"

    @property
    def phase(self) -> str:
        """``search`` or ``confirm``."""
        return str(self.config.get("phase"))

    @property
    def spent(self) -> float:
        """Seconds that it had taken when a driver last ended without its result."""
        return float(self.config.get("spent", 0.0))

    @property
    def settled(self) -> bool:
        """True where the same command must not run it again; a failed trial may be tried again."""
        return self.status in ("done", "diverged")
