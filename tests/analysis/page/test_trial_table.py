"""The table of all trials, as the page's scripts read it."""

from __future__ import annotations

from collections.abc import Callable

from analysis.page.trial_table import trial_table
from analysis.records.records import read_study
from tests.analysis.conftest import Ledger


def test_a_column_has_each_word_once_numbers_to_five_digits_and_none_for_what_is_missing(
    ledger: Callable[..., Ledger],
) -> None:
    written = ledger()
    for cell in (written.cell("one", 10, 2), written.cell("two", 1_234_567, None, label_init=None, method="train")):
        written.done(cell, 0, hm=0.123456)
        written.done(cell, 1, "search")
    records = read_study(written.folder).records
    columns = {column["heading"]: column for column in trial_table(records)["columns"]}
    (one, two), words = ([place, place] for place in (0, 1)), {name: columns[name]["words"] for name in columns}
    assert (words["backbone"], columns["backbone"]["values"]) == (["one", "two"], [*one, *two])
    assert (words["label init"], columns["label init"]["values"]) == (["one_hot"], [0, 0, None, None])
    assert (columns["images"]["whole"], columns["images"]["values"]) == (True, [2, 2, None, None])
    assert columns["parameters"]["values"] == [10, 10, 1_234_567, 1_234_567]
    assert (columns["test hm"]["whole"], columns["test hm"]["values"]) == (False, [0.12346, None] * 2)
    assert not {"cell", "epsilon"} & columns.keys(), "its name says the first, and nothing has the second"
