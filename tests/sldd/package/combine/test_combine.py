"""Several hospitals' packages as one: what the combined network is, and what is not combined."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from sldd.data.patches import PatchSettings
from sldd.errors import InputError
from sldd.package import Package
from sldd.package.apply.films import find_patients
from sldd.package.apply.scoring import score
from sldd.package.cli.commands import main
from sldd.package.combine.alike import check_alike
from sldd.package.combine.images import combine, delta_of, pooled
from sldd.package.combine.votes import added
from sldd.package.combine.weights import average
from sldd.package.format.image_encoding import stored
from sldd.package.format.package import is_package, of_packages
from sldd.package.format.signature import generate
from sldd.package.rebuild.rebuild import rebuild, started
from sldd.package.rebuild.self_test import with_self_test
from sldd.package.rebuild.verify import verify
from tests.sldd.package.conftest import make

NAMES = ["a", "b"]


def _pair(**options: Any) -> list[Package]:
    """Two packages of one start and of different images, labels and rates."""
    one = make(**options)
    images = one.images.flip(0, 1) * 0.7
    other = replace(one, images=images, rates=one.rates * 0.5, mean=100.0, deviation=30.0, delta=0.55)
    return [one, with_self_test(other)]


@pytest.fixture(scope="module")
def pair() -> list[Package]:
    return _pair(norm="none")


def test_steps_are_in_sequence_or_in_turns(pair: list[Package]) -> None:
    (a, b), rates = pair, [package.rates for package in pair]
    joined = combine(pair, NAMES, "sequence")
    assert torch.equal(joined.images, torch.cat([a.images, b.images]))
    assert torch.equal(joined.rates, torch.cat(rates, 1))
    turns = combine(pair, NAMES, "interleaved")
    wanted = [a.images[0], b.images[0], a.images[1], b.images[1]]
    assert torch.equal(turns.images, torch.stack(wanted))
    assert torch.equal(turns.labels, torch.stack([a.labels[0], b.labels[0], a.labels[1], b.labels[1]]))
    assert turns.rates[0].tolist() == [float(rates[k][0, s]) for s in (0, 1) for k in (0, 1)]
    half = combine(pair, NAMES, "sequence", shrink=True)
    assert torch.equal(half.rates, joined.rates / 2)


def test_side_by_side_is_one_step_of_more_images(pair: list[Package]) -> None:
    joined = combine(pair, NAMES, "beside")
    assert joined.images.shape[:2] == (2, 6)
    assert torch.equal(joined.images[1], torch.cat([pair[0].images[1], pair[1].images[1]]))
    assert torch.allclose(joined.rates, (pair[0].rates + pair[1].rates) / 2)


def test_what_is_sent_on_verifies_and_claims_nothing(pair: list[Package], tmp_path: Path) -> None:
    joined = combine([replace(package, sides=(90.0, 96.0)) for package in pair], NAMES, "sequence")
    assert joined.sides == (), "of one hospital's films"
    joined.save(tmp_path / "joined.safetensors")
    assert verify(tmp_path / "joined.safetensors").passed
    assert joined.claims is None
    assert joined.delta == pytest.approx(0.5)
    values = np.concatenate([np.random.default_rng(0).normal(m, s, 10**6) for m, s in ((120, 45), (100, 30))])
    assert joined.mean == pytest.approx(values.mean(), abs=0.2)
    assert joined.deviation == pytest.approx(values.std(), abs=0.2)


def test_the_average_is_the_start_less_the_mean_of_all_steps(pair: list[Package]) -> None:
    found = dict(average(pair, NAMES).named_parameters())
    start = dict(started(pair[0]).named_parameters())
    for name, value in found.items():
        moved = torch.stack([dict(rebuild(package).named_parameters())[name] - start[name] for package in pair])
        assert torch.allclose(value, start[name] + moved.mean(0), atol=1e-6)
        assert value.requires_grad


@pytest.mark.parametrize("inner_weights", ["all", "head"])
def test_statistics_are_those_of_all_hospitals_values(inner_weights: str) -> None:
    pair = _pair(norm="batch", inner_weights=inner_weights, steps=1)
    changed = {name: value + 1.0 for name, value in pair[1].theta_bn.items()}
    pair[1] = with_self_test(replace(pair[1], theta_bn=changed))
    joined = combine(pair, NAMES, "sequence")
    network = average(pair, NAMES)
    assert network.training is False
    name = next(iter(joined.theta_bn)).rpartition(".")[0]
    means, variances = ([p.theta_bn[f"{name}.running_{what}"] for p in pair] for what in ("mean", "var"))
    for found in (joined.theta_bn, dict(network.named_buffers())):
        assert torch.allclose(found[f"{name}.running_mean"], torch.stack(means).mean(0))
        assert torch.allclose(found[f"{name}.running_var"], torch.stack(variances).mean(0) + 0.25, atol=1e-4)


def test_an_ensemble_adds_votes(
    pair: list[Package], films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    patients = find_patients(films)
    parts = [score(rebuild(p), p, patients, batch=64, device=torch.device("cpu")) for p in pair]
    assert np.array_equal(added(parts).votes.counts, parts[0].votes.counts + parts[1].votes.counts)
    for name, package in zip(NAMES, pair, strict=True):
        package.save(tmp_path / name)
    out = tmp_path / "scores.csv"
    assert main(["apply", str(tmp_path / "a"), str(films), "--with", str(tmp_path / "b"), "--out", str(out)]) == 0
    assert "called positive at delta 0.5," in capsys.readouterr().out, "the mean of theirs, 0.45 and 0.55"
    total = sum(int(line.split(",")[4]) for line in out.read_text().splitlines()[1:])
    assert total == sum(part.votes.counts[:, 2].sum() for part in parts)


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_a_film_that_one_network_cannot_take_has_no_votes_of_the_others(
    pair: list[Package], order: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = pair[0], replace(pair[1], patches=replace(pair[1].patches, size=80), mean=1.0, deviation=1.0)
    for name, package in zip(NAMES, (one, with_self_test(other)), strict=True):
        package.save(tmp_path / name)
    (tmp_path / "films").mkdir()
    pixels = np.random.default_rng(0).integers(90, 150, (96, 96)).astype(np.uint8)
    for name, film in (("large", pixels), ("small", pixels[:64, :64])):
        Image.fromarray(film).save(tmp_path / "films" / f"{name}.png")
    first, second, films, out = (str(tmp_path / name) for name in (*order, "films", "scores.csv"))
    assert main(["apply", first, films, "--with", second, "--out", out]) == 1
    said = capsys.readouterr().out
    assert "NOT READ: 1 of 2 radiographs" in said
    assert "film 2 of 2 by name: patches.size: 80 pixels is larger" in said
    (row,) = [line for line in Path(out).read_text().splitlines() if "could not be read" in line]
    assert row.split(",")[1:5] == ["0", "", "", ""]
    assert "gray values far from those" in Path(out).read_text(), "what only one package finds odd"
    (tmp_path / "films" / "large.png").unlink()
    assert main(["apply", first, films, "--with", second, "--out", str(tmp_path / "none.csv")]) == 2
    assert not (tmp_path / "none.csv").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"backbone": "convnet_w32"}, "b cannot be combined with a: its backbone is convnet_w32, and there lenet"),
        ({"seed": 4}, "its seed is 4, and there 3"),
        ({"classes": ("x", "y", "z"), "delta": None}, "its classes is x y z, and there I N P"),
        ({"depth": 16}, "its depth is 16, and there 8"),
        ({"channels": 3}, "its channels is 3, and there 1"),
        ({"start_fingerprints": {}}, "its start has another layer"),
    ],
)
def test_others_are_not_combined(pair: list[Package], change: dict[str, Any], words: str) -> None:
    others: list[Callable[[], object]] = [
        lambda: combine([pair[0], replace(pair[1], **change)], NAMES, "sequence"),
        lambda: average([pair[0], replace(pair[1], **change)], NAMES),
    ]
    for combined in others:
        with pytest.raises(InputError, match=words):
            combined()


@pytest.mark.parametrize(
    "change",
    [
        {"norm": "batch"}, {"start": "near_linear"}, {"exclusive": True}, {"slice": 0.5}, {"film_size": 64},
        {"inner_weights": "head"}, {"momentum": 0.5}, {"inner_precision": "bfloat16"},
        {"patches": PatchSettings(size=32, stride=16, score_stride=20, input_size=32)},
    ],
)  # fmt: skip
def test_nor_are_those_of_other_steps_or_other_films(pair: list[Package], change: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=rf"b cannot be combined with a: its {next(iter(change))} is "):
        check_alike([pair[0], replace(pair[1], **change)], NAMES)


def test_votes_of_other_films_are_not_added(
    pair: list[Package], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pair[0].save(tmp_path / "a")
    with_self_test(replace(pair[1], depth=16)).save(tmp_path / "b")
    a, b, out = (str(tmp_path / name) for name in ("a", "b", "scores.csv"))
    assert main(["apply", a, str(tmp_path), "--with", b, "--out", out]) == 2
    assert "b cannot be combined with a: its depth is 16, and there 8" in capsys.readouterr().err


def test_images_stay_encoded_as_those_of_all_are(pair: list[Package], tmp_path: Path) -> None:
    received, cost = zip(*(stored(package.images.numpy(), "uint8") for package in pair), strict=True)
    small = [
        replace(package, images=torch.from_numpy(images), stored=each)
        for package, images, each in zip(pair, received, cost, strict=True)
    ]
    joined = combine(small, NAMES, "sequence")
    joined.save(tmp_path / "joined.safetensors")
    found = Package.load(tmp_path / "joined.safetensors")
    assert found.stored.images == "uint8"
    assert torch.equal(found.images, torch.cat([small[0].images, small[1].images]))
    assert combine([small[0], pair[1]], NAMES, "sequence").stored.images == "float32"


def test_other_shapes_are_not_combined(pair: list[Package]) -> None:
    fewer = replace(pair[1], images=pair[1].images[:, :2], labels=pair[1].labels[:, :2])
    with pytest.raises(InputError, match="2 images a step, and a 3"):
        combine([pair[0], fewer], NAMES, "interleaved")
    assert combine([pair[0], fewer], NAMES, "beside").images.shape[1] == 5
    shorter = replace(pair[1], images=pair[1].images[:1], labels=pair[1].labels[:1], rates=pair[1].rates[:, :1])
    with pytest.raises(InputError, match="1 steps, and a 2"):
        combine([pair[0], shorter], NAMES, "beside")
    assert combine([pair[0], shorter], NAMES, "interleaved").images.shape[0] == 3
    long = [replace(package, rates=package.rates.expand(3000, -1)) for package in pair]
    with pytest.raises(
        InputError, match=r"of all would ask for 12,000 inner steps on 3 images; .* combine fewer, or add"
    ):
        combine(long, NAMES, "sequence")
    wide = [replace(package, rates=package.rates.expand(1000, -1)) for package in pair]
    many = [replace(each, images=each.images.repeat(1, 20, 1, 1, 1)) for each in wide]
    with pytest.raises(InputError, match="would ask for 2,000 inner steps on 120 images"):
        combine(many, NAMES, "beside")
    with pytest.raises(InputError, match="two packages or more"):
        combine(pair[:1], NAMES[:1], "sequence")


@pytest.mark.parametrize("how", ["sequence", "average"])
def test_one_tampered_package_stops_all(
    pair: list[Package], how: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [tmp_path / name for name in ("a", "b", "c")]
    for path, package in zip(paths, [*pair, pair[0]], strict=True):
        package.save(path)
    replace(pair[1], rates=pair[1].rates * 1.5).save(paths[1])  # with a digest that holds
    out = tmp_path / "out.safetensors"
    assert main(["combine", *map(str, paths), "--how", how, "--out", str(out)]) == 1
    said = capsys.readouterr().out
    assert f"{paths[1]}:" in said
    assert "rates" in said
    assert not out.exists()
    assert main(["apply", str(paths[0]), str(tmp_path), "--with", str(paths[1]), "--out", str(out)]) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c"]


def test_the_command_writes_a_package_or_weights(
    pair: list[Package], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [tmp_path / name for name in NAMES]
    for path, package in zip(paths, pair, strict=True):
        package.save(path)
    out, words = tmp_path / "out.safetensors", ["combine", *map(str, paths), "--out", str(tmp_path / "out.safetensors")]
    assert main([*words, "--how", "interleaved"]) == 0
    assert "measure it before use (verify --films)" in capsys.readouterr().out
    assert len(Package.load(out).images) == 4
    assert main([*words, "--how", "average"]) == 0
    assert of_packages(out)
    assert not is_package(out)
    assert "before use" not in capsys.readouterr().out
    wanted = dict(average(pair, NAMES).named_parameters())
    assert all(torch.equal(value, wanted[name]) for name, value in load_file(out).items())
    assert main([*words, "--how", "average", "--shrink"]) == 2
    assert "--shrink: divides rates of inner steps, and averaged weights have none" in capsys.readouterr().err
    generate(tmp_path / "key")
    key = str(tmp_path / "key.pub")
    for more, said in (
        (["--keys", key], "2 packages; name one for each"),
        (["--out", str(paths[0])], "a file that is read here"),
        (["--out", key, "--keys", key, key], "a file that is read here"),
        (["--out", key, "--start", key], "a file that is read here"),
    ):
        assert main([*words, "--how", "sequence", *more]) == 2
        assert said in capsys.readouterr().err
    assert main([*words, "--how", "sequence", "--keys", key, key]) == 1
    assert "unsigned" in capsys.readouterr().out
    assert main(["combine", str(paths[0]), str(paths[0]), "--how", "sequence", "--out", str(out)]) == 2
    assert "named twice" in capsys.readouterr().err


@pytest.mark.parametrize("deltas", [[0.4] * 3, [0.1, 0.2, 0.3], [0.3, 0.2, 0.1]])
def test_the_threshold_of_several_has_no_order_and_of_equal_ones_is_theirs(deltas: list[float]) -> None:
    packages = [SimpleNamespace(delta=delta) for delta in deltas]
    assert delta_of(packages) == (0.4 if deltas[0] == 0.4 else 0.2)  # type: ignore[arg-type]


def test_values_of_hospitals_that_are_nearly_constant_have_a_deviation() -> None:
    alike = [SimpleNamespace(mean=mean, deviation=1e-6) for mean in (200.1, 200.1, 200.1)]
    assert pooled(alike)[1] == pytest.approx(1e-6)  # type: ignore[arg-type]
