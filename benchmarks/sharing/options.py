"""Command-line options of the sharing benchmarks: patients (phantoms or a cohort folder), patches and distillations."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

from sldd.data.patches import PatchSettings
from sldd.data.settings import DataSettings, open_source
from sldd.io.film import Source
from sldd.ops.types import InnerWeights
from sldd.sources.phantom import PhantomSettings


def add_patients(parser: argparse.ArgumentParser, *, patients: int) -> None:
    """Options for the patients (so many phantoms unless told) and their patches."""
    parser.add_argument("--data", metavar="DIR", help="a cohort folder; phantom patients unless given")
    parser.add_argument("--patients", type=int, default=patients, help="phantom patients")
    parser.add_argument("--film", type=int, default=256, help="side of a phantom's film")
    parser.add_argument("--difficulty", type=float, default=0.5, help="of the phantoms")
    parser.add_argument("--size", type=float, default=48, help="of a patch")
    parser.add_argument("--stride", type=float, default=8)
    parser.add_argument("--score-stride", type=float, default=16)
    parser.add_argument("--input", type=int, default=32, help="side of a patch as the network sees it")
    parser.add_argument("--cache", type=Path, metavar="DIR")


def add_distillation(parser: argparse.ArgumentParser, *, steps: int) -> None:
    """Options for every distillation (of so many outer steps unless told)."""
    parser.add_argument("--backbone", default="test_resnet")
    parser.add_argument("--start", default="near_linear")
    parser.add_argument("--images", type=int, default=3)
    parser.add_argument(
        "--inner-weights", choices=get_args(InnerWeights), default="all", help="that inner steps change"
    )
    parser.add_argument("--steps", type=int, default=steps, help="outer steps of every distillation")
    parser.add_argument("--batch", type=int, default=48)
    parser.add_argument("--outer-lr", type=float, default=0.03)


def source_of(options: argparse.Namespace, root: str | None, seed: int = 0) -> Source:
    """The patients of a cohort folder; phantoms of a seed where there is none."""
    phantom = PhantomSettings(options.patients, options.film, seed, options.difficulty)
    return open_source(DataSettings(source="folder", root=root) if root else DataSettings(phantom=phantom))


def patch_settings(options: argparse.Namespace) -> PatchSettings:
    """How patches are cut, scored and shown to networks."""
    return PatchSettings(options.size, options.stride, options.score_stride, options.input)
