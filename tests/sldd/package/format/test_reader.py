"""The reader in docs/package.md, which knows nothing of this project, rebuilds the same network."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sldd.package.apply.films import find_patients, read_film
from sldd.package.apply.scoring import score
from sldd.package.format.container import Container, read, to_bytes
from sldd.package.format.image_encoding import stored
from sldd.package.rebuild.rebuild import rebuild, with_weights
from sldd.package.rebuild.self_test import inputs, outputs, with_self_test
from tests.sldd.package.conftest import make

DOCUMENT = Path(__file__).parents[4] / "docs" / "package.md"


@pytest.fixture(scope="module")
def reader() -> dict[str, Callable[..., Any]]:
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    lines = [line for line in code.splitlines() if line.strip() and not line.startswith(("import", "from"))]
    assert len(lines) <= 34
    assert "sldd" not in code
    names: dict[str, Any] = {}
    exec(compile(code, str(DOCUMENT), "exec"), names)
    return names


@pytest.mark.parametrize(
    ("backbone", "how", "options"),
    [
        ("test_convnext", "uint8", {"steps": 2, "epochs": 2}),
        ("test_resnet", "float32", {"steps": 1, "fastest": 0.011}),  # batch norm; more steps of it would be chaotic
    ],
)
def test_it_rebuilds_the_same_network(
    reader: dict[str, Callable[..., Any]],
    films: Path,
    tmp_path: Path,
    backbone: str,
    how: Any,
    options: dict[str, Any],
) -> None:
    package = make(backbone, norm="as_is", **options)
    received, cost = stored(package.images.numpy(), how)
    package = with_self_test(with_weights(replace(package, images=torch.from_numpy(received), stored=cost)))
    package.save(tmp_path / "package.safetensors")
    facts, tensors = reader["read"](tmp_path / "package.safetensors")
    network = reader["rebuild"](facts, tensors)
    seen = inputs(package.seed, package.images)
    assert package.expected is not None
    assert float((outputs(network, seen) - package.expected).abs().max()) < 1e-3
    untaught = rebuild(replace(package, rates=torch.zeros_like(package.rates)))
    assert float((outputs(untaught, seen) - package.expected).abs().max()) > 0.05, "the inner steps do something"
    patient = find_patients(films)[1]
    film = torch.from_numpy(read_film(patient.films[0]).pixels.astype(np.float32))
    expected = score(rebuild(package), package, [patient], batch=64, device=torch.device("cpu")).votes.counts[0]
    assert reader["score"](network, facts, film) == expected.tolist()


def test_it_finds_a_changed_file(reader: dict[str, Callable[..., Any]], saved: Path) -> None:
    container = read(saved)
    changed = container.tensors | {"rates": container.tensors["rates"] * 2}
    saved.write_bytes(to_bytes(Container(container.metadata, changed)))
    with pytest.raises(AssertionError, match="the file was changed"):
        reader["read"](saved)
