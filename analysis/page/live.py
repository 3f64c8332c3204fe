"""Live updates of a page: the pieces of `Content` that changed since a browser last asked.

A study is read again only when one of its files has changed, and a piece is sent only when it differs: what a reader
looks at does not flicker because a clock ticked.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from analysis.page.content import Content, make_content
from analysis.records.records import read_study
from analysis.text.anonymity import REPORT
from analysis.text.sensitivity import FILE as FRAGILITY
from ledger.storage import Folder, listing
from ledger.trial_files import ASIDE, LANDSCAPE

_OF_TRIALS = "|".join(map(re.escape, ("config.json", "result.json", "package.safetensors", REPORT, FRAGILITY)))
_READ = re.compile(rf"study\.yaml|{re.escape(LANDSCAPE)}|trials/[^/]+/[0-9]+/({_OF_TRIALS})|superseded/{ASIDE.pattern}")
"""All files that a page is made of."""


@dataclass(frozen=True)
class Edition:
    """A page as it was at one moment; never changed, so that who reads it while the next one is made has it whole."""

    revision: int = 0
    content: Content = field(default_factory=Content)
    pieces: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By group and name."""
    since: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """The revision that each piece is of, by the same."""

    def next(self, content: Content) -> Edition:
        """The edition that follows, with `content`."""
        revision, pieces = self.revision + 1, _pieces(content)
        since = {
            (group, name): self.since[group, name] if self._has(group, name, piece) else revision
            for group, named in pieces.items()
            for name, piece in named.items()
        }
        return Edition(revision, content, pieces, since)

    def _has(self, group: str, name: str, piece: Any) -> bool:
        own = self.pieces.get(group, {})
        return name in own and bool(own[name] == piece)

    def news(self, known: int) -> dict[str, Any] | None:
        """What a browser needs that has the revision `known`, as `update` of the page's scripts takes it; None where
        it has all there is."""
        if known >= self.revision:
            return None

        def changed(group: str) -> dict[str, Any]:
            return {name: piece for name, piece in self.pieces[group].items() if self.since[group, name] > known}

        fresh = changed("sections")
        sections = {
            article: [[part.id, part.kind, part.html if part.id in fresh else None] for part in parts]
            for article, parts in self.content.sections.items()
        }
        groups = {group: changed(group) for group in ("charts", "tables", "cells")}
        return {"revision": self.revision, "sections": sections, **groups, **changed("script")}


class Live:
    """The newest edition of a page about studies that may be running.

    Args:
        folders: those of the studies.

    Raises:
        NotAStudyError: one of them is none.
    """

    def __init__(self, folders: Sequence[Folder]) -> None:
        self._folders = folders
        self._reading = threading.Lock()
        self._seen: list[dict[str, Any]] = []
        self.edition = Edition()
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
            last = self.edition.content
            content = Content(numbers=dict(last.numbers), words=dict(last.words))
            self.edition = self.edition.next(make_content(map(read_study, self._folders), content))
            self._seen = seen
        finally:
            self._reading.release()


def _pieces(content: Content) -> dict[str, dict[str, Any]]:
    script = content.script()
    return {
        "sections": {part.id: part for parts in content.sections.values() for part in parts},
        "charts": script.pop("charts"),
        "tables": script.pop("tables"),
        "cells": content.cells,
        "script": script,
    }
