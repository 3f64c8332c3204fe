"""The page's answer has all its parts, each as text."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from analysis.page.answer import limits, story
from analysis.records.records import read_study
from tests.analysis.conftest import Ledger

STORY = (
    "in_a_sentence", "whether_it_grows", "for_whom_it_may_not_hold", "how_to_read", "smallest_counts", "protocol",
)  # fmt: skip
LIMITS = ("describe_published",)
LISTS = {story: ("headline", "state"), limits: ("not_measured", "reach", "leaning")}


@pytest.mark.parametrize(("part", "words"), [(story, STORY), (limits, LIMITS)])
def test_what_is_said_of_a_study_is_on_its_page(
    ledger: Callable[..., Ledger],
    monkeypatch: pytest.MonkeyPatch,
    part: Callable[..., str],
    words: tuple[str, ...],
) -> None:
    written = ledger()
    for images in (1, None):
        written.done(written.cell("net", 10, images, method="sldd" if images else "train"), 0)
    for name in words:
        monkeypatch.setattr(f"analysis.page.answer.{name}", lambda *_, name=name: f"<{name}>")
    for name in LISTS[part]:
        monkeypatch.setattr(f"analysis.page.answer.{name}", lambda *_, name=name: [f"<{name}>"])
    monkeypatch.setattr("analysis.page.answer.networks", lambda *_: (["network"], [["<networks>"]]))
    said = part(read_study(written.folder))
    for name in (*words, *LISTS[part], *["networks"] * (part is story)):
        assert said.count(f"&lt;{name}&gt;") == 1, name
        assert f"<{name}>" not in said
