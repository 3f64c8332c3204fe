"""Hook of mkdocs.yml: files outside ``docs/`` that belong to the site.

A page of ``docs/`` may link to any file of the checkout (``../sldd/rng.py``), and one at the top to ``docs/``: so links
work where the checkout is read as it is. In the site, a source file is a page with its text.
"""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
TOP = {"README.md": "index.md"} | {name: name for name in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")}
"""Pages at the top of the checkout, and what they are called in the site."""
_OUTSIDE = re.compile(r"\]\(\.\./([\w./-]+)(?=[#)])")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the top, and what pages link to outside ``docs/``."""
    pages = [file for file in files.documentation_pages() if _is_flat(file)]
    linked = {name for file in pages for name in _OUTSIDE.findall(file.content_string)}
    for name in sorted(name for name in linked - TOP.keys() if (ROOT / name).is_file()):
        text = (ROOT / name).read_text()
        if name.endswith(".py"):
            text = f"# {name}\n\n````python\n{text}````\n"
        files.append(File.generated(config, _in_site(name), content=text))
    for name, page in TOP.items():
        files.append(File.generated(config, page, content=(ROOT / name).read_text().replace("](docs/", "](")))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links out of ``docs/`` to where the site has the file."""
    return markdown if not _is_flat(page.file) else _OUTSIDE.sub(lambda link: f"]({_in_site(link[1])}", markdown)


def _in_site(name: str) -> str:
    return TOP.get(name) or (f"source/{name}.md" if name.endswith(".py") else name)


def _is_flat(file: File) -> bool:
    """True of pages right below ``docs/``, from which ``..`` leads out of it."""
    return "/" not in file.src_uri
