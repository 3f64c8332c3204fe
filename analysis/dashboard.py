"""One self-contained page a study: python -m analysis.dashboard results/demo

    python -m analysis.dashboard results/demo                      writes results/demo/dashboard.html
    python -m analysis.dashboard results/a results/b --out ab.html  both studies on one page

The page opens from the file system, needs no network, and is rebuilt from the ledger at any time, also while the
study runs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from html import escape

from analysis.page.content import Content, Section, make_content
from analysis.page.html import document
from analysis.records.records import NotAStudyError, read_study
from ledger.storage import Folder, StorageError, open_folder, write_whole


def write_dashboard(folder: Folder | str, *more: Folder | str, out: Folder | str | None = None) -> Folder:
    """Write the page of the study in `folder`, followed by `more` studies, to `out` or `folder/dashboard.html`."""
    studies = [read_study(each) for each in (folder, *more)]
    path = open_folder(out) if out is not None else studies[0].folder / "dashboard.html"
    content = make_content(studies)
    write_whole(path, document(page_title(content), articles(content), content.script(), content.cells))
    return path


def page_title(content: Content) -> str:
    """Title for the browser's tab."""
    names = [title for article, title in content.titles.items() if article.startswith("study-")]
    return f"{', '.join(names)}: how few distilled images suffice?"


def articles(content: Content) -> str:
    """An article a study; links to them where there are several."""
    links = "".join(f'<a href="#{article}">{escape(title)}</a>' for article, title in content.titles.items())
    nav = f"<nav>{links}</nav>\n" if len(content.titles) > 1 else ""
    return nav + "\n".join(
        f"""<article id="{article}">
<p class="kind">How few distilled images suffice?</p>
<h1>{escape(content.titles[article])}</h1>
<div class="grid">
{"".join(map(_section, sections))}</div>
</article>"""
        for article, sections in content.sections.items()
    )


def _section(section: Section) -> str:
    return f'<section class="{section.kind}" id="{section.id}">\n{section.html}\n</section>\n'


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m analysis.dashboard",
        description="Write one self-contained page about one or more studies.",
        epilog="example: python -m analysis.dashboard results/demo",
    )
    parser.add_argument("studies", nargs="+", metavar="STUDY", help="a study's folder or URL, with its study.yaml")
    parser.add_argument("--out", metavar="FILE", help="the page (default: dashboard.html in the first STUDY)")
    options = parser.parse_args(arguments)
    try:
        print(write_dashboard(*options.studies, out=options.out))
    except (NotAStudyError, StorageError) as error:
        print(f"dashboard: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        page = options.out or f"{options.studies[0]}/dashboard.html"
        print(f"dashboard: {page}: cannot be written ({error.strerror})", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
