"""Initial soft labels of films with several findings: one finding each, cluster centres, or the prior."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.cluster import KMeans

from sldd.data.multilabel_batches import label_counts
from sldd.rng import bits

FINDING_STARTS = ("single", "clusters", "prior")


def initial_findings(start: str, images: int, labels: np.ndarray, *, seed: int) -> torch.Tensor:
    """Soft labels at the start of a distillation of films with several findings.

    Args:
        start: ``single``, in turn a film without findings and one with each of them alone, the most frequent first;
            ``clusters``, centres of the training films' findings (k-means), the largest cluster first; ``prior``, for
            every image the share of films that have a finding.
        images: M.
        labels: (films, classes) of the training films: 0, 1 or NaN.
        seed: of the clusters.

    Returns:
        (M, classes) float32 in [0, 1].
    """
    positives, negatives = label_counts(labels)
    shares = positives / np.maximum(positives + negatives, 1)
    if start == "prior":
        rows = shares[None]
    elif start == "single":
        frequent = np.argsort(-shares, kind="stable")
        rows = np.concatenate([np.zeros((1, labels.shape[1])), np.eye(labels.shape[1])[frequent]])
    else:
        rows = _centres(np.where(np.isnan(labels), shares, labels), images, seed)
    return torch.from_numpy(np.resize(rows, (images, labels.shape[1])).astype(np.float32))


def _centres(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """At most ``count`` of them: there are no more than different films."""
    count = min(count, len(np.unique(labels, axis=0)))
    random = np.random.RandomState(bits(seed, "label clusters"))  # the library takes nothing newer
    found = KMeans(count, n_init=10, random_state=random).fit(labels.astype(np.float64))
    sizes = np.bincount(found.labels_, minlength=count)
    return np.asarray(found.cluster_centers_[np.argsort(-sizes, kind="stable")]).clip(0, 1)
