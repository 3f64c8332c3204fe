"""The rooms are as docs/architecture.md shows them: no circles, small folders, arrows one way."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture
def architecture(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The script; docs is no package."""
    monkeypatch.syspath_prepend(DOCS)
    import architecture

    yield architecture
    for name in ("architecture", "architecture_figure"):
        sys.modules.pop(name, None)


def write(root: Path, modules: dict[str, str]) -> Path:
    """A repository of modules by their places."""
    for name, text in modules.items():
        path = root / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        for folder in path.relative_to(root).parents[:-1]:
            (root / folder / "__init__.py").touch()
        path.write_text(text)
    return root


def test_the_house_keeps_its_limits(architecture: ModuleType) -> None:
    assert architecture.problems(architecture.read_imports()) == []


def test_the_figure_is_of_these_imports(architecture: ModuleType) -> None:
    from architecture_figure import draw

    drawn = architecture.DRAWING.read_text(encoding="utf-8")
    assert drawn == draw(architecture.read_imports()), "python docs/architecture.py --draw"


def test_every_folder_says_what_it_is_for(architecture: ModuleType) -> None:
    silent = [
        folder
        for folder in architecture.read_imports().folders
        if not (architecture.ROOT / folder.replace(".", "/") / "__init__.py").read_text().startswith('"""')
    ]
    assert silent == []


@pytest.mark.parametrize(
    ("modules", "circles"),
    [
        ({"sldd/a": "import sldd.b", "sldd/b": ""}, []),
        ({"sldd/a": "import sldd.b", "sldd/b": "from sldd.a import x"}, ["sldd.a", "sldd.b"]),
        ({"sldd/a": "def f():\n from sldd import b", "sldd/b": "from sldd import a"}, ["sldd.a", "sldd.b"]),
        # Modules in no circle, in folders that are in one.
        ({"sldd/x/a": "import sldd.y.a", "sldd/x/b": "", "sldd/y/a": "", "sldd/y/b": "import sldd.x.b"},
         ["sldd.x", "sldd.y"]),
        ({"sldd/a": "import study.a", "study/a": "", "study/b": "import sldd.b", "sldd/b": ""}, ["sldd", "study"]),
        # A command may import anything.
        ({"sldd/x/__main__": "import sldd.y.a", "sldd/x/a": "", "sldd/y/a": "import sldd.x.a"}, []),
    ],
)  # fmt: skip
def test_circles_are_found(architecture: ModuleType, tmp_path: Path, modules: dict[str, str], circles: list[str]):
    found = architecture.read_imports(write(tmp_path, modules)).circles()
    assert found[:1] == ([circles] if circles else [])


def test_a_crowded_folder_is_found(architecture: ModuleType, tmp_path: Path) -> None:
    root = write(tmp_path, {f"sldd/x/m{number}": "" for number in range(15)})
    assert any(
        line.startswith("sldd.x has 15 modules") for line in architecture.problems(architecture.read_imports(root))
    )
