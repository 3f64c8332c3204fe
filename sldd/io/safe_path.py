"""Path checks: a table may name files in its own folder, and nowhere else.

A table is text, and may come from elsewhere: it is not to say which files of this machine are opened. What leads out of
the folder as text (an absolute path, ``..``) is refused everywhere. Symbolic links are made by whoever owns the folder;
a study's owner may well lay links there, to films that are mounted elsewhere, and they are followed. A folder that was
received (``python -m sldd.package apply``) may hold the sender's links, and those that lead out of it are not.

A file is looked for under the name that the table has; where there is none, with the backslashes of Windows as slashes,
and with accents composed or decomposed (macOS writes them apart, most other programs together).
"""

from __future__ import annotations

import unicodedata
from pathlib import Path, PurePath, PureWindowsPath

from sldd.errors import InputError


def inside(folder: Path, name: str, where: str) -> Path:
    """The file that a cell names, within ``folder``, whether it is there or not.

    Args:
        where: the cell's line, as messages call it.

    Raises:
        InputError: it lies outside, or the cell is no file name.
    """
    slashes = name.replace("\\", "/")
    leads = any(PurePath(path).is_absolute() or ".." in PurePath(path).parts for path in (name, slashes))
    if leads or PureWindowsPath(name).is_absolute():
        raise InputError(f"{where}: the path leads out of the table's folder; write it relative to that, without '..'")
    if not name.isprintable():
        raise InputError(f"{where}: the path holds characters that no file name should; correct it")
    if not slashes.isascii() or slashes != name:
        for spelled in (name, slashes, *(unicodedata.normalize(form, slashes) for form in ("NFC", "NFD"))):
            if _there(folder / spelled):
                return folder / spelled
    return folder / slashes


def _there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a folder that may not be searched, a name that is too long
        return False


def linked_outside(folder: Path, path: Path) -> bool:
    """Whether a path in ``folder`` is, or goes through, a symbolic link that leads out of it."""
    try:
        return not path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # links in a circle
        return True
