"""Commands that write a package in other forms: export and card."""

from __future__ import annotations

import argparse
import json

from rich.console import Console

from sldd.errors import InputError
from sldd.io.atomic_file import write_file
from sldd.package.cli.console import BAD, GOOD, accepted, new_file
from sldd.package.export.model_card import REPORT, as_markdown, model_card, read_anonymity
from sldd.package.export.network import check_ending, to_bytes
from sldd.package.format.container import read
from sldd.package.format.package import Package
from sldd.package.rebuild.verify import verify


def export_command(options: argparse.Namespace, console: Console) -> int:
    """``export PACKAGE NETWORK.onnx``"""
    ending = check_ending(options.out)
    out = new_file(options.out, options.package, options.key, options.start, option="export")
    verdict = verify(options.package, start=options.start, key=options.key)
    if not accepted(verdict, console) or verdict.network is None:
        return BAD
    digest = read(options.package).metadata["digest"]
    content = to_bytes(verdict.package, verdict.network, digest, ending)
    write_file(out, content, option="export")
    console.print(f"{out}: {len(content):,} bytes; it gives the self-test's inputs the same probabilities")
    return GOOD


def card_command(options: argparse.Namespace, console: Console) -> int:
    """``card PACKAGE --out CARD.md``"""
    if options.out is not None and options.out.suffix not in (".md", ".json"):
        raise InputError(f"--out {options.out}: name a .md or a .json file")
    if options.out is not None:
        beside = options.package.with_name(REPORT)
        new_file(options.out, options.package, options.anonymity or beside)
    package = Package.load(options.package)
    card = model_card(package, read(options.package), read_anonymity(options.anonymity, options.package))
    as_json = options.out is not None and options.out.suffix == ".json"
    text = json.dumps(card, indent=1, allow_nan=False) + "\n" if as_json else as_markdown(card)
    if options.out is None:
        console.print(text, markup=False, soft_wrap=True)
        return GOOD
    write_file(options.out, text.encode())
    console.print(f"model card: {options.out}")
    return GOOD
