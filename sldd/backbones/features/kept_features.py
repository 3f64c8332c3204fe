"""Features of real patches, worked out once: a bank that outer steps draw from, and what validation patients show.

Both are kept in a ``FeatureStore`` under a digest of the body and of the patches, where there is one, so that all
trials of a machine have them. What has no digest of its own (a film in memory) is worked out anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext

import numpy as np
import torch

from sldd.backbones.features.feature_store import Draft, FeatureStore
from sldd.backbones.head import Head
from sldd.data.prefetch import Batch, NumberedBatches
from sldd.ops.digest import digest
from sldd.ops.types import ScoredPart
from sldd.rng import stream

_UNKNOWN = -128
"""Kept as the class of a patch that has none told."""


class FeatureBatches:
    """Batches of features, for outer steps of the last layer alone.

    The first batches are features of new patches. They are kept until there are ``rows`` of them, the bank. Each later
    batch draws its rows from the bank: as many of each class as a kept batch has, or any rows where patches have
    findings instead of a class.

    Args:
        batches: of patches, all of one size.
        features: (batch, channels, height, width) -> (batch, ...).
        rows: patches in the bank, at least: a batch is kept whole.
        seed: names the draws.
        store, key: where the bank is written once it is full, or is found already.
        device: of the features; the CPU unless given.
    """

    def __init__(
        self,
        batches: NumberedBatches,
        features: Callable[[torch.Tensor], torch.Tensor],
        *,
        rows: int,
        seed: int,
        store: FeatureStore | None = None,
        key: str = "",
        device: torch.device | None = None,
    ) -> None:
        self._batches, self._features, self._seed = batches, features, seed
        self.rows, self.name = rows, key
        self._store, self._key, self._device = store, key, device or torch.device("cpu")
        self._kept: list[Batch] = []
        self._of_class: list[torch.Tensor] = []
        self._bank = self._truth = torch.empty(0)
        self._take()

    def get(self, number: int) -> Batch:
        """Features and classes of batch ``number``; a resumed run first computes the bank again if no store has it."""
        while not len(self._bank) and len(self._kept) <= number:
            self._keep()
        if number < len(self._kept):
            return self._kept[number]
        return self._drawn(number)

    def close(self) -> None:
        """Release the batches of patches."""
        self._batches.close()

    @torch.no_grad()
    def _keep(self) -> None:
        """Compute and keep one batch more; the last one fills the bank."""
        images, classes = self._batches.get(len(self._kept))
        self._kept.append((self._features(images), classes))
        if len(self._kept) * len(images) < self.rows:
            return
        features, truth = (torch.cat(parts) for parts in zip(*self._kept, strict=True))
        if self._store is not None:
            with self._store.writing(self._key) as draft:
                draft.append(features)
                draft.finish(truth=truth, size=torch.tensor(len(images)))
        if not self._take():
            self._fill(features, truth, len(images))

    def _take(self) -> bool:
        """Fill the bank from the store, where it is one memory for all trials; returns whether it was there."""
        found = None if self._store is None else self._store.read(self._key)
        if found is not None:
            self._fill(found["features"].to(self._device), found["truth"].to(self._device), int(found["size"]))
        return found is not None

    def _fill(self, features: torch.Tensor, truth: torch.Tensor, size: int) -> None:
        """Set the bank: (rows, ...) features, and (rows,) classes or (rows, classes) findings, kept in batches of
        ``size``."""
        self._bank, self._truth = features, truth
        counted = range(int(truth.max()) + 1) if truth.ndim == 1 else range(0)
        self._of_class = [torch.nonzero(truth == number)[:, 0] for number in counted]
        self._kept = list(zip(features.split(size), truth.split(size), strict=True))
        self._batches.close()

    def _drawn(self, number: int) -> Batch:
        """A batch drawn from the bank."""
        # A kept batch says how many rows each class gets: which classes get one more differs from batch to batch.
        classes = self._kept[number % len(self._kept)][1]
        random = stream(self._seed, "features", number)
        if classes.ndim == 2:  # findings, of which a film has several: any row is as good as another
            picked = random.integers(len(self._bank), size=len(classes), dtype=np.int64)
            rows = torch.from_numpy(picked).to(classes.device)
            return self._bank[rows], self._truth[rows]
        rows = torch.empty_like(classes)
        for which, known in enumerate(self._of_class):
            wanted = classes == which
            picked = random.integers(len(known), size=int(wanted.sum()), dtype=np.int64)
            rows[wanted] = known[torch.from_numpy(picked).to(known.device)]
        return self._bank[rows], classes


def scored_features(
    head: Head, parts: Iterator[ScoredPart], store: FeatureStore | None, name: str | None
) -> Iterator[ScoredPart]:
    """The parts with features in place of images; where the store has the features, no image is even read.

    Args:
        name: digest of the images and of how they are divided into parts; None where that cannot be told.
    """
    key = None if store is None or name is None else digest("scored", head.fingerprint(), name)
    found = None if store is None or key is None else store.read(key)
    if found is not None:
        yield from _parts(found, head.device)
        return
    with nullcontext(Draft(None)) if store is None or key is None else store.writing(key) as draft:
        rows, classes = [], []
        for row, images, known in parts:
            features = head.features(images)
            draft.append(features)
            rows.append([row, len(images)])
            classes.append(np.full(len(images), _UNKNOWN, np.int8) if known is None else known)
            yield row, features, known
        draft.finish(rows=torch.tensor(rows), classes=torch.from_numpy(np.concatenate(classes)))


def _parts(found: dict[str, torch.Tensor], device: torch.device) -> Iterator[ScoredPart]:
    begin = 0
    for row, size in found["rows"].tolist():
        part = slice(begin, begin + size)
        classes = found["classes"][part].numpy()
        yield row, found["features"][part].to(device), None if (classes == _UNKNOWN).all() else classes
        begin += size
