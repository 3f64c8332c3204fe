"""Command-line options of ``python -m sldd.package``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from sldd.package.apply.sensitivity import BACKBONES
from sldd.package.format.header import Images

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def parse(arguments: Sequence[str] | None, description: str | None) -> argparse.Namespace:
    """Parse the arguments: ``command``, and its options. argparse exits with status 2 where they are wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m sldd.package", description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in (
        _info,
        _verify,
        _apply,
        _export,
        _card,
        _export_png,
        _combine,
        _compare,
        _fragility,
        _finetune,
        _convert,
        _keygen,
        _sign,
    ):
        add(commands)
    return parser.parse_args(arguments)


def _info(commands: Commands) -> None:
    _command(commands, "info", "all that a package says of itself")


def _verify(commands: Commands) -> None:
    found = _command(commands, "verify", "is it what its maker made, does it work here, and does it on your films?")
    _checks(found)
    found.add_argument("--films", type=Path, metavar="RADIOGRAPHS", help="compare its claims with your own patients")
    _scoring(found)


def _apply(commands: Commands) -> None:
    found = _command(commands, "apply", "score radiographs, patient by patient")
    _scores(found)
    found.add_argument("--out", type=Path, required=True, metavar="SCORES.csv")
    found.add_argument(
        "--with",
        type=Path,
        nargs="+",
        default=[],
        metavar="OTHER",
        dest="others",
        help="packages whose votes are added",
    )
    found.add_argument("--names", type=Path, metavar="FILE.csv", help="also write who is who, for your eyes alone")


def _export(commands: Commands) -> None:
    found = _command(commands, "export", "the network for other programs: ONNX or torch.export")
    _checks(found)
    found.add_argument("out", type=Path, metavar="NETWORK", help="a file that ends with .onnx or .pt2")


def _card(commands: Commands) -> None:
    found = _command(commands, "card", "its model card, in the terms of the CLAIM checklist")
    found.add_argument("--out", type=Path, metavar="CARD", help=".md or .json; printed by default")
    found.add_argument("--anonymity", type=Path, metavar="FILE", help="what study.anonymity found (anonymity.json)")


def _export_png(commands: Commands) -> None:
    found = _command(commands, "export-png", "the distilled images as pictures, with labels and rates")
    found.add_argument("folder", type=Path, metavar="FOLDER")


def _combine(commands: Commands) -> None:
    found = _command(commands, "combine", "one package or network of several hospitals'", package=False)
    found.add_argument("packages", type=Path, nargs="+", metavar="PACKAGE")
    _rebuilds(found)
    found.add_argument("--how", choices=("sequence", "interleaved", "beside", "average"), required=True)
    found.add_argument("--shrink", action="store_true", help="divide inner rates by the number of packages")
    found.add_argument("--keys", type=Path, nargs="+", metavar="FILE.pub", help="a public key for each, in their order")
    found.add_argument("--out", type=Path, required=True, metavar="FILE")


def _compare(commands: Commands) -> None:
    found = _command(commands, "compare", "what differs between two packages, and by how much", package=False)
    found.add_argument("one", type=Path, metavar="ONE")
    found.add_argument("other", type=Path, metavar="OTHER")


def _fragility(commands: Commands) -> None:
    found = _command(commands, "fragility", "what becomes of it where a receiver departs from it (docs/package.md)")
    _scores(found)
    found.add_argument(
        "--out", type=Path, metavar="TABLE", help=".csv or .json; default: fragility.csv beside the package"
    )
    found.add_argument("--seeds", type=int, default=3, help="other starts to try; default 3")
    found.add_argument("--backbones", nargs="*", default=BACKBONES, metavar="NAME", help="other networks to try")


def _finetune(commands: Commands) -> None:
    found = _command(commands, "finetune", "how much own patients add to it (docs/receiving.md)")
    _checks(found)
    found.add_argument(
        "cohort", type=Path, metavar="COHORT", help="a folder with films and labels, for patches with organ masks"
    )
    found.add_argument("--counts", type=int, nargs="+", default=[0, 5, 10, 20, 50, 100, 200, 500], metavar="K")
    found.add_argument("--arms", nargs="+", default=["alone", "package"], choices=("alone", "package", "beside"))
    found.add_argument("--seeds", type=_count, default=3, help="of patients, starts and batches; default 3")
    found.add_argument("--steps", type=_count, default=150, help="of every training; default 150")
    found.add_argument("--rate", type=float, default=0.002, help="of Adam; default 0.002")
    found.add_argument("--batch", type=_count, default=48, help="patches, or films, a step; default 48")
    found.add_argument(
        "--test", type=float, help="share of the patients that is tested; default 0.4, or whom the data say"
    )
    found.add_argument("--out", type=Path, metavar="CURVE", help=".csv or .json")


def _convert(commands: Commands) -> None:
    found = _command(commands, "convert", "store images otherwise, or include the start")
    _rebuilds(found)
    found.add_argument("--images", choices=get_args(Images), help="how images are stored; as they are by default")
    found.add_argument("--weights", action="store_true", help="include the start")
    found.add_argument("--out", type=Path, required=True, metavar="FILE")


def _keygen(commands: Commands) -> None:
    found = _command(commands, "keygen", "make a pair of keys to sign with", package=False)
    found.add_argument("key", type=Path, metavar="FILE")


def _sign(commands: Commands) -> None:
    found = _command(commands, "sign", "sign a package")
    found.add_argument("--key", type=Path, required=True, metavar="FILE", help="your private key")
    found.add_argument("--signer", required=True, metavar="WORDS", help="who you are")
    found.add_argument("--out", type=Path, required=True, metavar="FILE")


def _command(commands: Commands, name: str, words: str, *, package: bool = True) -> argparse.ArgumentParser:
    found = commands.add_parser(name, help=words, description=words)
    if package:
        found.add_argument("package", type=Path, metavar="PACKAGE")
    return found


def _rebuilds(found: argparse.ArgumentParser) -> None:
    found.add_argument("--start", metavar="FILE", help="weights that the package starts from; or: pretrained")
    found.add_argument("--threads", type=int, help="of the CPU; all by default")


def _checks(found: argparse.ArgumentParser) -> None:
    _rebuilds(found)
    found.add_argument("--key", type=Path, metavar="FILE.pub", help="public key of whoever must have signed it")


def _scores(found: argparse.ArgumentParser) -> None:
    _checks(found)
    found.add_argument("films", type=Path, metavar="RADIOGRAPHS", help="a folder of them, or a manifest.csv")
    _scoring(found)


def _scoring(found: argparse.ArgumentParser) -> None:
    found.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    found.add_argument("--batch", type=_count, default=128, help="most patches in memory at a time; default 128")


def _count(word: str) -> int:
    value = int(word)
    if value < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return value
