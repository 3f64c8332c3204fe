"""Writes every figure of a study for a paper or a talk: python -m analysis.publish results/demo

    python -m analysis.publish results/demo                              SVG, PDF and PNG in results/demo/figures
    python -m analysis.publish results/demo --figure minimum --format pdf --out paper/figures
    python -m analysis.publish results/demo --width 85                   one column of a journal, in millimetres

The figures are the page's, in the same theme: colours that are told apart with any colour vision, a symbol with each so
that a gray print still reads. Tables: python -m analysis.tables STUDY --format latex (or csv).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from analysis.figures.parts.theme import TEMPLATE
from analysis.page.panels import cell_figure, cell_panels, panels
from analysis.records.records import NotAStudyError, Study, read_study
from ledger.storage import Folder, StorageError, make, open_folder, write_whole

FORMATS = ("svg", "pdf", "png")
WIDTH = 170.0  # mm: two columns of most journals
POINTS_PER_MM = 72 / 25.4
TYPE = 8.0  # points: the size of the type on paper
_PATIENCE = 60  # seconds for a browser to say its version, on a machine that is busy
SCALE = 4  # pixels of a PNG a point: 288 a inch


class NoFigureError(ValueError):
    """There is nothing to draw, or nothing to draw it with; the message is one line for the user."""


def figures(study: Study) -> Iterator[tuple[str, go.Figure]]:
    """Name and figure: those of the page, then HM(delta) of every confirmed cell, or its AUC by finding."""
    for panel in panels(study):
        yield panel.name, panel.figure
    for cell in cell_panels(study):
        yield f"{cell_figure(study).name}-{cell.cell}", cell.figure


def printed(figure: go.Figure, width: float) -> go.Figure:
    """The figure `width` millimetres wide: laid out as on the page, then scaled so that its type has `TYPE` points."""
    side = width * POINTS_PER_MM * TEMPLATE.layout.font.size / TYPE
    height = figure.layout.height or TEMPLATE.layout.height
    return go.Figure(figure).update_layout(width=side, height=height, margin={"l": 12, "r": 16, "t": 12, "b": 12})


def write_figures(
    study: Study, out: Folder, names: Sequence[str], formats: Sequence[str], width: float
) -> Iterator[Folder]:
    """Write `<name>.<format>` for the figures named (none: all) and yield each file.

    Raises:
        NoFigureError: the study has none of them, or the library or browser that draws them is missing.
    """
    known = dict(figures(study))
    if not known:
        raise NoFigureError(f"{study.folder}: nothing to draw yet, no trial has a score")
    for name in names:
        if name not in known:
            raise NoFigureError(f"{study.folder}: no figure {name}; there are {', '.join(known)}")
    kaleido = _drawer()
    try:
        kaleido.start_sync_server(silence_warnings=True)
        for name in names or known:
            drawn = printed(known[name], width)
            for form in formats:
                scale = TYPE / TEMPLATE.layout.font.size * (SCALE if form == "png" else 1)
                content = kaleido.calc_fig_sync(drawn, opts={"format": form, "scale": scale})
                make(out)
                write_whole(out / f"{name}.{form}", content)
                yield out / f"{name}.{form}"
    finally:
        kaleido.stop_sync_server(silence_warnings=True)


def _drawer() -> Any:
    """The library kaleido, once a browser for it is there and starts: without, its server would wait for ever.

    Raises:
        NoFigureError: one of the two is missing, or the browser does not start.
    """
    try:
        import kaleido
        from choreographer.browsers.chromium import Chromium
    except ImportError:
        raise NoFigureError("figures are drawn by kaleido; pip install 'sldd-study[figures]'") from None
    path = Chromium.find_browser(skip_local=False)
    if not path or not Path(path).is_file():
        raise NoFigureError("kaleido draws with Chrome or Chromium; install one, or say where it is (BROWSER_PATH)")
    try:
        completed = subprocess.run([path, "--version"], capture_output=True, timeout=_PATIENCE, check=False)
        works = completed.returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        works = False
    if not works:
        raise NoFigureError(f"{path}: the browser that kaleido draws with does not start; try '{path} --version'")
    return kaleido


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m analysis.publish", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", metavar="STUDY", help="a study's folder or URL, with its study.yaml")
    parser.add_argument("--figure", nargs="+", default=[], metavar="NAME", help="only these figures (default: all)")
    parser.add_argument("--format", nargs="+", choices=FORMATS, default=FORMATS, help="default: all of them")
    parser.add_argument("--width", type=float, default=WIDTH, metavar="MM", help=f"figures' width (default: {WIDTH:g})")
    parser.add_argument("--out", metavar="DIR", help="a folder or URL (default: figures in the STUDY's folder)")
    options = parser.parse_args(arguments)
    if not 20 <= options.width <= 1000:
        parser.error("--width: between 20 and 1000 millimetres")
    try:
        study = read_study(options.study)
        out = open_folder(options.out) if options.out else study.folder / "figures"
        for path in write_figures(study, out, options.figure, options.format, options.width):
            print(path, flush=True)
    except (NotAStudyError, NoFigureError, StorageError, OSError) as error:
        print(f"publish: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
