"""A package's network outside PyTorch: the same votes, nothing of the maker's machine, and no file where it fails."""

from __future__ import annotations

import io
import json
import re
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sldd.errors import InputError
from sldd.package import Package
from sldd.package.apply.films import find_patients, read_film
from sldd.package.apply.scoring import score
from sldd.package.cli.commands import main
from sldd.package.export import network as exporting
from sldd.package.export.network import FACTS, Receiver, run
from sldd.package.format.container import read
from sldd.package.rebuild.rebuild import rebuild
from sldd.rng import stream
from tests.sldd.package.conftest import SIDE, make

PATCHES = 1_000
PLACES = re.compile(rb"/[\w.-]+/[\w.-]+\.py|site-packages")
DOCUMENT = Path(__file__).parents[4] / "docs" / "receiving.md"


def _written(package: Package, folder: Path, ending: str) -> bytes:
    package.save(folder / "package.safetensors")
    out = folder / f"network{ending}"
    assert main(["export", str(folder / "package.safetensors"), str(out)]) == 0
    return out.read_bytes()


@pytest.fixture(scope="module")
def lenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A convolutional network as ONNX."""
    folder = tmp_path_factory.mktemp("lenet")
    _written(make(), folder, ".onnx")
    return folder / "network.onnx"


def _assert_votes(content: bytes, package: Package) -> None:
    values = stream(0, "tests", "onnx").uniform(0, 255, (PATCHES, 1, 8, 8)).astype(np.float32)
    values = np.kron(values, np.ones((SIDE // 8, SIDE // 8), np.float32))
    values *= stream(0, "tests", "brightness").uniform(0, 1, (PATCHES, 1, 1, 1)).astype(np.float32)
    with torch.no_grad():
        network = rebuild(package)
        wanted = torch.cat([network((part - 120) / 45) for part in torch.from_numpy(values).split(100)]).argmax(1)
    found = np.concatenate([run(content, ".onnx", part) for part in np.split(values, 10)]).argmax(1)
    assert found.tolist() == wanted.tolist()
    assert len(set(found.tolist())) > 1
    assert not PLACES.search(content)


def test_onnx_votes_as_a_convolutional_network_does(lenet: Path) -> None:
    _assert_votes(lenet.read_bytes(), make())


@pytest.mark.slow
def test_onnx_votes_as_a_transformer_does(tmp_path: Path) -> None:
    package = make("test_vit", norm="as_is", steps=1, fastest=0.011)
    _assert_votes(_written(package, tmp_path, ".onnx"), package)


@pytest.mark.parametrize("options", [{}, {"channels": 3}])
def test_an_exported_program_gives_the_same(options: dict[str, Any], tmp_path: Path) -> None:
    package = make(**options)
    content = _written(package, tmp_path, ".pt2")
    values = stream(1, "tests", "pt2").uniform(0, 255, (7, package.channels, SIDE, SIDE)).astype(np.float32)
    with torch.no_grad():
        wanted = Receiver(rebuild(package), package).eval()(torch.from_numpy(values))
    assert np.abs(run(content, ".pt2", values) - wanted.numpy()).max() < 1e-5
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        inside = b"".join(archive.read(name) for name in archive.namelist())
        (name,) = [name for name in archive.namelist() if name.endswith(FACTS)]
        facts = json.loads(archive.read(name))
    assert not PLACES.search(inside)
    assert facts["delta"] == package.delta
    assert facts["patches"]["stride"] == package.patches.score_stride
    assert facts["package"] == read(tmp_path / "package.safetensors").metadata["digest"]


def test_findings_have_a_probability_each() -> None:
    package = replace(make(norm="none"), classes=("a", "b", "c"), delta=None)
    values = torch.full((2, 1, SIDE, SIDE), 60.0)
    with torch.no_grad():
        found = Receiver(rebuild(make(norm="none")), package)(values)
        assert torch.allclose(found, rebuild(make(norm="none"))((values - 120) / 45).sigmoid())


def test_a_reader_without_this_project_scores_a_film_alike(films: Path, lenet: Path) -> None:
    code = next(
        block
        for block in re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
        if "onnxruntime" in block
    )
    assert "sldd." not in code.replace('"sldd"', "")
    names: dict[str, Callable[..., Any]] = {}
    exec(compile(code, str(DOCUMENT), "exec"), names)
    package = make()
    patients = find_patients(films)[:2]
    wanted = score(rebuild(package), package, patients, batch=64, device=torch.device("cpu")).votes.counts
    for patient, votes in zip(patients, wanted, strict=True):
        read_films = [read_film(film).pixels for film in patient.films]
        found = np.sum([names["score"](str(lenet), film) for film in read_films], 0)
        assert found.tolist() == votes.tolist()


@pytest.mark.parametrize(
    ("words", "out", "status"),
    [("ends with .onnx or .pt2", "network.pth", 2), ("no folder", "nowhere/network.onnx", 2)],
)
def test_a_file_that_cannot_be_is_not_written(
    saved: Path, capsys: pytest.CaptureFixture[str], words: str, out: str, status: int
) -> None:
    assert main(["export", str(saved), str(saved.parent / out)]) == status
    assert words in capsys.readouterr().err
    assert sorted(path.name for path in saved.parent.iterdir()) == [saved.name]


def test_a_network_that_does_not_pass_is_not_exported(saved: Path, package: Package) -> None:
    changed = replace(package, rates=package.rates * 2)
    changed.save(saved)
    assert main(["export", str(saved), str(saved.with_name("network.onnx"))]) == 1
    assert not saved.with_name("network.onnx").exists()


def test_a_missing_library_and_other_outputs_are_told(package: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    network = rebuild(package)
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "onnxscript", None)
        with pytest.raises(InputError, match=r"onnxscript: pip install 'sldd-study\[onnx\]'"):
            exporting.to_bytes(package, network, "0", ".onnx")
    monkeypatch.setattr(exporting, "run", lambda content, ending, values: np.zeros((len(values), 3), np.float32))
    with pytest.raises(InputError, match="other probabilities"):
        exporting.to_bytes(package, network, "0", ".pt2")
