"""One file of a study's records: its settings and every finished trial's results, for a paper or another machine.

    python -m study.export.archive pack results/demo demo.study.tar.xz
    python -m study.export.archive unpack demo.study.tar.xz --out results
    python -m analysis.dashboard results/demo                     # its page, made again

The file holds ``study.yaml``, ``config.json`` and ``result.json`` of trials that have ended, and what a search left
(``prior.json``, ``landscape.json``). It holds no radiograph, no checkpoint and no log; packages only with
``--packages``. It does not say where films and pretrained weights lie (``data.root``, ``pretrained``). Two files of
one study at one time are equal to the byte.

Patients stand in results under the study's pseudonyms. The key that makes them stays behind, so nobody who reads the
file can name a patient, or go on with the study. ``--key`` puts it in, for phantoms or for a place that has the
patients anyway: there ``python -m study.run`` goes on with the study where the file ends. A study with
``pseudonyms=cohort``, as of public data, needs none: whoever has the films can make it. The networks that chained cells
start from come where the study can go on.
"""

from __future__ import annotations

import argparse
import io
import lzma
import re
import shlex
import shutil
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import yaml

from analysis.records.records import NotAStudyError, Study, read_study
from ledger import safe_yaml
from ledger.ledger import KEY
from ledger.storage import Folder, listing, make, write_whole
from ledger.trial_files import ASIDE, LANDSCAPE, read_trials
from ledger.trial_folder import PACKAGE, WEIGHTS
from sldd.errors import InputError

_OF_STUDY = ("study.yaml", "prior.json", LANDSCAPE)
_LARGEST = 2 * 1024**3  # bytes of all files together: a result has a few ten thousand, a package a few million
_NAME = r"[^/\\]+"  # of a study or a cell; ``_is_record`` refuses what cannot be printed, and "." and ".."
_MEMBER = re.compile(
    rf"({_NAME})/(?:(?:{'|'.join(map(re.escape, (*_OF_STUDY, KEY)))})"
    rf"|trials/{_NAME}/[0-9]+/(?:config\.json|result\.json|{re.escape(PACKAGE)}|{re.escape(WEIGHTS)})"
    rf"|superseded/{_NAME}/[0-9]+-[0-9a-f]+/(?:config|result)\.json)"
)
"""Paths in the file that ``pack`` writes: below a folder of the study's name, as they are in the study's folder."""

_PLACE = re.compile(r"((?:data|sources\.\w+)\.(?:root|cache)|pretrained[^=]*)=.*", re.DOTALL)
"""An argument of ``study.run`` that says where films or pretrained weights lie."""


def pack(study: Study, file: Path, *, packages: bool = False, key: bool = False) -> int:
    """Write a study's records into a file; returns how many trials are in it.

    Args:
        packages: distilled images too.
        key: the key of its pseudonyms too.

    Raises:
        InputError: the file cannot be written or would be too large to be read again, or no trial has ended.
    """
    content, trials, size = io.BytesIO(), 0, 0
    goes_on = key or study.config.get("pseudonyms") == "cohort"
    with tarfile.open(fileobj=content, mode="w:xz", format=tarfile.PAX_FORMAT) as archive:
        for path in _files(study.folder, packages=packages, key=key, starts=goes_on):
            if path.startswith("trials/") and path.endswith("/result.json"):
                trials += 1
            found = (study.folder / path).read_bytes()
            if path == "study.yaml":
                found = _without_places(found.decode())
            size += len(found) + 2 * tarfile.BLOCKSIZE  # its header, and padding to a whole block
            if size > _LARGEST:
                raise InputError(
                    f"{study.folder}: more than {_LARGEST / 2**30:.0f} GiB, which one file cannot hold; leave out "
                    "--packages, or --key where cells start from each other"
                )
            _add(archive, f"{study.name}/{path}", found)
    if not trials:
        raise InputError(f"{study.folder}: no trial has ended, there is nothing to pack")
    try:
        write_whole(file, content.getvalue(), mode=0o600 if key else 0o644)
    except OSError as error:
        raise InputError(f"cannot write {file} ({error.strerror or error}); choose another file") from None
    return trials


def _files(folder: Folder, *, packages: bool, key: bool, starts: bool) -> Iterator[str]:
    """Paths of the files to pack, relative to the study's folder, in an order that only the study decides.

    Args:
        starts: networks that other trials start from, which only who goes on with the study needs.
    """
    for name in (*_OF_STUDY, KEY) if key else _OF_STUDY:
        if (folder / name).is_file():
            yield name
    ended = (trial for trial in read_trials(folder) if trial.result is not None)
    for trial in sorted(ended, key=lambda trial: (trial.cell, trial.number)):
        place = f"trials/{trial.cell}/{trial.number}"
        yield f"{place}/config.json"
        yield f"{place}/result.json"
        if packages and (folder / place / PACKAGE).is_file():
            yield f"{place}/{PACKAGE}"
        if starts and trial.config.get("stage") and (folder / place / WEIGHTS).is_file():
            yield f"{place}/{WEIGHTS}"
    for path in sorted(listing(folder / "superseded", ASIDE)):
        yield f"superseded/{path}"


