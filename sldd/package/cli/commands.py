"""Look at a package, check it, and use it.

    python -m sldd.package info PACKAGE
    python -m sldd.package verify PACKAGE --key their.pub --films RADIOGRAPHS
    python -m sldd.package apply PACKAGE RADIOGRAPHS --out scores.csv
    python -m sldd.package export PACKAGE NETWORK.onnx
    python -m sldd.package export-png PACKAGE FOLDER
    python -m sldd.package card PACKAGE --out CARD.md
    python -m sldd.package combine PACKAGE PACKAGE --how sequence --out combined.safetensors
    python -m sldd.package compare ONE OTHER
    python -m sldd.package fragility PACKAGE RADIOGRAPHS --out fragility.csv
    python -m sldd.package finetune PACKAGE COHORT --out curve.csv
    python -m sldd.package convert PACKAGE --images uint8 --weights --out smaller.safetensors
    python -m sldd.package keygen ours.key
    python -m sldd.package sign PACKAGE --key ours.key --signer "Hospital A, radiology" --out signed.safetensors

Exit status: 0, all is as it should be (compare: the same); 1, the package was read, but does not pass its checks
(compare: they differ; apply: some radiographs could not be read, and the others were scored); 2, something that was
given cannot be used; 130, interrupted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sldd.errors import InputError
from sldd.io.atomic_file import write_file
from sldd.package.cli.combining import combine_command
from sldd.package.cli.console import BAD, GOOD, INTERRUPTED, UNUSABLE, accepted, new_file
from sldd.package.cli.exports import card_command, export_command
from sldd.package.cli.info import info
from sldd.package.cli.options import parse
from sldd.package.cli.pictures import export
from sldd.package.cli.scoring import apply_command, fragility_command
from sldd.package.cli.verifying import verify_command
from sldd.package.format.container import read
from sldd.package.format.header import Images
from sldd.package.format.image_encoding import stored
from sldd.package.format.package import Package, from_container, whole
from sldd.package.format.signature import generate, read_private, to_signed_bytes
from sldd.package.rebuild.compare import differences
from sldd.package.rebuild.rebuild import with_weights
from sldd.package.rebuild.self_test import with_self_test
from sldd.package.rebuild.verify import verify

Command = Callable[[argparse.Namespace, Console], int]


def main(arguments: Sequence[str] | None = None, more: Mapping[str, Command] = {}) -> int:
    """``python -m sldd.package``; returns its exit status.

    Args:
        more: commands that train, which are of a higher floor.
    """
    options = parse(arguments, __doc__)
    width = None if sys.stdout.isatty() else 160  # a log file has no 80 columns
    console = Console(highlight=False, soft_wrap=True, width=width)
    try:
        if getattr(options, "threads", None) is not None:
            if options.threads < 1:
                raise InputError("--threads: at least 1")
            torch.set_num_threads(options.threads)
        status = {**_COMMANDS, **more}[options.command](options, console)
    except InputError as error:
        print(f"sldd.package: {error}", file=sys.stderr)
        return UNUSABLE
    except KeyboardInterrupt:
        print("sldd.package: interrupted; nothing was written", file=sys.stderr)
        return INTERRUPTED
    return status


def _info(options: argparse.Namespace, console: Console) -> int:
    console.print(info(options.package), soft_wrap=False)
    return GOOD


def _export(options: argparse.Namespace, console: Console) -> int:
    paths = export(Package.load(options.package), options.folder)
    console.print(f"{len(paths) - 1} images, and all of them with labels and rates: {paths[-1]}")
    return GOOD


def _compare(options: argparse.Namespace, console: Console) -> int:
    one, other = _read_both(options.one, options.other)
    found = differences(one, other)
    if not found:
        console.print("the same content")
        return GOOD
    table = Table("", "one", "other", "apart", box=None, pad_edge=False)
    for each in found:
        table.add_row(*map(Text, (each.what, each.one, each.other, each.distance)))
    console.print(table, soft_wrap=False)
    return BAD


def _convert(options: argparse.Namespace, console: Console) -> int:
    out = new_file(options.out, options.package, options.start)
    package = Package.load(options.package)
    how: Images = options.images or package.stored.images
    if how != package.stored.images != "float32":
        raise InputError(
            f"{options.package}: its images are {package.stored.images}; convert a package with float32 ones"
        )
    # Its new self-test is of what it is now: one that is no longer what its maker made would pass from here on.
    if package.self_test is not None and not accepted(verify(options.package, start=options.start), console):
        return BAD
    before = package.images
    received, cost = stored(before.numpy(), how)
    changed = how != package.stored.images
    if changed:
        package = replace(package, images=torch.from_numpy(received), stored=cost)
    if options.weights:
        package = with_weights(package, options.start)
    package = with_self_test(package, options.start, before if changed else None)
    write_file(out, package.to_bytes())
    console.print(f"{out}: {out.stat().st_size:,} bytes, unsigned")
    if changed:
        console.print(
            f"images as {how}: gray values are off by {package.stored.largest:.2g} deviations at most, class "
            f"probabilities of the self-test by {package.stored.outputs:.1e}; the claimed scores are those from before"
        )
    return GOOD


def _keygen(options: argparse.Namespace, console: Console) -> int:
    public = generate(options.key)
    console.print(f"{options.key}: keep it to yourself; {public}: give it to those who receive your packages")
    return GOOD


def _sign(options: argparse.Namespace, console: Console) -> int:
    out = new_file(options.out, options.package, options.key)
    container = read(options.package)
    try:
        from_container(container)
    except InputError as error:
        raise InputError(f"{options.package}: {error}") from None
    if not whole(container):
        raise InputError(f"{options.package}: its content was changed after it was made; nobody should sign it")
    write_file(out, to_signed_bytes(container, read_private(options.key), options.signer))
    console.print(f"{out}: signed as {options.signer!r}")
    return GOOD


def _read_both(one: Path, other: Path) -> list[Package]:
    """Packages to look at, whether or not their digests hold."""
    found = []
    for path in (one, other):
        try:
            found.append(from_container(read(path)))
        except InputError as error:
            raise InputError(str(error) if str(error).startswith(str(path)) else f"{path}: {error}") from None
    return found


_COMMANDS: dict[str, Command] = {
    "info": _info,
    "verify": verify_command,
    "apply": apply_command,
    "export": export_command,
    "export-png": _export,
    "card": card_command,
    "combine": combine_command,
    "compare": _compare,
    "fragility": fragility_command,
    "convert": _convert,
    "keygen": _keygen,
    "sign": _sign,
}
