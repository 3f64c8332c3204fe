"""Distil phantom patients to three images, score test patients with what a receiver makes of them, and share them.

    python examples/distill_phantoms.py [FOLDER]

Takes a minute on one core. For radiographs of your own, open their folder: ``sldd.open_cohort(FOLDER)``. Many
distillations, searched and compared, are ``study.run``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

import sldd


def main(folder: Path, steps: int = 300) -> float:
    """HM, the harmonic mean of sensitivity and specificity, on test patients after so many outer steps."""
    torch.set_num_threads(1)
    phantoms = {"patients": 40, "size": 128, "difficulty": 0.0}
    cohort = sldd.open_cohort(source="phantom", phantom=phantoms, cache=folder / "cache")
    distilled = sldd.distill(
        "convnet_w32",
        cohort,
        images=3,
        patches=sldd.PatchSettings(size=24, stride=8, score_stride=20, input_size=32),
        outer=sldd.OuterSettings(steps=steps, batch_size=48, evaluations=5, statistics_batches=4),
        split=sldd.SplitSettings(validation=0.2, test=0.4),
    )
    scores = distilled.score()
    print(f"test patients: HM {scores['hm']:.3f}, AUC {scores['auc']:.3f}")

    # All that another hospital needs: one file, from which it trains the network in a few steps.
    path = distilled.save(folder / "package.safetensors")
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")
    network = sldd.load(path).train_receiver()
    print(f"a receiver's {type(network).__name__}, trained from {distilled.images.shape[1]} images")
    distilled.figure().save(folder / "images.png")
    return float(scores["hm"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "folder", nargs="?", type=Path, default=Path("results/distill_phantoms"), help="for what it writes"
    )
    main(parser.parse_args().folder)
