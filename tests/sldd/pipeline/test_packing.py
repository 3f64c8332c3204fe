"""What is packed: the images as they are scored, and a signature where asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sldd.errors import InputError
from sldd.package import Package, PackageSettings, Stored
from sldd.package.format.container import read
from sldd.package.format.signature import check, generate
from sldd.pipeline.packing import Start, complete, store_images, to_file
from sldd.training.outer_loop import Best
from tests.sldd.package.conftest import make

START = Start("convnet_w32", "as_is", "xavier", 0, {})


@pytest.fixture(scope="module")
def package() -> Package:
    return replace(make(), self_test=None, expected=None)


def test_what_is_scored_are_the_images_as_they_are_stored(package: Package) -> None:
    best = Best(3, (0.5, 0.5, 0.5), {"images": package.images, "labels": package.labels}, {}, 0.5)
    original, cost = store_images(best, PackageSettings(images="uint8"))
    assert torch.equal(original, package.images)
    moved = (best.state["images"] - original).abs()
    assert float(moved.max()) == pytest.approx(cost.largest) != 0
    packed = complete(replace(package, images=best.state["images"], stored=cost), START, original, weights=False)
    assert len(to_file(packed, PackageSettings())) < 4 * original.numel() + 20_000
    kept = best.state["images"]
    assert store_images(best, PackageSettings())[1] == Stored()
    assert best.state["images"] is kept
    assert packed.stored.images == "uint8"
    assert 0 < packed.stored.outputs < 1


def test_packages_are_signed_where_there_is_a_key(package: Package, tmp_path: Path) -> None:
    generate(tmp_path / "key")
    settings = PackageSettings(key=str(tmp_path / "key"), signer="Hospital A")
    packed = complete(package, START, package.images, weights=True)
    (tmp_path / "package.safetensors").write_bytes(to_file(packed, settings))
    signature = check(read(tmp_path / "package.safetensors"))
    assert signature is not None
    assert signature.signer == "Hospital A"
    assert Package.load(tmp_path / "package.safetensors").weights is not None
    with pytest.raises(InputError, match="there is no such key file"):
        to_file(packed, replace(settings, key=str(tmp_path / "gone")))
