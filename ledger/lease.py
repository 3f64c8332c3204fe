"""Lease that keeps a study to one driver: a file on a disk or object store that its holder renews.

No file lock: those of network file systems differ, and object stores have none. No clock is compared with another
machine's either: a lease is dead when whoever wants it has watched it unchanged for ``EXPIRY`` seconds, or when its
holder was a process of this machine that is no more. Clones and containers share a host's name, so this machine is the
one of the same boot that sees the same processes. A driver that finds another's name in its lease has been taken for
dead, by a machine that could not see it renew: it stops. So does one that has not seen its own name for as long: nobody
can know whose the study is by then. A read or write that fails is tried again until then.
"""

from __future__ import annotations

import json
import secrets
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from ledger.storage import Folder, create_whole, no_room, read_whole, store_errors, write_whole
from ledger.trial_files import parsed, read_json
from sldd.errors import InputError

RENEWAL = 5.0
"""Seconds between renewals."""
EXPIRY = 30.0
"""Seconds without one after which a holder on another machine is taken for dead."""
_BOOT, _PROCESSES = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
_SETTLING = 0.5  # of two that take a dead lease over at once, the later writes over the earlier by then


@dataclass
class Lease:
    """A study's lease, held from ``take`` to ``release``.

    Args:
        path: the file; its folder exists.
        say: told, in words, why ``take`` waits.
    """

    path: Folder
    say: Callable[[str], None] = lambda _: None
    lost: bool = False
    """Whether another driver has taken it over, or may have: it could not be read for ``EXPIRY`` seconds."""
    full: bool = False
    """Whether the last renewal found no room on the disk."""
    token: str = field(default_factory=lambda: secrets.token_hex(8), init=False)
    """Of this holder, and of no other."""
    _renewals: int = 0
    _ended: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def take(self) -> None:
        """Take the lease, at once or after its last holder proved dead, and keep renewing it.

        Raises:
            InputError: another driver holds it; the message names its process and machine.
        """
        if not create_whole(self.path, self._content()):
            self._await_death()
            write_whole(self.path, self._content())
            time.sleep(_SETTLING)
            self._check()
        self._thread = threading.Thread(target=self._keep, daemon=True, name="lease")
        self._thread.start()

    def release(self) -> None:
        """Let go, unless another driver has the lease by now."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        with suppress(OSError), store_errors():
            if (read_json(self.path) or {}).get("token") == self.token:
                self.path.unlink(missing_ok=True)

    def _content(self) -> str:
        self._renewals += 1
        process = psutil.Process()
        return json.dumps(
            {
                "token": self.token,
                "process": process.pid,
                "since": process.create_time(),
                **_here(),
                "renewals": self._renewals,
            }
        )

    def _await_death(self) -> None:
        """Return once the holder is dead; InputError as soon as it shows to be alive."""
        first = last = read_json(self.path)
        waited = 0.0
        while last is not None and (here := lives_here(last)) is not False:
            if here or last != first:
                raise InputError(f"{self.path.parent} is being run by {_name(last)}; wait for it or stop it")
            if waited == 0:
                self.say(f"{self.path.parent} was run by {_name(last)}; seeing for {EXPIRY:.0f} s whether it still is")
            if waited >= EXPIRY:
                return
            time.sleep(0.25)
            waited += 0.25
            last = read_json(self.path)

    def _check(self) -> None:
        holder = read_json(self.path) or {}
        if holder.get("token") != self.token:
            raise InputError(f"{self.path.parent} is being run by {_name(holder)}; wait for it or stop it")

    def _keep(self) -> None:
        seen = time.monotonic()
        while not self.lost and not self._ended.wait(RENEWAL):
            try:
                holder = parsed(read_whole(self.path))
                if holder is not None and holder.get("token") != self.token:
                    self.lost = True
                    return
                seen = time.monotonic()  # even where the disk is full: nobody else has it
                write_whole(self.path, self._content())
                self.full = False
            except FileNotFoundError:  # whoever took it over has let it go
                self.lost = True
            except Exception as error:  # of whatever kind: a thread that ended would leave nobody to tell
                self.full = no_room(error)
                self.lost = time.monotonic() - seen >= EXPIRY


def _here() -> dict[str, str]:
    """What tells this machine from others of its name: the system's boot, and whose processes a container sees."""
    here = {"host": socket.gethostname()}
    with suppress(OSError):  # these are Linux's
        here["boot"] = _BOOT.read_text().strip()
        here["namespace"] = str(_PROCESSES.readlink())
    return here


def lives_here(holder: dict[str, Any]) -> bool | None:
    """Whether the holder's process lives, where it is one of this machine; None where that cannot be told."""
    here = _here()
    said = {name: holder[name] for name in ("boot", "namespace") if name in holder}  # a lease of old says neither
    if holder.get("host") != here["host"] or not said.items() <= here.items():
        return None
    try:
        process = psutil.Process(int(holder["process"]))
        same = abs(process.create_time() - float(holder["since"])) < 1  # not another one under its number
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except (KeyError, TypeError, ValueError, OverflowError, psutil.Error):
        return None


def _name(holder: dict[str, Any]) -> str:
    if "process" not in holder:
        return "another process"
    return f"process {holder['process']} on {holder.get('host')}"