def _without_places(described: str) -> bytes:
    """The content of ``study.yaml`` without the folders of films, of their cache, and of pretrained weights, which may
    be others elsewhere; weights are known by their digests."""
    header = safe_yaml.load(described)
    config, provenance = header.get("config") or {}, header.get("provenance") or {}
    files = config.get("pretrained") or {}
    if digests := provenance.get("weights"):
        named = {_elsewhere(name, path): digests[path] for name, path in files.items() if path in digests}
        provenance["weights"] = named | {path: d for path, d in digests.items() if path not in files.values()}
    if files:
        config["pretrained"] = {name: _elsewhere(name, path) for name, path in files.items()}
    for data in (config.get("data") or {}, *(config.get("sources") or {}).values()):
        data |= {place: None for place in ("root", "cache") if place in data}
    words = [_PLACE.sub(r"\1=FOLDER", word) for word in shlex.split(str(header.get("command") or ""))]
    return yaml.safe_dump(header | {"command": shlex.join(words)}, sort_keys=False, width=120).encode()


def _elsewhere(backbone: str, path: str) -> str:
    """What stands in a packed study for a file of pretrained weights."""
    return f"FOLDER/{backbone}{PurePosixPath(path).suffix}"


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)  # without owner and time: the same records are the same bytes
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def unpack(file: Path, out: Path) -> Path:
    """Write a packed study into a new folder of `out`, under its own name; returns that folder.

    The file may come from a stranger: nothing is written before all of it is read, and nothing outside the folder;
    what it unpacks to is no larger than ``_LARGEST``, and its names can be printed.

    Raises:
        InputError: the file is none of ``pack``, is damaged, or the folder exists.
    """
    members = _read(file)
    name = PurePosixPath(next(iter(members))).parts[0]
    folder = out / name
    if folder.exists():
        raise InputError(f"{folder} exists; choose another --out")
    draft = out / f".{name}.unpacking"
    shutil.rmtree(draft, ignore_errors=True)  # what an earlier attempt left when it was killed
    try:
        for path, content in members.items():
            target = draft / PurePosixPath(path).relative_to(name)
            make(target.parent)
            write_whole(target, content, mode=0o600 if target.name == KEY else 0o644)
        draft.rename(folder)
    except OSError as error:
        raise InputError(f"cannot write {folder} ({error.strerror or error}); choose another --out") from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return folder


def _is_record(member: tarfile.TarInfo) -> bool:
    """Whether this is an ordinary file of a name that ``pack`` gives; a sparse one would unpack to any size."""
    ordinary = member.isfile() and not member.issparse() and member.size >= 0
    named = _MEMBER.fullmatch(member.name) is not None and member.name.isprintable()
    return ordinary and named and not {".", ".."} & set(member.name.split("/"))


def _too_large(file: Path) -> InputError:
    return InputError(f"{file}: larger than the records of any study; it was not made by study.export.archive")


def _read(file: Path) -> dict[str, bytes]:
    """Content of all files in a packed study, by their names there; all names begin with the study's.

    Raises:
        InputError: the file cannot be read, or is none of ``pack``.
    """
    members: dict[str, bytes] = {}
    size = 0
    try:
        with lzma.open(file) as packed:
            content = packed.read(_LARGEST + 1)  # to its end: what was cut off or changed on the way is told
        if len(content) > _LARGEST:
            raise _too_large(file)
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
            for member in archive:
                if not _is_record(member):
                    raise InputError(
                        f"{file}: holds what no study's records have; it was not made by study.export.archive"
                    )
                size += member.size
                if size > _LARGEST:
                    raise _too_large(file)
                unpacked = archive.extractfile(member)
                members[member.name] = unpacked.read() if unpacked is not None else b""
    except OSError as error:
        raise InputError(f"cannot read {file} ({error.strerror or error})") from None
    except (tarfile.TarError, lzma.LZMAError, EOFError):
        raise InputError(f"{file}: cut off, damaged, or not made by study.export.archive") from None
    names = {name.partition("/")[0] for name in members}
    if len(names) != 1 or f"{next(iter(names))}/study.yaml" not in members:
        raise InputError(f"{file}: holds no study.yaml of one study; it was not made by study.export.archive")
    return members


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status: 2 where there is nothing to read, or no place to write."""
    parser = argparse.ArgumentParser(
        prog="python -m study.export.archive", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="pack|unpack")
    packing = commands.add_parser("pack", help="a study's records into one file")
    packing.add_argument("study", metavar="STUDY", help="a study's folder or URL, with its study.yaml")
    packing.add_argument("file", metavar="FILE", type=Path, help="file to write, say demo.study.tar.xz")
    packing.add_argument("--packages", action="store_true", help="distilled images too")
    packing.add_argument("--key", action="store_true", help="the key of patients' pseudonyms too: keep such a file")
    unpacking = commands.add_parser("unpack", help="a study's folder from such a file")
    unpacking.add_argument("file", metavar="FILE", type=Path)
    unpacking.add_argument("--out", metavar="DIR", type=Path, default=Path("results"), help="default: results")
    options = parser.parse_args(arguments)
    packs = "study" in options
    try:
        if packs:
            trials = pack(read_study(options.study), options.file, packages=options.packages, key=options.key)
            print(f"{options.file}: {trials} trials, {options.file.stat().st_size / 1024:,.0f} KiB")
        else:
            print(unpack(options.file, options.out))
    except (InputError, NotAStudyError) as error:
        print(f"archive: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        where, reason = options.study if packs else options.file, error.strerror or error
        print(f"archive: {where} cannot be read just now ({reason}); try again later", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
