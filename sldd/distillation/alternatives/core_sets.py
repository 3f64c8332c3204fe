"""Core sets: real images chosen to stand for their class, by their features.

The features are those of the receiver's own start. It is what both sides know, it costs one look at the candidates and
no training, and the receiver's steps begin there. (Papers on core sets take a network that was trained on all images,
whose training would have to be counted.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import nn

from sldd.backbones.features.embedding import Embedding
from sldd.backbones.norms import even_batches, keep_no_statistics
from sldd.rng import stream

CANDIDATES = 300
"""Images of each class that are chosen from."""
_AT_ONCE = 256
Choice = Callable[[torch.Tensor, int], list[int]]
"""(candidates, features) of one class, how many -> their rows, the first chosen first."""


def herding(features: torch.Tensor, count: int) -> list[int]:
    """Rows whose mean is nearest the mean of all, one after the other (Welling 2009; Rebuffi et al. 2017, Algorithm 4):

    p_k = argmin_x || mu - (phi(x) + sum_{j<k} phi(p_j)) / k ||

    Features and means are scaled to unit length, as there.
    """
    chosen: list[int] = []
    features = F.normalize(features)
    mean, summed = F.normalize(features.mean(0), dim=0), torch.zeros_like(features[0])
    for _ in range(count):
        distance = (mean - F.normalize(features + summed)).norm(dim=1)
        distance[chosen] = torch.inf
        chosen.append(int(distance.argmin()))
        summed = summed + features[chosen[-1]]
    return chosen


def k_center(features: torch.Tensor, count: int) -> list[int]:
    """Rows so that none of all is far from the nearest one, greedily (Sener & Savarese 2018, Algorithm 1):

    p_k = argmax_x min_{j<k} || phi(x) - phi(p_j) ||

    The first is the one nearest the mean.
    """
    chosen = [int((features - features.mean(0)).norm(dim=1).argmin())]
    nearest = (features - features[chosen[0]]).norm(dim=1)
    while len(chosen) < count:
        nearest[chosen] = -1.0
        chosen.append(int(nearest.argmax()))
        nearest = torch.minimum(nearest, (features - features[chosen[-1]]).norm(dim=1))
    return chosen


def core_set(
    choose: Choice, network: nn.Module, images: torch.Tensor, classes: Sequence[int], wanted: Sequence[int]
) -> torch.Tensor:
    """Images chosen from candidates.

    Args:
        network: at its start, in training mode.
        images: (candidates, channels, height, width).
        classes: of the candidates.
        wanted: the class of each image that is asked for; of no class more than there are candidates.

    Returns:
        (len(wanted), channels, height, width).
    """
    keep_no_statistics(network.train())
    embedding, weights = Embedding(network), [parameter.detach() for parameter in network.parameters()]
    # In random order: batch norm is to see every class in each batch, as in training.
    order = torch.from_numpy(stream(0, "core set order").permutation(len(images)))
    with torch.no_grad():
        parts = even_batches(images[order].to(weights[0].device), _AT_ONCE)
        features = torch.cat([embedding(weights, part) for part in parts])[order.argsort()]
    known, rows = torch.tensor(classes), torch.empty(len(wanted), dtype=torch.long)
    for which in set(wanted):
        of_class, places = torch.nonzero(known == which)[:, 0], [n for n, each in enumerate(wanted) if each == which]
        rows[places] = of_class[choose(features[of_class.to(features.device)], len(places))]
    return images[rows]
