"""Tables of `python -m sldd.package fragility`: scores of packages that are not used as they say.

The command leaves `fragility.csv` beside a package; its columns are in `sldd/package/apply/sensitivity.py`. A file that
is missing or damaged counts as not there.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

import pandas as pd

from analysis.records.cell_means import confirm_rows
from analysis.records.records import Study
from ledger.storage import read_many

FILE = "fragility.csv"
_FILES = re.compile(rf"[^/]+/[0-9]+/{re.escape(FILE)}")
COLUMNS = ["variant", "level", "status", "hm", "auc", "changed_decisions", "patients", "score_change", "note"]


def fragility_tables(study: Study) -> Iterator[tuple[str, pd.DataFrame]]:
    """Trial and table (COLUMNS) of every confirmed package that was tried."""
    texts = dict(read_many(study.folder / "trials", _FILES))  # one by one, an object store takes a round trip each
    for trial in confirm_rows(study.records)["trial"]:
        table = fragility_table(texts.get(f"{trial}/{FILE}", b""))
        if table is not None:
            yield str(trial), table


def fragility_table(text: bytes) -> pd.DataFrame | None:
    """The table that a file holds, or None; numbers as numbers, NaN where there is none."""
    try:
        table = pd.read_csv(io.BytesIO(text), dtype="string", keep_default_na=False, encoding="utf-8")[COLUMNS]
    except (ValueError, KeyError):  # pandas' errors about tables are ValueErrors
        return None
    numbers = ["hm", "auc", "changed_decisions", "patients", "score_change"]
    return table.assign(**{name: pd.to_numeric(table[name], errors="coerce") for name in numbers})


def in_words(table: pd.DataFrame) -> list[list[str]]:
    """Rows for a reader: what was done, HM, AUC, patients called otherwise, largest change of a score, remark."""
    return [
        [
            f"{row['variant']} {row['level']}".strip(),
            *("" if pd.isna(row[name]) else f"{row[name]:.3f}" for name in ("hm", "auc")),
            "" if pd.isna(row["changed_decisions"]) else f"{row['changed_decisions']:.0f} of {row['patients']:.0f}",
            "" if pd.isna(row["score_change"]) else f"{row['score_change']:.3g}",
            row["note"] if row["status"] == "done" else f"{row['status']}: {row['note']}",
        ]
        for _, row in table.iterrows()
    ]
