"""HTML of the page: plotly, the scripts and style in `assets`, and elements that its parts use.

Every function takes plain text and escapes it itself, unless its name for an argument says `html`.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

from plotly.offline import get_plotlyjs

from analysis.figures.parts.theme import CLASS_COLOURS, FAINT, FONT, GRID, INK, PALETTE

# The page carries patients' derived data: the browser is told to load nothing and to send nothing anywhere.
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
SCRIPTS = ("state.js", "charts.js", "filters.js", "table.js", "cells.js", "page.js")


def document(title: str, articles_html: str, content: Mapping[str, Any], cells: Mapping[str, Any]) -> str:
    """The whole file, with what it needs to work without a network.

    Args:
        content: what the scripts start from; `Content.script`.
        cells: a piece of data for each cell, parsed when the cell is chosen.
    """
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
{head(title)}
</head>
<body>
{body(articles_html, content, cells)}
</body>
</html>
"""


def head(title: str) -> str:
    """Content of the page's `<head>`."""
    return f"""<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="analysis.dashboard">
<title>{escape(title)}</title>
<style>{style()}</style>"""


def body(articles_html: str, content: Mapping[str, Any], cells: Mapping[str, Any]) -> str:
    """The filters and the articles, plotly and the scripts; last the cells, which charts need not wait for."""
    pieces = "\n".join(
        f'<script type="text/plain" data-cell="{escape(name)}">{packed(piece)}</script>'
        for name, piece in cells.items()
    )
    return f"""<main>
<form id="filters" aria-label="Show only" hidden></form>
{articles_html}
</main>
<script type="text/plain" id="content">{packed(content)}</script>
<script>{get_plotlyjs()}</script>
<script>{scripts()}</script>
{pieces}"""


@cache
def style() -> str:
    """The style, in the theme's colours."""
    names = {"ink": INK, "faint": FAINT, "grid": GRID, "accent": PALETTE[0], "font": FONT} | CLASS_COLOURS
    colours = "; ".join(f"--{name}: {value}" for name, value in names.items())
    return f":root {{ {colours} }}\n{_asset('page.css')}"


@cache
def scripts() -> str:
    """All scripts of the page but plotly, in a scope of their own."""
    return "(() => {\n" + "\n".join(map(_asset, SCRIPTS)) + "\n})();"


def _asset(name: str) -> str:
    return files("analysis").joinpath("assets", name).read_text(encoding="utf-8")


def packed(data: Any) -> str:
    """JSON, gzipped and in base64: a quarter of its size, and no name in it is ever markup."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return base64.b64encode(gzip.compress(text.encode(), 6, mtime=0)).decode("ascii")


def table(headings: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A small table in a box that scrolls by itself."""
    return _scrolling("<table>", headings, [f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows])


def answer_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """The table of networks. Where there is no room, a row becomes a block, whose cells say their heading."""
    rows_html = []
    for row in rows:
        pairs = zip(headings, row, strict=True)
        cells = [f'<td data-label="{escape(name)}">{escape(value)}</td>' for name, value in pairs]
        rows_html.append(f"<tr>{''.join(cells)}</tr>")
    return _scrolling('<table class="answers">', headings, rows_html)


def _scrolling(tag_html: str, headings: Sequence[str], rows_html: Sequence[str]) -> str:
    """A table in a box that scrolls by itself."""
    top = "".join(f'<th scope="col">{escape(name)}</th>' for name in headings)
    body = "\n".join(rows_html)
    content = f"<thead><tr>{top}</tr></thead>\n<tbody>\n{body}\n</tbody>"
    return f'<div class="scroll" tabindex="0">{tag_html}\n{content}</table></div>'


def _cell(value: Any) -> str:
    long = ' class="long"' if len(str(value)) > 60 else ""
    return f"<td{long}>{escape(str(value))}</td>"


def description_list(pairs: Iterable[tuple[str, Any]]) -> str:
    """A `<dl>` of names and values; pairs without a value are left out."""
    known = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>\n" for name, value in pairs if value not in (None, "")
    )
    return f"<dl>\n{known}</dl>"
