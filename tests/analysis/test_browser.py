"""The page as a real browser draws it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from analysis.dashboard import write_dashboard

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--enable-logging=stderr",  # the page's own complaints
    "--window-size=1280,4000",
    "--virtual-time-budget=5000",
    "--dump-dom",
]


def drawn(page: Path, profile: Path) -> str:
    """The page's DOM once its scripts have run, which must not have complained."""
    if CHROMIUM is None:
        words = "chromium is not installed: the page was not looked at in a browser"
        pytest.fail(words) if os.environ.get("CI") else pytest.skip(words)
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", page.resolve().as_uri()]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert [line for line in run.stderr.splitlines() if "CONSOLE" in line] == []
    return run.stdout


def charts(dom: str) -> dict[str, str]:
    """The drawn HTML of each chart by its name."""
    _, *parts = re.split(r'<div id="study-0-([a-z-]+)"', dom)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_every_panel_is_drawn(demo, tmp_path):
    dom = drawn(write_dashboard(demo, out=tmp_path / "page.html"), tmp_path / "profile")
    traces = {name: len(re.findall(r'<g class="trace scatter', part)) for name, part in charts(dom).items()}
    # Bars and points; lines and rings; image counts; backbones and, for the legend, their symbols; curves and marks.
    assert traces == {"minimum": 2, "hm-by-images": 4, "hm-by-parameters": 3, "search": 6, "hm-by-delta": 5}


def test_the_menu_and_the_table_work(demo, tmp_path):
    page = write_dashboard(demo, out=tmp_path / "page.html")
    script = """<script>
    const menu = document.querySelector("select"); menu.value = "test_vgg-m3-one_hot-as_is-sldd-s1e1";
    menu.dispatchEvent(new Event("change", {bubbles: true}));
    const heads = [...document.querySelectorAll("th button")];
    heads.find(head => head.textContent === "test hm").click();
    document.body.dataset.shown = [...new Set(document.getElementById(menu.dataset.chart).data
        .filter(trace => trace.visible).map(trace => trace.meta))];
    const at = heads.findIndex(head => head.textContent === "test hm");
    const rows = [...heads[at].closest("table").tBodies[0].rows];
    document.body.dataset.column = rows.map(row => row.cells[at].dataset.value);
    </script>"""
    page.write_text(page.read_text(encoding="utf-8").replace("</body>", script + "</body>"), encoding="utf-8")
    (body,) = re.findall(r"<body [^>]*>", drawn(page, tmp_path / "profile"))
    assert 'data-shown="test_vgg-m3-one_hot-as_is-sldd-s1e1"' in body
    (column,) = re.findall(r'data-column="([^"]*)"', body)
    scores = [float(score) for score in column.split(",") if score]
    assert len(scores) == 18
    assert scores == sorted(scores)
    assert column.endswith("," * 9)  # search trials have none and stay last
