"""Command that makes one package, or one network, of several: combine."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from safetensors.torch import save

from sldd.errors import InputError
from sldd.io.atomic_file import write_file
from sldd.package.cli.console import BAD, GOOD, new_file, verify_all
from sldd.package.combine.images import combine
from sldd.package.combine.weights import average
from sldd.package.format.package import MADE_OF_PACKAGES, Package


def combine_command(options: argparse.Namespace, console: Console) -> int:
    """``combine PACKAGE PACKAGE --how sequence --out FILE``"""
    paths: list[Path] = options.packages
    new_file(options.out, *paths, *(options.keys or []), options.start)
    if options.shrink and options.how == "average":
        raise InputError("--shrink: divides rates of inner steps, and averaged weights have none; leave it out")
    names = [path.name for path in paths]
    if len({path.resolve() for path in paths}) < len(paths):
        raise InputError("a package is named twice; it would count twice")
    verdicts = verify_all(paths, options.keys, options.start, console)
    if verdicts is None:
        return BAD
    packages = [verdict.package for verdict in verdicts]
    if options.how == "average":
        network = average(packages, names, options.start)
        weights = {name: value.detach().contiguous() for name, value in network.named_parameters()}
        content = save(weights, metadata=MADE_OF_PACKAGES)
        words = "weights, averaged; start from them (grid.start)"
    else:
        made = combine(packages, names, options.how, shrink=options.shrink, start=options.start)
        content, words = made.to_bytes(), f"{_count(made)} images of {len(packages)} packages, unsigned, without claims"
    write_file(options.out, content)
    console.print(f"{options.out}: {words}")
    if options.how != "average":
        console.print("measure it before use (verify --films): one hospital's steps need not fit another's")
    return GOOD


def _count(package: Package) -> int:
    return package.images.shape[0] * package.images.shape[1]
