"""Where a table may point: into the folder that it lies in, and nowhere else.

A table is text, and may come from elsewhere: it is not to say which files of this machine are opened. What leads out of
the folder as text (an absolute path, ``..``) is refused everywhere. Symbolic links are made by whoever owns the folder;
a study's owner may well lay links there, to films that are mounted elsewhere, and they are followed. A folder that was
received (``python -m sldd.package apply``) may hold the sender's links, and those that lead out of it are not.
"""

from __future__ import annotations

from pathlib import Path, PurePath, PureWindowsPath

from sldd.errors import InputError


def inside(folder: Path, name: str, where: str) -> Path:
    """The file that a cell names, within ``folder``.

    Args:
        where: the cell's line, as messages call it.

    Raises:
        InputError: it lies outside, or the cell is no file name.
    """
    path = PurePath(name)
    if path.is_absolute() or PureWindowsPath(name).is_absolute() or ".." in path.parts:
        raise InputError(f"{where}: the path leads out of the table's folder; write it relative to that, without '..'")
    if not name.isprintable():
        raise InputError(f"{where}: the path holds characters that no file name should; correct it")
    return folder / path


def linked_outside(folder: Path, path: Path) -> bool:
    """Whether a path in ``folder`` is, or goes through, a symbolic link that leads out of it."""
    try:
        return not path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # links in a circle
        return True
