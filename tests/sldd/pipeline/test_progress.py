"""A bar where somebody looks and it can be drawn; a notebook without ipywidgets gets none."""

from __future__ import annotations

import pytest
import rich.console

from sldd.pipeline import progress as module


@pytest.mark.parametrize(("installed", "drawn"), [(True, True), (False, False)])
def test_a_notebook_has_a_bar_where_it_can_draw_one(
    monkeypatch: pytest.MonkeyPatch, installed: bool, drawn: bool
) -> None:
    bars = []

    class Bar:
        def __init__(self, *_: object, **__: object) -> None:
            bars.append(self)

        def __enter__(self) -> Bar:
            return self

        def __exit__(self, *_: object) -> None: ...
        def add_task(self, *_: object, **__: object) -> int:
            return 0

    monkeypatch.setattr(rich.console, "_is_jupyter", lambda: True)
    monkeypatch.setattr(module, "find_spec", lambda name: object() if installed else None)
    monkeypatch.setattr(module, "Progress", Bar)
    with module.progress(3):
        pass
    assert bool(bars) is drawn
