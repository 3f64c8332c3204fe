"""Examples run as they are, that of the README too; the public interface costs nothing until it is asked for."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import sldd

ROOT = Path(__file__).parents[1]


NOTEBOOKS = {
    "digits": [r"Distilled\(", "'accuracy'", r"kB; the network of these has 0\.[89]"],
    "own_films": [
        "PHANTOM-0001",
        "films-elsewhere",
        "test patients: HM 0.",
        "other patients, the same threshold: HM 0.",
    ],
    "small_study": ["6 trials", "undecided|suffice|not judged|open", "ordinary training", "hm-by-images"],
}
"""What each notebook has to show, as patterns."""


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebooks_run_and_show_what_they_promise(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    command = [sys.executable, ROOT / "docs" / "site_notebooks.py", ROOT / "examples" / f"{name}.py", "run.ipynb"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=600)
    cells = json.loads((tmp_path / "run.ipynb").read_text())["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    shown = json.dumps(outputs)
    assert [pattern for pattern in NOTEBOOKS[name] if not re.search(pattern, shown)] == []
    assert "image/png" in shown or "application/vnd.plotly.v1+json" in shown
    said = "".join(line for output in outputs if output.get("name") == "stderr" for line in output["text"])
    assert "Error" not in said.replace("ImportError", "")
    assert "ipywidgets" not in re.sub(r".*tqdm.*\n", "", said), "nothing of ours asks for what a notebook may not have"


def test_every_example_is_a_notebook_that_runs_and_has_a_page() -> None:
    assert {path.stem for path in (ROOT / "examples").glob("*")} == NOTEBOOKS.keys()
    assert all(f"notebooks/{name}.md" in (ROOT / "mkdocs.yml").read_text() for name in NOTEBOOKS)


def test_the_readme_says_what_it_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    exec(compile(code, "README.md", "exec"), {})
    accuracy = float(re.findall(r"'accuracy': ([\d.]+)", capsys.readouterr().out)[0])
    assert accuracy > 0.8
    assert len(sldd.load("digits.safetensors").images[0]) == 10


def test_public_names_are_there_and_cost_nothing_until_asked_for() -> None:
    assert [getattr(sldd, name).__name__ for name in sldd.__all__] == sldd.__all__ == dir(sldd)
    with pytest.raises(AttributeError, match="no attribute 'distil'"):
        sldd.distil  # noqa: B018
    code = "import sys, sldd; print('torch' in sys.modules); sldd.distill; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "True"]
