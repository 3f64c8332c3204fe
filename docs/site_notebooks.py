"""Hook of mkdocs.yml: the examples, notebooks kept as Python files (py:percent), as pages of the site.

``make docs`` runs them, for their tables and pictures (``NOTEBOOKS=run``); otherwise pages show what is written alone.

    python docs/site_notebooks.py examples/digits.py digits.ipynb      runs one, and keeps it with its outputs
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import jupytext
import nbformat
import plotly.io
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from nbclient import NotebookClient
from nbformat import NotebookNode
from plotly.offline import get_plotlyjs

ROOT = Path(__file__).parents[1]
_SECONDS = 300


def run(path: Path, folder: Path) -> NotebookNode:
    """An example with its outputs, run in a process of its own in ``folder``.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed.
        nbclient.exceptions.CellTimeoutError: a cell took longer than five minutes.
    """
    notebook = jupytext.read(path)
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    resources = {"metadata": {"path": str(folder)}}
    client = NotebookClient(notebook, kernel_name="python3", timeout=_SECONDS, startup_timeout=120, resources=resources)
    client.execute(env=environment)
    return notebook


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each example, and the notebook itself to download."""
    drawn = False
    for path in sorted((ROOT / "examples").glob("*.py")):
        if os.environ.get("NOTEBOOKS") == "run":
            with tempfile.TemporaryDirectory() as folder:
                notebook = run(path, Path(folder))
        else:
            notebook = jupytext.read(path)
        parts = [_cell(cell) for cell in notebook.cells]
        drawn = drawn or any("plotly-graph-div" in part for part in parts)
        parts.insert(1, f"[This page as a notebook]({path.stem}.ipynb){{download}}")
        files.append(File.generated(config, f"notebooks/{path.stem}.md", content="\n\n".join(parts)))
        plain = jupytext.writes(jupytext.read(path), "ipynb")
        files.append(File.generated(config, f"notebooks/{path.stem}.ipynb", content=plain))
    if drawn:
        files.append(File.generated(config, "notebooks/plotly.js", content=get_plotlyjs()))
    return files


def _cell(cell: NotebookNode) -> str:
    """A cell in Markdown, its outputs below its code."""
    if cell.cell_type == "markdown":
        return str(cell.source).replace("](../docs/", "](../")
    outputs = [_output(output) for output in cell.get("outputs", [])]
    return "\n\n".join([f"```python\n{cell.source}\n```", *filter(None, outputs)])


def _output(output: NotebookNode) -> str:
    if output.output_type == "stream":
        return f"```text\n{output.text.rstrip()}\n```" if output.name == "stdout" else ""
    data = output.get("data", {})
    if figure := data.get("application/vnd.plotly.v1+json"):
        drawn = plotly.io.to_html(
            {"data": figure["data"], "layout": figure["layout"]}, full_html=False, include_plotlyjs="plotly.js"
        )
        return f"<div>{drawn}</div>"
    if picture := data.get("image/png"):
        return f'<img alt="what the cell shows" src="data:image/png;base64,{"".join(picture.split())}">'
    if output.output_type == "display_data":
        return ""  # progress
    if markdown := data.get("text/markdown"):
        return f"<div markdown>\n\n{markdown}\n\n</div>"
    if table := data.get("text/html"):
        return f'<div class="md-typeset__scrollwrap">{table}</div>'
    return f"```text\n{data['text/plain']}\n```" if "text/plain" in data else ""


if __name__ == "__main__":
    example, out = map(Path, sys.argv[1:])
    nbformat.write(run(example, Path()), out)
