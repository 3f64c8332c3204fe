"""Live updates of a page: the pieces of `Content` that changed since a browser last asked.

A study is read again only when one of its files has changed, and a piece is sent only when it differs: what a reader
looks at does not flicker because a clock ticked.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from typing import Any

from analysis.page.content import Content, make_content
from analysis.records.records import read_study
from ledger.storage import Folder, listing

_READ = re.compile(r"study\.yaml|trials/[^/]+/[0-9]+/((config|result)\.json|package\.safetensors)")


class Live:
    """The content of a page about studies that may be running.

    Args:
        folders: those of the studies.

    Raises:
        NotAStudyError: one of them is none.
    """

    def __init__(self, folders: Sequence[Folder]) -> None:
        self.revision = 0
        self._folders = folders
        self._reading = threading.Lock()
        self._numbers: dict[str, int] = {}
        self._words: dict[str, int] = {}
        self._pieces: dict[str, dict[str, Any]] = {}
        self._since: dict[tuple[str, str], int] = {}
        self._seen: list[dict[str, Any]] = []
        self.content = Content()
        self.look()

    def look(self) -> None:
        """Read the studies again if a file of theirs has changed; not while another request does."""
        if not self._reading.acquire(blocking=False):
            return
        try:
            seen = [listing(folder, _READ) for folder in self._folders]
            if seen == self._seen:
                return
            # Numbers of keys stay: a chart that did not change is not sent for being numbered anew.
            content = make_content(
                map(read_study, self._folders), Content(numbers=dict(self._numbers), words=dict(self._words))
            )
            self._take(content)
            self._seen = seen
        finally:
            self._reading.release()

    def _take(self, content: Content) -> None:
        pieces = _pieces(content)
        revision = self.revision + 1
        for group, new in pieces.items():
            old = self._pieces.get(group, {})
            for name, piece in new.items():
                if name not in old or old[name] != piece:
                    self._since[group, name] = revision
        self.content, self._pieces, self._numbers, self._words = content, pieces, content.numbers, content.words
        self.revision = revision

    def news(self, known: int) -> dict[str, Any] | None:
        """What a browser needs that has the revision `known`, as `update` of the page's scripts takes it; None where
        it has all there is."""
        if known >= self.revision:
            return None
        pieces = self._pieces

        def changed(group: str) -> dict[str, Any]:
            return {name: piece for name, piece in pieces[group].items() if self._since[group, name] > known}

        fresh = changed("sections")
        sections = {
            article: [[part.id, part.kind, part.html if part.id in fresh else None] for part in parts]
            for article, parts in self.content.sections.items()
        }
        groups = {group: changed(group) for group in ("charts", "tables", "cells")}
        return {"revision": self.revision, "sections": sections, **groups, **changed("script")}


def _pieces(content: Content) -> dict[str, dict[str, Any]]:
    script = content.script()
    return {
        "sections": {part.id: part for parts in content.sections.values() for part in parts},
        "charts": script.pop("charts"),
        "tables": script.pop("tables"),
        "cells": content.cells,
        "script": script,
    }
