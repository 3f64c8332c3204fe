"""Command-line options of ``python -m sldd.package``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from sldd.package.apply.sensitivity import BACKBONES
from sldd.package.format.header import Images


def parse(arguments: Sequence[str] | None, description: str | None) -> argparse.Namespace:
    """Parse the arguments: ``command``, and its options. argparse exits with status 2 where they are wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m sldd.package", description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, words: str, *, package: bool = True) -> argparse.ArgumentParser:
        found = commands.add_parser(name, help=words, description=words)
        if package:
            found.add_argument("package", type=Path, metavar="PACKAGE")
        return found

    def rebuilds(found: argparse.ArgumentParser) -> None:
        found.add_argument("--start", metavar="FILE", help="weights that the package starts from; or: pretrained")
        found.add_argument("--threads", type=int, help="of the CPU; all by default")

    def checks(found: argparse.ArgumentParser) -> None:
        rebuilds(found)
        found.add_argument("--key", type=Path, metavar="FILE.pub", help="public key of whoever must have signed it")

    def scores(found: argparse.ArgumentParser) -> None:
        checks(found)
        found.add_argument("films", type=Path, metavar="RADIOGRAPHS", help="a folder of them, or a manifest.csv")
        found.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
        found.add_argument("--batch", type=_count, default=128, help="most patches in memory at a time; default 128")

    command("info", "all that a package says of itself")
    verified = command("verify", "is it what its maker made, does it work here, and does it on your films?")
    checks(verified)
    verified.add_argument("--films", type=Path, metavar="RADIOGRAPHS", help="compare its claims with your own patients")
    verified.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    verified.add_argument("--batch", type=_count, default=128, help="most patches in memory at a time; default 128")
    applied = command("apply", "score radiographs, patient by patient")
    scores(applied)
    applied.add_argument("--out", type=Path, required=True, metavar="SCORES.csv")
    applied.add_argument(
        "--with",
        type=Path,
        nargs="+",
        default=[],
        metavar="OTHER",
        dest="others",
        help="packages whose votes are added",
    )
    applied.add_argument("--names", type=Path, metavar="FILE.csv", help="also write who is who, for your eyes alone")
    other = command("export", "the network for other programs: ONNX or torch.export")
    checks(other)
    other.add_argument("out", type=Path, metavar="NETWORK", help="a file that ends with .onnx or .pt2")
    carded = command("card", "its model card, in the terms of the CLAIM checklist")
    carded.add_argument("--out", type=Path, metavar="CARD", help=".md or .json; printed by default")
    carded.add_argument("--anonymity", type=Path, metavar="FILE", help="what study.anonymity found (anonymity.json)")
    exported = command("export-png", "the distilled images as pictures, with labels and rates")
    exported.add_argument("folder", type=Path, metavar="FOLDER")
    joined = command("combine", "one package or network of several hospitals'", package=False)
    joined.add_argument("packages", type=Path, nargs="+", metavar="PACKAGE")
    rebuilds(joined)
    joined.add_argument("--how", choices=("sequence", "interleaved", "beside", "average"), required=True)
    joined.add_argument("--shrink", action="store_true", help="divide inner rates by the number of packages")
    joined.add_argument(
        "--keys", type=Path, nargs="+", metavar="FILE.pub", help="a public key for each, in their order"
    )
    joined.add_argument("--out", type=Path, required=True, metavar="FILE")
    compared = command("compare", "what differs between two packages, and by how much", package=False)
    compared.add_argument("one", type=Path, metavar="ONE")
    compared.add_argument("other", type=Path, metavar="OTHER")
    tried = command("fragility", "what becomes of it where a receiver departs from it (docs/package.md)")
    scores(tried)
    tried.add_argument(
        "--out", type=Path, metavar="TABLE", help=".csv or .json; default: fragility.csv beside the package"
    )
    tried.add_argument("--seeds", type=int, default=3, help="other starts to try; default 3")
    tried.add_argument("--backbones", nargs="*", default=BACKBONES, metavar="NAME", help="other networks to try")
    tuned = command("finetune", "how much own patients add to it (docs/receiving.md)")
    checks(tuned)
    tuned.add_argument(
        "cohort", type=Path, metavar="COHORT", help="a folder with films and labels, for patches with organ masks"
    )
    tuned.add_argument("--counts", type=int, nargs="+", default=[0, 5, 10, 20, 50, 100, 200, 500], metavar="K")
    tuned.add_argument("--arms", nargs="+", default=["alone", "package"], choices=("alone", "package", "beside"))
    tuned.add_argument("--seeds", type=_count, default=3, help="of patients, starts and batches; default 3")
    tuned.add_argument("--steps", type=_count, default=150, help="of every training; default 150")
    tuned.add_argument("--rate", type=float, default=0.002, help="of Adam; default 0.002")
    tuned.add_argument("--batch", type=_count, default=48, help="patches, or films, a step; default 48")
    tuned.add_argument("--test", type=float, default=0.4, help="share of the patients that is tested; default 0.4")
    tuned.add_argument("--out", type=Path, metavar="CURVE", help=".csv or .json")
    converted = command("convert", "store images otherwise, or include the start")
    rebuilds(converted)
    converted.add_argument("--images", choices=get_args(Images), help="how images are stored; as they are by default")
    converted.add_argument("--weights", action="store_true", help="include the start")
    converted.add_argument("--out", type=Path, required=True, metavar="FILE")
    made = command("keygen", "make a pair of keys to sign with", package=False)
    made.add_argument("key", type=Path, metavar="FILE")
    signed = command("sign", "sign a package")
    signed.add_argument("--key", type=Path, required=True, metavar="FILE", help="your private key")
    signed.add_argument("--signer", required=True, metavar="WORDS", help="who you are")
    signed.add_argument("--out", type=Path, required=True, metavar="FILE")
    return parser.parse_args(arguments)


def _count(word: str) -> int:
    value = int(word)
    if value < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return value
