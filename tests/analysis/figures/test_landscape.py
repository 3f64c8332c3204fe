"""Maps of what the shared model of a study expects over the rates."""

from __future__ import annotations

import json

import pytest

from analysis.figures.landscape import PANELS, landscape_figure, landscape_frame
from analysis.records.records import read_study

OUTER, INNER = [0.01, 0.03, 0.1], [0.005, 0.02, 0.08]
MAP = {"outer_lr": OUTER, "inner_lr": INNER, "score": [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6], [0.7, 0.8, 0.9]]}


def _study(ledger, networks: int):
    study = ledger()
    cells = []
    for size in range(networks):
        for images in (1, 2):
            cells.append(study.cell(f"net{size}", 10**size, images))
            for index in range(1 + images):
                study.done(cells[-1], index, "search")
            study.done(cells[-1], 3)
    return study, cells


def test_networks_from_the_smallest_to_the_largest_have_a_map(ledger) -> None:
    study, cells = _study(ledger, 5)
    (study.folder / "landscape.json").write_text(json.dumps({"cells": dict.fromkeys(cells, MAP)}))
    frame = landscape_frame(read_study(study.folder))
    assert frame["backbone"].drop_duplicates().tolist() == ["net0", "net2", "net4"]
    first = frame[frame["backbone"].eq("net0")]
    assert first["what"].value_counts().to_dict() == {"expected": 9, "tried": 3, "confirmed": 1}, "where most was tried"
    expected = first[first["what"].eq("expected")].set_index(["outer_lr", "inner_lr"])["score"]
    assert (expected[0.1, 0.005], expected[0.01, 0.08]) == (0.3, 0.7)
    maps = [trace for trace in landscape_figure(frame).data if trace.type == "contour"]
    assert len(maps) == PANELS
    assert [list(map(list, trace.z)) for trace in maps] == [MAP["score"]] * PANELS


@pytest.mark.parametrize(
    "content", [None, "{", '{"cells": []}', '{"cells": {"net0-1": {"outer_lr": [1], "score": 3}}}']
)
def test_a_study_without_a_whole_file_has_no_map(ledger, content: str | None) -> None:
    study, _ = _study(ledger, 1)
    if content is not None:
        (study.folder / "landscape.json").write_text(content)
    assert landscape_frame(read_study(study.folder)).empty
