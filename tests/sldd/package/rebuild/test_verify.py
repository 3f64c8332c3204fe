"""Every way in which a peer's file silently breaks is found, and called by its name, whoever made the digest anew."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sldd.backbones.init import initialise, layer_fingerprints
from sldd.backbones.registry import build
from sldd.errors import InputError
from sldd.package import Package
from sldd.package.format.container import Container, read, to_bytes
from sldd.package.format.package import INPUTS
from sldd.package.rebuild.rebuild import rebuild, with_weights
from sldd.package.rebuild.self_test import TOLERANCE, inputs, marks, outputs, run, with_self_test
from sldd.package.rebuild.verify import Verdict, verify
from tests.sldd.package.conftest import Files, make, reseal

Change = Callable[[Package], Package]


def _failures(verdict: Verdict) -> dict[str, str]:
    return {check.what: check.words for check in verdict.failures}


def _other_start(package: Package) -> Package:
    network = build(package.backbone, input_size=32, norm=package.norm)
    initialise(network, 77)
    return replace(package, seed=77, start_fingerprints=layer_fingerprints(network))


def _brighter(package: Package) -> Package:
    images = package.images.clone()
    images[1, 2] += 0.05
    return replace(package, images=images)


def _shifted(package: Package) -> Package:
    name = next(name for name in package.theta_bn if name.endswith("running_mean"))
    return replace(package, theta_bn=package.theta_bn | {name: package.theta_bn[name] + 0.5})


BROKEN: dict[str, tuple[Change, str, str]] = {
    "images shuffled": (
        lambda p: replace(p, images=p.images[:, [1, 2, 0]]),
        "images",
        "the order is another: 6 of 6 are not in their place",
    ),
    "steps swapped": (
        lambda p: replace(p, images=p.images.flip(0), labels=p.labels.flip(0)),
        "labels",
        "the order is another: 6 of 6 are not in their place",
    ),
    "one image brighter": (_brighter, "images", "changed at step 2, image 3"),
    "one mean rate": (
        lambda p: replace(p, rates=torch.full_like(p.rates, float(p.rates.mean()))),
        "rates",
        "not as learned: one and the same everywhere, as a mean would be",
    ),
    "labels rounded": (
        lambda p: replace(p, labels=p.labels.round(decimals=2)),
        "labels",
        "changed at step 1, image 1 and 5 more; they look rounded to 2 decimals",
    ),
    "one-hot labels": (
        lambda p: replace(p, labels=p.labels.round()),
        "labels",
        "changed at step 1, image 1 and 5 more; they look rounded to whole numbers",
    ),
    "another start": (_other_start, "self-test", "synthetic inputs differ by"),
    "theta_bn shifted": (_shifted, "theta_bn", "1 of 4 statistics were changed: "),
    "theta_bn dropped": (lambda p: replace(p, theta_bn={}), "theta_bn", "4 of 4 statistics are missing"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_breaks_silently_is_named(package: Package, file_of: Files, name: str) -> None:
    change, what, words = BROKEN[name]
    verdict = verify(file_of(change(package)))
    assert not verdict.passed
    assert words in _failures(verdict)[what]
    assert "digest" not in _failures(verdict), "whoever broke it made the digest anew"


@pytest.mark.parametrize("name", BROKEN)
def test_the_self_test_finds_it_even_where_all_that_names_it_was_made_anew(
    package: Package, file_of: Files, name: str
) -> None:
    changed = BROKEN[name][0](package)
    assert changed.self_test is not None
    changed = replace(changed, self_test=replace(changed.self_test, marks=marks(changed)))
    verdict = verify(file_of(changed))
    assert not verdict.passed
    assert _failures(verdict).keys() == ({"rebuild"} if name == "theta_bn dropped" else {"self-test"})


def test_statistics_given_to_other_layers_are_found(file_of: Files) -> None:
    package = make("test_resnet", norm="as_is", steps=1)
    first = list(package.theta_bn)[:4]  # of two layers that have as many channels
    turned = {name: package.theta_bn[other] for name, other in zip(first, first[2:] + first[:2], strict=True)}
    changed = replace(package, theta_bn=package.theta_bn | turned)
    found = _failures(verify(file_of(changed)))
    assert found.keys() == {"theta_bn", "self-test"}
    assert "the statistics belong to other layers: their order is another" in found["theta_bn"]


def test_a_package_as_it_was_made_passes(saved: Path) -> None:
    verdict = verify(saved)
    assert verdict.passed
    assert [check.what for check in verdict.checks] == [
        "digest",
        "signature",
        "images",
        "labels",
        "rates",
        "theta_bn",
        "start",
        "self-test",
    ]
    assert verdict.checks[1].passed is None, "unsigned is told, and no failure"


@pytest.mark.parametrize("options", [{"inner_weights": "head"}, {"norm": "group"}, {"momentum": 0.5, "epochs": 2}])
def test_packages_of_other_kinds_pass_too(file_of: Files, options: dict[str, object]) -> None:
    verdict = verify(file_of(make(**options)))  # type: ignore[arg-type]
    assert verdict.passed, _failures(verdict)


def test_a_change_without_a_new_digest_is_told_with_what_changed(saved: Path, package: Package) -> None:
    container = read(saved)
    tensors = container.tensors | {"rates": container.tensors["rates"] * 2}
    saved.write_bytes(to_bytes(Container(container.metadata, tensors)))
    assert _failures(verify(saved)).keys() == {"digest", "rates", "self-test"}


def test_a_start_that_another_library_makes_is_named_by_its_layer(package: Package, file_of: Files) -> None:
    prints = package.start_fingerprints | {"0.0.weight": "0" * 16}
    verdict = verify(file_of(replace(package, start_fingerprints=prints)))
    assert "its start has another layer 0.0.weight; use the same seed" in _failures(verdict)["rebuild"]
    assert verdict.network is None


def test_weights_that_were_changed_are_no_start(package: Package, file_of: Files) -> None:
    included = with_weights(package)
    assert included.weights is not None
    weights = included.weights | {"0.0.weight": included.weights["0.0.weight"] * 1.001}
    assert "another layer 0.0.weight" in _failures(verify(file_of(replace(included, weights=weights))))["rebuild"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda p: {"theta_bn": {n: v[:2] for n, v in p.theta_bn.items()}}, "is of 2 channels, the network's of "),
        (
            lambda p: {"theta_bn": p.theta_bn | {"x.running_mean": torch.zeros(2)}},
            "network has no x.running_mean",
        ),
        (
            lambda p: {"theta_bn": dict([*p.theta_bn.items()][1:])},
            "the statistics .* of the network are missing",
        ),
        (
            lambda p: {"rates": p.rates[..., None].repeat(1, 1, 5)},
            "its rates are those of 5 tensors, and ",
        ),
    ],
)
def test_what_does_not_fit_the_network_is_said(
    package: Package, change: Callable[[Package], dict[str, object]], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        rebuild(replace(package, **change(package)))  # type: ignore[arg-type]


def test_a_package_without_a_self_test_does_not_pass(package: Package, file_of: Files) -> None:
    verdict = verify(file_of(replace(package, self_test=None, expected=None)))
    assert _failures(verdict) == {"self-test": "the package has none, so nothing shows that it works here"}


def test_a_file_that_the_package_starts_from_has_to_be_named(package: Package, file_of: Files) -> None:
    with pytest.raises(InputError, match=r"starts from the file theirs.safetensors; say where it is \(--start FILE\)"):
        verify(file_of(replace(package, start="theirs.safetensors")))


def test_chaotic_inner_steps_are_said_to_be(package: Package, file_of: Files) -> None:
    assert package.self_test is not None
    assert package.expected is not None
    shaky = replace(package.self_test, spread=0.2)
    moved = package.expected.roll(1, 0)
    said = _failures(verify(file_of(replace(package, self_test=shaky, expected=moved))))["self-test"]
    assert "chaotic (a change of a millionth in the images moved outputs by 2.0e-01" in said
    calm = replace(package.self_test, spread=TOLERANCE / 20)
    said = _failures(verify(file_of(replace(package, self_test=calm, expected=moved))))["self-test"]
    assert "chaotic" not in said


def test_votes_that_change_are_counted(package: Package) -> None:
    network = rebuild(package)
    assert (run(package, network).votes, run(package, network).passed) == (0, True)
    assert package.expected is not None
    turned = run(replace(package, expected=package.expected.roll(1, 1)), network)
    assert (turned.votes, turned.inputs, turned.passed) == (INPUTS, INPUTS, False)


def test_synthetic_inputs_are_the_same_bits_everywhere(package: Package) -> None:
    seen = inputs(5, torch.zeros(1, 1, 1, 32, 32))
    assert seen.shape == (INPUTS, 1, 32, 32)
    assert hashlib.sha256(seen.numpy().tobytes()).hexdigest()[:16] == "a42a3ebadfe70207"
    images = (torch.arange(6 * 32 * 32).reshape(2, 3, 1, 32, 32) % 97 - 48).float() / 16
    mixed = inputs(5, images)
    assert hashlib.sha256(mixed.numpy().tobytes()).hexdigest()[:16] == "e14ab3306c37c618"
    assert torch.equal(mixed[1::2], seen[1::2]), "noise alone"
    assert 0.5 < float(seen.std()) < 2


def test_the_tolerance_lies_between_rounding_and_what_breaks_a_package(package: Package) -> None:
    network = rebuild(replace(package, labels=package.labels.round(decimals=2)))
    found = outputs(network, inputs(package.seed, package.images))
    assert package.expected is not None
    assert package.self_test is not None
    assert float((found - package.expected).abs().max()) > 3 * TOLERANCE
    assert 0 < package.self_test.spread < TOLERANCE / 3


def test_facts_that_nothing_is_computed_from_are_the_word_of_whoever_made_the_digest(
    saved: Path, tmp_path: Path
) -> None:
    """Another delta leaves the network as it was: what protects it is a signature (test_signature)."""
    assert verify(reseal(saved, tmp_path / "x.safetensors", delta=0.9)).passed
    claims = {"protocol": "validation", "validation": None, "test": None, "fold": None, "images": "float32"}
    with pytest.raises(InputError, match=r"claims\.validation"):
        verify(reseal(saved, tmp_path / "x.safetensors", claims=claims))


@pytest.mark.parametrize(("scale", "said"), [(1.0, False), (1e-21, True), (0.0, True)])
def test_rates_at_which_images_change_nothing_are_said(file_of: Files, scale: float, said: bool) -> None:
    made = make()
    idle = with_self_test(replace(made, rates=made.rates * scale, self_test=None))
    verdict = verify(file_of(idle))
    words = [check.words for check in verdict.checks if check.what == "effect"]
    assert bool(words) == said
    assert not said or "the images change nothing" in words[0]
    assert verdict.passed, "it is what its maker made"
