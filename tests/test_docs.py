"""The documentation is built as strictly as ``make docs`` builds it, and takes nothing from the network."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import sldd

ROOT = Path(__file__).parents[1]
FETCHED = re.compile(r'<(?:script|link|img|iframe)\b[^>]*?\b(?:src|href)="((?:https?:)?//[^"]*)"')


def build(checkout: Path, out: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(out)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_the_site_is_built_without_a_warning_and_without_the_network(tmp_path: Path) -> None:
    built = build(ROOT, tmp_path)
    assert built.returncode == 0, built.stderr
    pages = {path.relative_to(tmp_path).as_posix(): path.read_text() for path in tmp_path.rglob("*.html")}
    assert {name: found for name, text in pages.items() if (found := FETCHED.findall(text))} == {}
    listed = {path.stem for path in (ROOT / "docs").glob("*.md")} | {"index", "CHANGELOG", "CONTRIBUTING", "SECURITY"}
    assert {f"{name}.html" for name in listed} <= pages.keys()
    interface = pages["interface.html"]
    missing = [name for name in sldd.__all__ if not re.search(rf'id="sldd\.[\w.]+\.{name}"', interface)]
    assert missing == []
    assert "Adam's rate on images" in pages["settings.html"]
    assert "def outer" not in interface, "it is read, not copied"


@pytest.mark.slow
def test_links_to_nothing_are_errors(tmp_path: Path) -> None:
    links = {"../sldd/nowhere.py": "sldd/nowhere.py", "nowhere.md": "nowhere.md", "study.md#nowhere": "#nowhere"}
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    for name in ("mkdocs.yml", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "CITATION.cff"):
        shutil.copy(ROOT / name, tmp_path)
    for room in ("examples", "sldd", "study", "ledger", "analysis"):
        (tmp_path / room).symlink_to(ROOT / room)
    (tmp_path / "docs" / "digits.md").write_text("\n".join(["# Digits", *(f"[rates]({link})" for link in links)]))
    built = build(tmp_path, tmp_path / "site")
    assert built.returncode != 0
    warned = [line for line in built.stderr.splitlines() if line.startswith("WARNING")]
    assert len(warned) == len(links), warned
    assert all(any(name in line for line in warned) for name in links.values()), warned
