"""Figures for papers: every figure, in every format, by one command."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
from PIL import Image

from analysis.figures.parts.theme import FAINT, INK, PALETTE, TEMPLATE
from analysis.page.panels import panels
from analysis.publish import POINTS_PER_MM, TYPE, _drawer, figures, main, printed
from analysis.records.records import read_study


@pytest.fixture
def study(demo: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(demo, tmp_path / "demo"))


@pytest.mark.usefixtures("browser")  # skips, or fails in CI, where there is none
def test_a_figure_in_every_format(study, capsys):
    assert main([str(study), "--figure", "hm-by-images", "--width", "85"]) == 0
    written = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert [path.name for path in written] == ["hm-by-images.svg", "hm-by-images.pdf", "hm-by-images.png"]
    svg, pdf, png = written
    assert svg.read_text().startswith("<svg")
    assert 'class="trace scatter' in svg.read_text()
    assert f'width="{85 * POINTS_PER_MM:.1f}'[:-1] in svg.read_text()
    assert pdf.read_bytes().startswith(b"%PDF")
    colours = Image.open(png).convert("RGB").getcolors(1 << 24)
    assert {bytes.fromhex(PALETTE[0][1:]), bytes.fromhex(INK[1:])} <= {bytes(colour) for _, colour in colours}


def test_the_figures_are_the_pages_and_each_cells(demo):
    study = read_study(demo)
    names = [name for name, _ in figures(study)]
    assert names[: -len(study.cells)] == [panel.name for panel in panels(study)]
    assert names[-len(study.cells) :] == [f"hm-by-delta-{cell['cell']}" for cell in study.cells]


def test_type_has_the_same_size_on_paper_whatever_the_width(demo):
    (_, figure), *_ = figures(read_study(demo))
    for width in (85, 170):
        scale = width * POINTS_PER_MM / printed(figure, width).layout.width
        assert scale * TEMPLATE.layout.font.size == pytest.approx(TYPE)


@pytest.mark.parametrize("width", ["19", "1001", "nan"])
def test_a_width_that_is_none_is_refused(tmp_path, capsys, width):
    with pytest.raises(SystemExit) as exit_:
        main([str(tmp_path), "--width", width])
    assert exit_.value.code == 2
    assert "--width: between 20 and 1000 millimetres" in capsys.readouterr().err


def test_what_cannot_be_drawn_is_one_line(study, ledger, capsys):
    assert main([str(study), "--figure", "nothing"]) == 2
    assert main([str(ledger("empty").folder)]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert "no figure nothing; there are minimum, hm-by-parameters" in said[0]
    assert "no trial has a score" in said[1]
    assert not (study / "figures").exists()


BROWSERS = {
    "none": (None, "kaleido draws with Chrome or Chromium; install one"),
    "one that ends": ("#!/bin/sh\necho 'requires the chromium snap to be installed'\nexit 1\n", "does not start"),
    "one that is none": ("\0", "does not start"),
    "one that hangs": ("#!/bin/sh\nexec sleep 60\n", "does not start"),
}


@pytest.mark.parametrize("kind", BROWSERS)
def test_without_a_browser_there_is_one_line_and_soon(study, tmp_path, monkeypatch, capsys, kind):
    script, says = BROWSERS[kind]
    path = tmp_path / "chrome"
    if script is not None:
        path.write_text(script)
        path.chmod(0o755)
    monkeypatch.setenv("BROWSER_PATH", str(path))
    monkeypatch.setattr("analysis.publish._PATIENCE", 0.5)
    started = time.monotonic()
    assert main([str(study), "--figure", "hm-by-images"]) == 2
    assert time.monotonic() - started < 50, "the one that hangs does so for a minute"
    (said,) = capsys.readouterr().err.splitlines()
    assert says in said
    assert not (study / "figures").exists()


def test_a_browser_that_says_its_version_is_taken(tmp_path, monkeypatch):
    path = tmp_path / "chrome"
    path.write_text("#!/bin/sh\necho Chromium 130\n")
    path.chmod(0o755)
    monkeypatch.setenv("BROWSER_PATH", str(path))
    assert _drawer().calc_fig_sync


def luminance(colour: str) -> float:
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("colour", [INK, FAINT])
def test_words_can_be_read(colour):
    assert 1.05 / (luminance(colour) + 0.05) >= 4.5, "WCAG 2.1, 1.4.3"
    assert (luminance("#f4f6f8") + 0.05) / (luminance(colour) + 0.05) >= 4.5
