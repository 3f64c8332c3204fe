"""Storage of a study's files: a folder that every machine sees, or an object store (``s3://bucket/studies``).

A folder is a ``pathlib.Path``, anything else a ``UPath`` of the same methods, through fsspec. What the two do
differently is here: files that appear whole or not at all, files that only one of several writers creates, and reading
many at once, which on an object store must not take a round trip each.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias

from upath import UPath

Folder: TypeAlias = Path | UPath
_AT_ONCE = 512  # files that are read together from an object store
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


class StorageError(ValueError):
    """A place that cannot be used; the message is one line for the user."""


def is_url(where: str | Path | UPath) -> bool:
    """Whether this names an object store, not a folder."""
    return _URL.match(str(where)) is not None


def open_folder(where: str | Path | UPath) -> Folder:
    """A folder's absolute path, or an object store's.

    Raises:
        StorageError: the kind of store is unknown, or what speaks to it is not installed.
    """
    if not is_url(where) or str(where).startswith("file://"):
        return Path(str(where).removeprefix("file://")).expanduser().absolute()
    try:
        # Other machines write here: a listing that was kept would hide what they wrote.
        folder = UPath(str(where).rstrip("/"), use_listings_cache=False)
        folder.fs  # noqa: B018 - loads what speaks to this store
    except (ImportError, ValueError) as error:
        raise StorageError(f"{where}: {str(error).splitlines()[0]}") from None
    return folder


def reachable(folder: Folder) -> None:
    """Ask an object store whether it lets us in.

    Raises:
        StorageError: it does not, or cannot be reached.
    """
    if isinstance(folder, Path):
        return
    try:
        with store_errors():
            folder.fs.ls(folder.path)
    except FileNotFoundError:
        pass  # nothing there yet
    except OSError as error:
        raise StorageError(f"{folder}: {error.strerror or error}") from None


@contextmanager
def store_errors() -> Iterator[None]:
    """Raise as an OSError what a store raises: botocore and others have kinds of their own, callers know one."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise _as_os_error(error) from error


def _as_os_error(error: Exception) -> OSError:
    return error if isinstance(error, OSError) else OSError(errno.EIO, (str(error).splitlines() or [repr(error)])[0])


def read_whole(path: Folder) -> bytes:
    """A file's content.

    Raises:
        OSError: it is missing (FileNotFoundError), or cannot be read just now.
    """
    with store_errors():
        return path.read_bytes()


def make(folder: Folder) -> None:
    """Make a folder and those above it; an object store has none to make."""
    if isinstance(folder, Path):
        folder.mkdir(parents=True, exist_ok=True)


def write_whole(path: Folder, content: bytes | str, *, mode: int = 0o644) -> None:
    """Write a file that appears whole or not at all, and survives a power cut once written; text as UTF-8."""
    content = content.encode() if isinstance(content, str) else content
    if not isinstance(path, Path):
        with store_errors():
            path.write_bytes(content)  # one put, or one completed upload of parts
        return
    draft = _draft(path, content, mode)
    try:
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def create_whole(path: Folder, content: bytes | str) -> bool:
    """``write_whole``, unless the file exists; of several writers, one gets True."""
    content = content.encode() if isinstance(content, str) else content
    try:
        if not isinstance(path, Path):
            with store_errors():
                path.fs.pipe_file(path.path, content, mode="create")
            return True
        draft = _draft(path, content, 0o644)
        try:
            path.hardlink_to(draft)
        finally:
            draft.unlink(missing_ok=True)
    except FileExistsError:
        return False
    return True


def _draft(path: Path, content: bytes, mode: int) -> Path:
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:  # noqa: PTH123
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        draft.unlink(missing_ok=True)  # a full disk must not be filled by what did not fit
        raise
    return draft


def no_room(error: BaseException) -> bool:
    """Whether this says that a disk, or a user's share of it, is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def read_many(folder: Folder, pattern: re.Pattern[str]) -> Iterator[tuple[str, bytes]]:
    """The files below a folder whose path, from the folder and with ``/``, matches in full: path and content, sorted.

    What goes missing between listing and reading is left out.

    Raises:
        OSError: a file cannot be read just now; one that was left out would be taken for none.
    """
    if isinstance(folder, Path):
        for path in _walk(str(folder), ""):
            if pattern.fullmatch(path):
                # No Path object a file: a study has tens of thousands.
                with suppress(FileNotFoundError), open(f"{folder}/{path}", "rb") as file:  # noqa: PTH123
                    yield path, file.read()
        return
    base = folder.path.rstrip("/") + "/"
    try:
        with store_errors():
            listed = sorted(str(path) for path in folder.fs.find(folder.path))
    except FileNotFoundError:
        return
    wanted = [path for path in listed if pattern.fullmatch(path.removeprefix(base))]
    for first in range(0, len(wanted), _AT_ONCE):
        with store_errors():
            read = folder.fs.cat(wanted[first : first + _AT_ONCE], on_error="return")
        for path, content in sorted(read.items()):
            if isinstance(content, FileNotFoundError):
                continue
            if isinstance(content, Exception):
                raise _as_os_error(content)
            yield str(path).removeprefix(base), content


def listing(folder: Folder, pattern: re.Pattern[str]) -> dict[str, tuple[Any, ...]]:
    """Size and time of change of the files that ``read_many`` would read; equal where none of them has changed."""
    if isinstance(folder, Path):
        found = {}
        for path in _walk(str(folder), ""):
            if pattern.fullmatch(path):
                with suppress(FileNotFoundError):
                    stat = os.stat(f"{folder}/{path}")  # noqa: PTH116
                    found[path] = (stat.st_size, stat.st_mtime_ns, stat.st_ino)
        return found
    base = folder.path.rstrip("/") + "/"
    try:
        with store_errors():
            listed = folder.fs.find(folder.path, detail=True)
    except FileNotFoundError:
        return {}
    names = ("size", "ETag", "LastModified", "mtime", "updated")  # stores differ in how they tell a change
    known = {str(path).removeprefix(base): info for path, info in listed.items()}
    return {
        path: tuple(str(info.get(name)) for name in names) for path, info in known.items() if pattern.fullmatch(path)
    }


def _walk(folder: str, prefix: str) -> Iterator[str]:
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path, f"{prefix}{entry.name}/")
        else:
            yield prefix + entry.name


def delete(folder: Folder) -> None:
    """Remove a folder and all below it, if it is there."""
    if isinstance(folder, Path):
        shutil.rmtree(folder, ignore_errors=True)
        return
    with suppress(FileNotFoundError), store_errors():
        folder.fs.rm(folder.path, recursive=True)


def move(folder: Folder, target: Folder) -> None:
    """Give a folder another name; on an object store file by file, in an order that loses none."""
    if isinstance(folder, Path) and isinstance(target, Path):
        make(target.parent)
        folder.rename(target)
        return
    left = listing(folder, every := re.compile(".*"))
    for path, content in read_many(folder, every):
        write_whole(target / path, content)
        left.pop(path, None)
    if left:
        raise OSError(errno.EIO, f"{folder} was not moved: {next(iter(left))} could not be read")
    delete(folder)
