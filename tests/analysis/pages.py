"""What is on a page, also what travels in it packed: charts, tables, hover boxes, the pieces of cells."""

from __future__ import annotations

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any

from plotly.offline import get_plotlyjs

_PACKED = re.compile(r'<script type="text/plain" ([^>]*)>(.*?)</script>', re.DOTALL)


def page_of(path: Path) -> str:
    """The page without plotly.js, which has to be in it exactly once."""
    before, *after = path.read_text(encoding="utf-8").split(get_plotlyjs())
    assert len(after) == 1
    return before + after[0]


def data_of(page: str, name: str) -> Any:
    """What the page's scripts read: `id="content"`, or a cell's."""
    (text,) = [text for found, text in _PACKED.findall(page) if found == name]
    return json.loads(gzip.decompress(base64.b64decode(text)))


def cells_of(page: str) -> dict[str, Any]:
    """The pieces of all cells."""
    names = re.findall(r'plain" data-cell="([^"]+)"', page)
    return {name: data_of(page, f'data-cell="{name}"') for name in names}


def everything_in(page: str) -> str:
    """The page with all that is packed in it, as text: what is not in this, no reader sees."""
    packed = [gzip.decompress(base64.b64decode(text)).decode() for _, text in _PACKED.findall(page)]
    assert packed
    return "\n".join([_PACKED.sub("", page), *packed])
