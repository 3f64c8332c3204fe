"""8-bit images: no reader has anything to round, and tensors that are none of them are refused in a line."""

from __future__ import annotations

import numpy as np
import pytest

from sldd.errors import InputError
from sldd.package.format.container import Tensors
from sldd.package.format.image_encoding import decode, encode
from sldd.rng import stream


def _encoded() -> Tensors:
    images = stream(0, "images").standard_normal((2, 3, 1, 8, 8), np.float32) * np.float32(3)
    return encode(images, "uint8")


def test_a_step_is_a_power_of_two_and_low_a_multiple_of_it() -> None:
    tensors = _encoded()
    mantissa, _ = np.frexp(tensors["images_step"])
    assert (mantissa == 0.5).all()
    whole = tensors["images_low"] / tensors["images_step"]
    assert (whole == np.rint(whole)).all()
    exact = tensors["images_low"].astype(np.float64) + tensors["images_step"].astype(np.float64) * tensors["images"]
    assert (decode(tensors, "uint8") == exact).all()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"images": np.zeros((2, 3, 8, 8), np.uint8)}, "its images have 4 dimensions, not 5"),
        ({"images_low": np.zeros((2, 3), np.float32)}, "its images have no low and step each"),
        ({"images_low": np.zeros((1, 1, 1, 1, 1), np.float32)}, "its images have no low and step each"),
        ({"images_step": np.zeros((2, 3, 1, 1, 8), np.float32)}, "its images have no low and step each"),
        ({"images_step": np.ones((2, 3, 1, 1, 1), np.float16)}, "its images have no low and step each"),
    ],
)
def test_images_without_a_low_and_a_step_each_are_refused(change: Tensors, says: str) -> None:
    with pytest.raises(InputError, match=says):
        decode(_encoded() | change, "uint8")
