"""Initial soft labels, by their stated rule."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sldd.distillation.initial.labels import STARTS, image_classes, initial_labels
from sldd.errors import InputError


def test_stated_rule() -> None:
    assert image_classes(1) == [1]
    assert image_classes(2) == [1, 2]
    assert image_classes(3) == [0, 1, 2]
    assert image_classes(5) == [0, 1, 2, 0, 1]


def test_starts() -> None:
    assert initial_labels("one_hot", 3).tolist() == torch.eye(3).tolist()
    assert initial_labels("constant:P", 2).tolist() == [[0, 0, 1]] * 2
    smoothed = initial_labels("smoothed", 1)[0].tolist()
    assert smoothed == pytest.approx([0.1 / 3, 0.9 + 0.1 / 3, 0.1 / 3])


@given(start=st.sampled_from(STARTS), images=st.integers(1, 12))
def test_labels_are_shares(start: str, images: int) -> None:
    labels = initial_labels(start, images)
    assert labels.shape == (images, 3)
    assert torch.allclose(labels.sum(1), torch.ones(images))
    assert (labels >= 0).all()


def test_unknown_start() -> None:
    with pytest.raises(InputError, match=r"grid\.label_init: 'hot' is unknown; choose from one_hot"):
        initial_labels("hot", 3)
