"""Whether the count grows, in a sentence: shown, not shown, or beyond what so few networks can show."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from analysis.page.answer import story
from analysis.records.records import Study, read_study
from analysis.text.growth import whether_it_grows
from tests.analysis.conftest import Ledger, voters

# Each of a family of its own.
NETWORKS = [
    "convnet_w32",
    "resnet18",
    "test_vit",
    "mobilenetv3_small_050",
    "efficientnet_lite0",
    "repvgg_a0",
    "regnety_002",
    "densenet121",
]

Made = Callable[[Sequence[int]], Study]


@pytest.fixture
def made(ledger: Callable[..., Ledger]) -> Made:
    """A study of networks by size, each of which needs so many images of three that were tried."""

    def make(needs: Sequence[int]) -> Study:
        study = ledger("grown")
        for place, (name, need) in enumerate(zip(NETWORKS, needs, strict=False)):
            size = 10_000 * 3**place
            for images in (None, 1, 2, 3):
                right = 0.95 if images is None or images >= need else 0.6
                cell = study.cell(name, size, images, method="sldd" if images else "train")
                for seed in range(3):
                    study.done(cell, seed, hm=right, patients=voters(right, each=100))
        return read_study(study.folder)

    return make


@pytest.mark.parametrize(
    ("needs", "begins", "holds"),
    [
        ((1, 1, 1, 2, 2, 3, 3, 3), "Larger networks need more images: ", "by 8 networks of 8 families, 10 k to 21.9 M"),
        ((3, 3, 3, 2, 2, 1, 1, 1), "Larger networks need fewer images: ", "two-sided p = "),
        ((1, 2, 1, 3, 2, 1, 2, 1), "It is not shown that larger networks need more images: ", " times as many ("),
        ((1, 2, 3), "Whether larger networks need more images, 3 networks of 3 families cannot show: ", "p would be"),
        (
            (1, 1, 1, 1, 1, 1, 1, 1),
            "Whether larger networks need more images is open: 8 networks",
            "need the same number of images (1)",
        ),
    ],
)
def test_it_says_what_is_shown(made: Made, needs: Sequence[int], begins: str, holds: str) -> None:
    study = made(needs)
    said = whether_it_grows(study)
    assert said.startswith(begins), said
    assert holds in said
    assert f'<p class="grows">{said.partition(":")[0]}' in story(study)


def test_two_networks_or_two_settings_have_no_such_sentence(made: Made, mixed: Study) -> None:
    assert whether_it_grows(made((1, 2))) == ""
    assert whether_it_grows(mixed) == ""
    assert 'class="grows"' not in story(mixed)
