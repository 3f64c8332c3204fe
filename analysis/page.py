"""The bare page: style, sorting script and the HTML every part of it is made from.

Every function takes plain text and escapes it itself, unless its name for an argument says `html`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from analysis.theme import CLASS_COLOURS, FAINT, FONT, GRID, INK, PALETTE

# The page carries patients' derived data: the browser is told to load nothing and to send nothing anywhere.
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
FIGURE_CONFIG = {
    "responsive": True,
    "displaylogo": False,
    "modeBarButtons": [["toImage"]],  # dragging zooms, a double click goes back
    "toImageButtonOptions": {"format": "svg"},
}

STYLE = f"""
*, *::before, *::after {{ box-sizing: border-box }}
body {{ margin: 0; background: #f4f6f8; color: {INK}; font: 16px/1.55 {FONT} }}
main {{ max-width: 1240px; margin: 0 auto; padding: 28px 20px 60px }}
h1 {{ font-size: 1.75rem; line-height: 1.2; margin: 0 0 .3em }}
h2 {{ font-size: 1.12rem; line-height: 1.3; margin: 0 0 .5em }}
article + article {{ margin-top: 56px; border-top: 3px solid {INK}; padding-top: 28px }}
.kind {{ color: {FAINT}; margin: 0 0 4px; font-size: .9rem; letter-spacing: .03em }}
.card {{ background: white; border: 1px solid {GRID}; border-radius: 10px; padding: 18px 20px; min-width: 0 }}
.grid {{ display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 18px; margin: 18px 0 }}
.wide {{ grid-column: 1 / -1 }}
.story p {{ margin: 0 0 .6em; max-width: 92ch; font-size: 1.06rem }}
.story p:last-child {{ margin: 0 }}
.story .protocol {{ color: {FAINT}; font-size: .95rem }}
.notice {{ background: #fff6e0; border-left: 5px solid #E69F00; border-radius: 6px; padding: 10px 14px }}
.tiles {{ display: flex; flex-wrap: wrap; gap: 14px; margin: 18px 0 0 }}
.tile {{ flex: 1 1 170px; background: white; border: 1px solid {GRID}; border-radius: 10px; padding: 12px 16px }}
.tile b {{ display: block; font-size: 1.55rem; line-height: 1.25; color: {PALETTE[0]} }}
.tile span, .caption, .empty {{ color: {FAINT}; font-size: .9rem; line-height: 1.45 }}
.caption {{ margin: 8px 0 0; max-width: 100ch }}
.scroll {{ overflow: auto; max-height: 560px; border: 1px solid {GRID}; border-radius: 6px }}
table {{ border-collapse: collapse; font-size: .86rem; width: 100% }}
th, td {{ padding: 6px 10px; text-align: left; border-bottom: 1px solid {GRID}; white-space: nowrap }}
td.number {{ text-align: right; font-variant-numeric: tabular-nums }}
td.long {{ white-space: normal; min-width: 260px; overflow-wrap: anywhere }}
thead th {{ position: sticky; top: 0; background: #eef1f4; padding: 0 }}
thead th.fixed {{ padding: 6px 10px }}
th button {{ all: unset; cursor: pointer; padding: 7px 10px; display: block; font-weight: 600 }}
th button:focus-visible {{ outline: 2px solid {PALETTE[0]}; outline-offset: -2px }}
th[aria-sort=ascending] button::after {{ content: " ▲" }}
th[aria-sort=descending] button::after {{ content: " ▼" }}
.gallery {{ display: flex; flex-wrap: wrap; gap: 22px 30px }}
.cell {{ margin: 0 }}
.cell > figcaption {{ font-size: .9rem; margin-bottom: 6px; line-height: 1.35 }}
.cell small {{ color: {FAINT}; display: block; font-size: .84rem }}
.films {{ display: flex; flex-wrap: wrap; gap: 10px }}
.film {{ margin: 0; width: 160px; font-size: .78rem; line-height: 1.4; white-space: nowrap }}
.film img {{ width: 160px; height: 160px; display: block; border-radius: 4px; background: black;
  image-rendering: pixelated; object-fit: contain }}
.bar {{ display: flex; height: 7px; margin: 5px 0 3px; border-radius: 3px; overflow: hidden; background: {GRID} }}
.bar i {{ display: block; -webkit-print-color-adjust: exact; print-color-adjust: exact }}
{" ".join(f".bar .{name}, .key .{name} {{ background: {colour} }}" for name, colour in CLASS_COLOURS.items())}
.key i {{ display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin: 0 .3em 0 .7em }}
dl {{ display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 4px 18px; margin: 0; font-size: .9rem }}
dt {{ color: {FAINT} }} dd {{ margin: 0; overflow-wrap: anywhere }}
pre {{ overflow-x: auto; background: #f4f6f8; padding: 12px; border-radius: 6px; font-size: .82rem }}
summary {{ cursor: pointer; margin-top: 10px }}
select {{ font: inherit; padding: 4px 8px; max-width: 100%; border: 1px solid {FAINT}; border-radius: 6px }}
label {{ font-size: .92rem }}
nav a {{ margin-right: 16px }}
@media (max-width: 900px) {{ .grid {{ grid-template-columns: minmax(0, 1fr) }} }}
@media (max-width: 520px) {{
  main {{ padding: 18px 10px 40px }} .card {{ padding: 14px 12px }} h1 {{ font-size: 1.4rem }}
  .tile {{ flex-basis: 130px }} dl {{ grid-template-columns: minmax(0, 1fr) }} dd {{ margin-bottom: 6px }}
}}
@media print {{
  body {{ background: white }} .card, .tile, .cell {{ break-inside: avoid }}
  .scroll {{ max-height: none; overflow: visible }}
}}
"""

# A click on a heading sorts its table by that column, a second click the other way; missing values stay last.
SORT = """
document.addEventListener("click", event => {
  const button = event.target.closest("th button");
  if (!button) return;
  const head = button.parentElement, body = head.closest("table").tBodies[0];
  const up = head.getAttribute("aria-sort") !== "ascending";
  const key = row => row.cells[head.cellIndex].dataset.value ?? row.cells[head.cellIndex].textContent;
  const compare = (a, b) => isNaN(a) || isNaN(b) ? a.localeCompare(b, undefined, {numeric: true}) : a - b;
  const rows = [...body.rows].map(row => [key(row), row]);
  rows.sort(([a], [b]) => a === "" || b === "" ? (a === "") - (b === "") : (up ? 1 : -1) * compare(a, b));
  for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  body.append(...rows.map(([, row]) => row));
});
"""


# A menu shows the traces of its chart that carry the chosen value as their `meta`.
PICK = """
document.addEventListener("change", event => {
  const menu = event.target.closest("select[data-chart]");
  if (!menu) return;
  const chart = document.getElementById(menu.dataset.chart);
  Plotly.restyle(chart, {visible: chart.data.map(trace => trace.meta === menu.value)});
});
"""


def document(title: str, body_html: str) -> str:
    """The whole file: plotly.js once, the style, the script, and `body_html`."""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="analysis.dashboard">
<title>{escape(title)}</title>
<style>{STYLE}</style>
<script>{get_plotlyjs()}</script>
</head>
<body>
<main>
{body_html}
</main>
<script>{SORT}{PICK}</script>
</body>
</html>
"""


def card(title: str, content_html: str, caption: str = "", wide: bool = False) -> str:
    """A titled panel with a caption under its content."""
    under = f'\n<p class="caption">{escape(caption)}</p>' if caption else ""
    return (
        f'<section class="card{" wide" if wide else ""}">\n<h2>{escape(title)}</h2>\n{content_html}{under}\n</section>'
    )


def chart(figure: go.Figure, identity: str) -> str:
    """The figure as a `<div id=identity>` that draws itself; plotly.js is in the page already."""
    return str(figure.to_html(full_html=False, include_plotlyjs=False, div_id=identity, config=FIGURE_CONFIG))


def menu(label: str, options: Iterable[tuple[str, str]], identity: str) -> str:
    """A menu of (value, words) that picks what the chart `identity` shows."""
    listed = "".join(f'<option value="{escape(value)}">{escape(words)}</option>' for value, words in options)
    return f'<label>{escape(label)} <select data-chart="{escape(identity)}">{listed}</select></label>\n'


def table(headings: Sequence[str], rows: Iterable[Sequence[Any]], sortable: bool = True) -> str:
    """A table in a box that scrolls by itself. Numbers align right; None is an empty cell."""
    head = "".join(
        f'<th scope="col"><button type="button">{escape(name)}</button></th>'
        if sortable
        else f'<th scope="col" class="fixed">{escape(name)}</th>'
        for name in headings
    )
    body = "\n".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    content = f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>"
    return f'<div class="scroll" tabindex="0"><table>\n{content}</table></div>'


def _cell(value: Any) -> str:
    if value is None:
        return '<td data-value=""></td>'
    if isinstance(value, int | float):
        shown = f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
        return f'<td class="number" data-value="{value!r}">{shown}</td>'
    long = ' class="long"' if len(str(value)) > 60 else ""
    return f"<td{long}>{escape(str(value))}</td>"


def facts(pairs: Iterable[tuple[str, Any]]) -> str:
    """A list of names and what they are; pairs without a value are left out."""
    known = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>\n" for name, value in pairs if value not in (None, "")
    )
    return f"<dl>\n{known}</dl>"
