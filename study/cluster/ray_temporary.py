"""Ray's temporary folder on this machine; its path has to be short, since it holds sockets."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from sldd.errors import InputError

_MOST_BYTES = 103 if sys.platform == "darwin" else 107
"""The longest path that a Unix socket may have, in bytes."""
_BELOW = "session_2000-01-01_00-00-00_000000_{pid}/sockets/plasma_store"
"""The longest path that Ray makes below its folder."""


def temporary_folder() -> tuple[str | None, Path]:
    """The environment variable that says where Ray's folder is on this machine (None: none does), and that folder."""
    name = next((name for name in ("RAY_TMPDIR", "TMPDIR") if name in os.environ), None)
    return name, Path(os.environ[name] if name else "/tmp") / "ray"


def check_temporary() -> None:
    """Raise an InputError where Ray's folder cannot be written to, or its path leaves no room for that of a socket."""
    name, folder = temporary_folder()
    message = f"{name or 'RAY_TMPDIR'}: Ray keeps its sockets in {folder}"
    over = len(os.fsencode(folder / _BELOW.format(pid=os.getpid()))) - _MOST_BYTES
    if over > 0:
        raise InputError(
            f"{message}, a path that is {over} characters too long for them; choose a shorter one (RAY_TMPDIR)"
        )
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise InputError(f"{message}, which cannot be written to; choose another folder (RAY_TMPDIR)")
