"""Atomic writes: each file appears whole or not at all, and never through a symbolic link."""

from __future__ import annotations

import os
from pathlib import Path

from sldd.errors import InputError


def check_output(path: Path, option: str = "--out") -> None:
    """Check before the work that its result can be written.

    Args:
        option: of the command that names the file.

    Raises:
        InputError: the folder is missing, or the path is taken by something that is no regular file.
    """
    if not path.parent.is_dir():
        raise InputError(f"{option} {path}: there is no folder {path.parent}")
    if path.is_symlink():
        raise InputError(f"{option} {path}: a symbolic link; name a file, so that nothing is written elsewhere")
    if path.exists() and not path.is_file():
        raise InputError(f"{option} {path}: not a file; name another")


def write_file(path: Path, content: bytes, *, mode: int = 0o644, option: str = "--out") -> None:
    """Write a file, in place of one of that name.

    Args:
        option: of the command that names the file.

    Raises:
        InputError: it cannot be written; nothing is left behind.
    """
    check_output(path, option)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        # O_EXCL: a link that someone laid there beforehand is not followed either.
        with open(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:  # noqa: PTH123
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    except FileExistsError:
        raise InputError(f"{option} {path}: {scratch.name} is in the way; remove it") from None
    except BaseException as error:
        scratch.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        raise InputError(f"{option} {path}: cannot be written ({error.strerror})") from None


def sync(folder: Path) -> None:
    """Have a folder's files on the disk, so that a power cut after it was renamed leaves none of them empty."""
    for path in folder.iterdir():
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
