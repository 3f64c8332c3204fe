"""What is saved is what is loaded, however the images are stored; what is no package is refused in a line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sldd.backbones.init import initialise, layer_fingerprints
from sldd.backbones.registry import build
from sldd.backbones.start import set_start
from sldd.errors import InputError
from sldd.package import FORMAT, Package
from sldd.package.format.container import read
from sldd.package.format.header import Header, read_header
from sldd.package.format.image_encoding import decode, encode, stored
from sldd.package.rebuild.rebuild import rebuild, with_weights
from sldd.package.rebuild.self_test import with_self_test
from tests.sldd.package.conftest import Files, make, reseal


def _same(one: Package, other: Package) -> bool:
    for field in fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if isinstance(a, torch.Tensor):
            a, b = a.tolist(), b.tolist()
        elif field.name in ("theta_bn", "weights") and a is not None:
            a, b = ({name: value.tolist() for name, value in each.items()} for each in (a, b))
        if a != b:
            return False
    return True


@pytest.mark.parametrize("how", ["float32", "float16", "uint8"])
def test_what_is_saved_is_what_is_loaded(package: Package, file_of: Files, how: Any) -> None:
    received, cost = stored(package.images.numpy(), how)
    sent = with_weights(replace(package, images=torch.from_numpy(received), stored=cost))
    path = file_of(with_self_test(sent, None, package.images))
    loaded = Package.load(path)
    assert _same(loaded, with_self_test(sent, None, package.images))
    assert (loaded.stored.largest > 0) == (loaded.stored.outputs > 0) == (how != "float32")
    assert loaded.stored.largest < {"float32": 1e-9, "float16": 2e-3, "uint8": 2e-2}[how]
    again = path.with_name("again.safetensors")
    loaded.save(again)
    assert again.read_bytes() == path.read_bytes()
    assert [each.name for each in path.parent.iterdir()] == ["changed.safetensors", "again.safetensors"]


def test_the_file_is_safetensors_and_its_digest_can_be_had_by_hand(saved: Path, package: Package) -> None:
    with safetensors.safe_open(saved, framework="np") as file:
        metadata = file.metadata()
    tensors = safetensors.numpy.load_file(saved)
    lines = [metadata["format"], metadata["facts"]]
    for name, value in sorted(tensors.items()):
        shape = "x".join(map(str, value.shape))
        lines.append(f"{name} {value.dtype} {shape} {hashlib.sha256(value.tobytes()).hexdigest()}")
    assert metadata["digest"] == hashlib.sha256("\n".join(lines).encode()).hexdigest()
    assert metadata["format"] == FORMAT == "sldd-package/5"
    assert tensors["images"].tolist() == package.images.tolist()
    assert b"pickle" not in saved.read_bytes()


@given(
    arrays(np.float32, (2, 2, 1, 3, 3), elements=st.floats(-1e4, 1e4, width=32, allow_subnormal=False)),
    st.sampled_from(["float16", "uint8"]),
)
def test_storing_again_changes_nothing_and_costs_what_it_says(images: np.ndarray, how: Any) -> None:
    received, cost = stored(images, how)
    again, nothing = stored(received, how)
    assert received.tobytes() == again.tobytes()
    assert nothing.largest == 0
    assert np.abs(received - images).max() <= cost.largest * (1 + 1e-6)
    if how == "uint8":
        ranges = images.max((2, 3, 4)) - images.min((2, 3, 4))
        assert (
            np.abs(received - images).max((2, 3, 4))
            <= 1e-20 + np.maximum(ranges / 127, np.abs(images).max() * 2.0**-21)
        ).all()


def test_images_too_large_for_float16_are_refused() -> None:
    with pytest.raises(InputError, match=r"beyond those of float16; use float32"):
        encode(np.full((1, 1, 1, 2, 2), 1e5, np.float32), "float16")


def test_images_of_another_type_than_the_facts_say_are_refused() -> None:
    with pytest.raises(InputError, match=r"its images are float32 and its facts say uint8"):
        decode({"images": np.zeros((1, 1, 1, 2, 2), np.float32)}, "uint8")


def _facts(**changed: Any) -> Callable[[Package], Package]:
    return lambda package: replace(package, **changed)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda p: replace(p, labels=p.labels[:, :2]), r"its labels are 2 x 2 x 3, not 2 x 3 x 3"),
        (
            lambda p: replace(p, images=p.images[..., :16]),
            r"its images are 2 x 3 x 1 x 32 x 16, not S x M x 1 x 32 x 32",
        ),
        (lambda p: replace(p, rates=p.rates[:, :1]), r"its rates are 1 x 1, not E x 2"),
        (lambda p: replace(p, rates=-p.rates), r"its rates are negative"),
        (lambda p: replace(p, rates=p.rates.expand(6000, -1)), r"it asks for 12,000 inner steps"),
        (lambda p: replace(p, labels=p.labels * float("nan")), r"its labels has values that are not finite"),
        (
            lambda p: replace(p, theta_bn={n: -v - 9 for n, v in p.theta_bn.items()}),
            r"theta_bn has a negative variance",
        ),
        (lambda p: replace(p, expected=p.expected[:, :2]), r"its self-test is 32 x 2"),
        (lambda p: replace(p, expected=p.expected.repeat(2, 1)), r"its self-test is 64 x 3, not 32 x 3"),
        (lambda p: replace(p, expected=p.expected[:20]), r"its self-test is 20 x 3, not 32 x 3"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(
    package: Package,
    file_of: Files,
    change: Callable[[Package], Package],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(InputError, match=says):
        change(package).to_bytes()  # a file that nobody can read is not written ...
    with monkeypatch.context() as patch:
        patch.setattr("sldd.package.format.package._check_tensors", lambda *_: None)
        path = file_of(change(package))
    with pytest.raises(InputError, match=says):
        Package.load(path)  # ... and one that somebody else wrote is refused


def test_a_file_larger_than_any_that_is_read_is_not_written(
    package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    length = len(package.to_bytes())
    for limit, most, what in (("MOST_BYTES", length - 1, "file"), ("MOST_HEADER_BYTES", 100, "header")):
        with monkeypatch.context() as patch:
            patch.setattr(f"sldd.package.format.container.{limit}", most)
            with pytest.raises(InputError, match=rf"the package's {what} would take [\d,]+ bytes, and {most:,} are"):
                package.save(tmp_path / "large.safetensors")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"delta": 1.5}, r"its delta: input should be less than or equal to 1"),
        ({"seed": -1}, r"its seed: "),
        ({"sides": [100.0] * 6}, r"its sides: tuple should have at most 5 items"),
        ({"sides": [0.0, 1.0]}, r"its sides\.0: input should be greater than 0"),
        ({"slice": 2.0}, r"its slice: input should be less than or equal to 1"),
        ({"classes": ["P", "N", "I"]}, r"its delta does not go with its classes"),
        ({"classes": ["P", "P"], "delta": None}, r"its classes are not 1 to 1,000 different names"),
        ({"extra": 1}, r"its extra: unexpected keyword"),
        ({"deviation": 0}, r"its deviation: "),
        ({"patches": {"size": 3}}, r"not in canonical form"),
        ({"seed": "3"}, r"not in canonical form"),
        ({"backbone": "x" * 1000}, r"its backbone: "),
        ({"inner_precision": "float8"}, r"its inner_precision: "),
        ({"norm": "fast\nnorm"}, r"its norm: "),
        ({"backbone": "\x1b[2Jresnet18"}, r"its backbone: "),
        ({"versions": {"torch\x07": "2"}}, r"its versions"),
    ],
)
def test_facts_that_no_package_has_are_refused(saved: Path, tmp_path: Path, facts: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        Package.load(reseal(saved, tmp_path / "x.safetensors", **facts))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("length", ["size", "stride", "score_stride"])
def test_patches_larger_than_any_film_are_refused(saved: Path, tmp_path: Path, length: str) -> None:
    patches = json.loads(read(saved).metadata["facts"])["patches"] | {length: 1e300}
    with pytest.raises(InputError, match=r"its patches have a size or stride of 1e\+300 pixels; 1,000,000 are allowed"):
        Package.load(reseal(saved, tmp_path / "x.safetensors", patches=patches))


@pytest.mark.parametrize("part", ["validation", "test"])
@pytest.mark.parametrize("count", ["positive", "undecided"])
def test_claims_of_more_patients_than_there_are_are_refused(saved: Path, tmp_path: Path, part: str, count: str) -> None:
    claims = json.loads(read(saved).metadata["facts"])["claims"]
    claims[part][count] = claims[part]["patients"] + 1
    with pytest.raises(InputError, match=rf"its claims\.{part} count more positive or undecided patients"):
        Package.load(reseal(saved, tmp_path / "x.safetensors", claims=claims))


@pytest.mark.parametrize("backbone", ["halonet26t", "levit_128"])
def test_networks_that_cannot_take_the_images_say_so(package: Package, backbone: str) -> None:
    odd = replace(package, backbone=backbone, patches=replace(package.patches, input_size=72))
    odd = replace(odd, images=torch.zeros(1, 2, 1, 72, 72), norm="as_is")
    with pytest.raises(InputError, match=f"{backbone} cannot take such images"):
        rebuild(odd)


def test_an_input_larger_than_any_network_sees_is_refused(saved: Path, tmp_path: Path) -> None:
    patches = json.loads(read(saved).metadata["facts"])["patches"] | {"input_size": 100_000}
    with pytest.raises(InputError, match=r"its patches\.input_size: 100,000 pixels; 1,024 are allowed"):
        Package.load(reseal(saved, tmp_path / "x.safetensors", patches=patches))


def test_facts_have_one_way_of_being_written(package: Package) -> None:
    text = package.to_text()
    assert read_header(text) == package.header()
    assert type(package.header()) is Header
    with pytest.raises(InputError, match="canonical"):
        read_header(json.dumps(json.loads(text)))


def test_a_package_from_before_sizes_were_kept_is_as_it_was(package: Package) -> None:
    text = package.to_text()
    assert not [name for name in ("film_size", "sides", "exclusive", "distribution") if f'"{name}"' in text]
    newer = replace(package, film_size=64).to_text()
    assert read_header(newer).film_size == 64
    with pytest.raises(InputError, match="its film_size: input should be greater than or equal to 16"):
        read_header(newer.replace('"film_size":64', '"film_size":1'))


def test_a_change_without_a_new_digest_is_refused(saved: Path) -> None:
    content = bytearray(saved.read_bytes())
    content[-1] ^= 1
    saved.write_bytes(content)
    with pytest.raises(InputError, match="was changed after it was made"):
        Package.load(saved)


def test_a_package_of_an_earlier_version_gets_one_line(saved: Path, tmp_path: Path) -> None:
    tensors = safetensors.numpy.load_file(saved)
    old = tmp_path / "old.safetensors"
    safetensors.numpy.save_file(tensors, old, {"format": "sldd-package/4", "backbone": '"test_resnet"'})
    with pytest.raises(InputError, match=r"a package of format sldd-package/4, and this version reads sldd-package/5"):
        Package.load(old)


def test_included_weights_are_the_start(package: Package) -> None:
    network = build("lenet", input_size=32, norm="batch")
    initialise(network, package.seed)
    included = with_weights(package).weights
    assert included is not None
    assert all(torch.equal(included[name], value) for name, value in network.named_parameters())


def test_a_package_with_its_start_needs_no_file(package: Package, file_of: Files) -> None:
    included = with_weights(package)
    network = rebuild(Package.load(file_of(replace(included, start="elsewhere.safetensors"))))
    assert not network.training


def test_a_near_linear_start_is_made_from_its_seed(file_of: Files) -> None:
    package = make("test_resnet", norm="as_is")
    network = build(package.backbone, input_size=package.patches.input_size, norm=package.norm)
    set_start(network, backbone=package.backbone, start="near_linear", seed=package.seed)
    changed = replace(package, start="near_linear", start_fingerprints=layer_fingerprints(network))
    assert not rebuild(Package.load(file_of(changed))).training
    with pytest.raises(InputError, match="its start has another layer"):
        rebuild(replace(package, start="near_linear"))


@pytest.mark.parametrize("start", ["/etc/passwd", "../start", "xavier/../secret"])
def test_no_path_in_a_package_is_opened(package: Package, start: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sldd.backbones.start.read_weights", lambda *_: pytest.fail("something was opened"))
    with pytest.raises(InputError, match="neither xavier, near_linear nor pretrained nor a file of weights"):
        rebuild(replace(package, start=start))
    with pytest.raises(InputError, match=r"starts from the file ../there.pt; say where it is"):
        rebuild(replace(package, start="../there.pt"))
    with pytest.raises(InputError, match="allow to fetch them"):
        rebuild(replace(package, start="pretrained"))


def test_networks_beyond_all_bounds_are_not_even_made(package: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"has 1,13\d,\d+,\d+ parameters, and 1,000,000,000 are allowed"):
        rebuild(replace(package, backbone="vit_giant_patch14_dinov2"))
    monkeypatch.setattr("sldd.package.rebuild.rebuild.free_memory", lambda _: 1000)
    with pytest.raises(InputError, match=r"GiB of memory, and 0\.0 are free"):
        rebuild(package)


def test_rebuilding_asks_for_one_thread_and_gives_the_others_back(package: Package) -> None:
    torch.set_num_threads(2)
    try:
        first = rebuild(package).state_dict()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert all(torch.equal(value, first[name]) for name, value in rebuild(package).state_dict().items())
