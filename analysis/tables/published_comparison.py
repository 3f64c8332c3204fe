"""The papers' tables with what was measured beside every printed row.

A row without a measured one says why: it was not run, is running, failed, or was refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from analysis.published import CAPTIONS, TABLE_4_NORMS, TABLE_5_NORMS, footprints, results
from analysis.records.records import Study
from analysis.records.rule import Rule
from analysis.stats.minimum import UNJUDGED, UNLEARNED, bracket, minimum_images, percent
from analysis.tables.formats import Column, Table, counted, decimals, words
from analysis.tables.matching import closeness, match, measured_cells, remarks
from ledger.schema import SETTING

NOT_RUN = "not run"
# Tables 4 and 6 are read off the cells of Table 5.
PRESETS = {1: "table1", 2: "table2", 3: "table3", 4: "table4", 5: "table5", 6: "table6"}
SCORES = ["sensitivity", "specificity", "hm"]
INTEGERS = ["images", "minimum_images", "parameters", "published_minimum_images", "published_parameters", "seeds"]
FOOTPRINTS = ["memory_mib", "memory_star_kb", "compression_rate"]
MEASURED = [
    "sensitivity",
    "specificity",
    "hm",
    "hm_low",
    "hm_high",
    "auc",
    "ap",
    "hamming_loss",
    "seeds",
    *FOOTPRINTS,
    "shared_kb",
]


def published_tables(studies: Sequence[Study], numbers: Sequence[int] = tuple(CAPTIONS)) -> list[Table]:
    """Tables `numbers` of the papers, every printed row with what `studies` measured for it beside."""
    cells = measured_cells(studies)
    return [_published_table(table, studies, cells) for table in dict.fromkeys(numbers)]


def _published_table(table: int, studies: Sequence[Study], cells: pd.DataFrame) -> Table:
    if table == 4:
        rows, columns = _footprint_rows(cells), _FOOTPRINTS
    elif table == 6:
        rows, columns = _minimum_rows(studies, cells), _MINIMUMS
    else:
        rows, columns = _score_rows(table, cells), _SCORES
    frame = pd.DataFrame(rows)
    whole = frame.columns.intersection(INTEGERS)
    frame[whole] = frame[whole].astype("Int64")
    frame.insert(0, "table", table)
    frame["study"] = [None if pd.isna(place) else studies[int(place)].name for place in frame["study"]]
    shown = [words("row", "Published row"), *columns, Column("Network run", run_words, words=True)]
    if len(studies) > 1:
        shown.append(words("study", "Study"))
    if frame["remarks"].any():
        shown.append(words("remarks", "Remarks"))
    missing = frame[frame["status"] != ""]
    lines = []
    if len(missing):
        lines = [f"Not measured: {len(missing)} of {len(frame)} rows."]
        if not missing["status"].str.startswith("refused").all():
            lines = [f"{lines[0]} To run them: python -m study.run {PRESETS[table]} data.root=FOLDER"]
    if table == 6:
        lines += _rules(studies)
    return Table(f"Table {table}: {CAPTIONS[table]}", shown, frame, lines)


def _score_rows(table: int, cells: pd.DataFrame) -> list[dict[str, Any]]:
    """Tables 1, 2, 3 and 5: Sen, Spe and HM."""
    published = results()
    return [
        {"row": row["row"]} | _published(row, SCORES) | _measured(row, cells, [row["norm"]])
        for _, row in published[published["table"].eq(table)].iterrows()
    ]


def _footprint_rows(cells: pd.DataFrame) -> list[dict[str, Any]]:
    """Table 4: the footprints at the image count they were published for."""
    return [
        {"row": row["row"], "images": row["images"]}
        | _published(row, FOOTPRINTS)
        | _measured(row, cells, _either_norm(row))
        for _, row in _once_distilled(TABLE_4_NORMS).iterrows()
    ]


def _minimum_rows(studies: Sequence[Study], cells: pd.DataFrame) -> list[dict[str, Any]]:
    """Table 6: parameters and the smallest image count that suffices."""
    found = _minimums(studies, cells)
    rows = []
    for _, row in _once_distilled(TABLE_5_NORMS).iterrows():
        ranked = [
            ((rank, place), answer)
            for place, (_, answer) in enumerate(found.iterrows())
            if (rank := closeness(row, answer, _either_norm(row))) is not None
        ]
        known = {"row": row["row"], **_published(row, ["parameters", "minimum_images"])}
        if not ranked:
            nothing = {"minimum_images": None, "tried": None, "beside_training": None}
            rows.append(known | _measured(row, cells, _either_norm(row)) | nothing)
            continue
        answer = min(ranked, key=lambda pair: pair[0])[1]
        why = f"no count by the papers' rule: {answer['rule_reason']}" if pd.isna(answer["by_points"]) else ""
        beside = bracket(answer) if answer["outcome"] not in (UNJUDGED, UNLEARNED) else "not judged"
        known |= {"beside_training": beside}
        known |= {name: answer[name] for name in ("tried", "backbone", "parameters", "study")}
        known |= {"minimum_images": answer["by_points"], "status": ""}
        rows.append(known | {"remarks": "; ".join(filter(None, [why, *remarks(row, answer)]))})
    return rows


def _rules(studies: Sequence[Study]) -> list[str]:
    """What the two columns of counts mean, for each rule that the studies have."""
    return [
        f"Papers' rule: the smallest count whose mean HM is within {rule.margin:.2f} of the network's own best. Beside "
        f"training: what is shown at the {percent(rule.level)} level of the smallest count within {rule.margin:.2f} of "
        "ordinary training of the same network."
        for rule in dict.fromkeys(Rule.of(study.config) for study in studies)
    ]


def _minimums(studies: Sequence[Study], cells: pd.DataFrame) -> pd.DataFrame:
    """What `studies` answer for SLDD as in Tables 5 and 6, one row a backbone and setting with a confirmed cell."""
    found = pd.concat([minimum_images(study).assign(study=place) for place, study in enumerate(studies)])
    once = found["distill_steps"].eq(1) & found["distill_epochs"].eq(1) & found["label_init"].eq("one_hot")
    found = found[once.fillna(False) & found["tried"].ne("")]
    by = [*SETTING, "backbone", "study"]
    confirmed = cells[cells["status"].eq("")].groupby(by, dropna=False)
    # Of several counts, the one that most needs a remark: marked, and confirmed on the fewest folds.
    rest_on = confirmed.agg({"status": "min", "protocol": "min", "folds": "max", "confirmed_folds": "min"})
    return found.merge(rest_on.reset_index(), on=by, how="left")


def _once_distilled(norms: dict[str, str]) -> pd.DataFrame:
    """`footprints` with the setting that Tables 4 to 6 share: SLDD in a single inner step, at the smallest count."""
    frame = footprints()
    return frame.assign(
        method="SLDD",
        distill_steps=1,
        distill_epochs=1,
        images=frame["minimum_images"],
        norm=frame["backbone"].map(norms),
    )


def _either_norm(row: pd.Series) -> list[str]:
    """These tables do not print a norm: the likely one, or else the other."""
    return sorted(("bn", "no_bn"), key=lambda norm: norm != row["norm"])


def _published(row: pd.Series, names: list[str]) -> dict[str, Any]:
    return {f"published_{name}": row[name] for name in names}


def _measured(row: pd.Series, cells: pd.DataFrame, norms: Sequence[str]) -> dict[str, Any]:
    """Measured values of the cell beside a published row; `status` is empty where it is confirmed."""
    cell = match(row, cells, norms)
    if cell is None:
        return dict.fromkeys([*MEASURED, "backbone", "parameters", "study"]) | {"status": NOT_RUN, "remarks": ""}
    known = {name: cell[name] for name in [*MEASURED, "backbone", "parameters", "study", "status"]}
    notes = remarks(row, cell)
    own = match(row, cells[cells["backbone"].eq(f"paper/{row['backbone']}").fillna(False)], norms)
    if own is not None and own["status"] and not cell["status"]:
        notes.append(f"{own['backbone']} itself: {own['status']}")
    return known | {"remarks": "; ".join(notes)}


def hm_words(row: pd.Series) -> str:
    """Mean HM and, of several seeds, the lowest and highest."""
    if pd.isna(row["hm"]):
        return "-"
    spread = f" ({row['hm_low']:.3f} to {row['hm_high']:.3f})" if row["seeds"] > 1 else ""
    return f"{row['hm']:.3f}{spread}"


def run_words(row: pd.Series) -> str:
    """The network that was run and its size, or why there is no number."""
    if row["status"]:
        return row["status"] if pd.isna(row["backbone"]) else f"{row['status']} ({row['backbone']})"
    return f"{row['backbone']}, {int(row['parameters']):,} parameters"


FOOTPRINT_COLUMNS = [
    decimals("memory_mib", "Memory\n(MiB)", 2),
    decimals("memory_star_kb", "Memory*\n(kB)", 2),
    decimals("compression_rate", "Compression\nrate", 5),
    decimals("shared_kb", "Shared file\n(kB)", 2),
]
_SCORES = [
    decimals("published_sensitivity", "Published\nSen"),
    decimals("published_specificity", "Published\nSpe"),
    decimals("published_hm", "Published\nHM"),
    decimals("sensitivity", "Measured\nSen"),
    decimals("specificity", "Measured\nSpe"),
    Column("Measured\nHM", hm_words),
    counted("seeds", "Seeds"),
]
_FOOTPRINTS = [
    counted("images", "Images"),
    decimals("published_memory_mib", "Published\nMemory (MiB)", 2),
    decimals("published_memory_star_kb", "Published\nMemory* (kB)", 2),
    decimals("published_compression_rate", "Published\nrate", 5),
    decimals("memory_mib", "Measured\nMemory (MiB)", 2),
    decimals("memory_star_kb", "Measured\nMemory* (kB)", 2),
    decimals("compression_rate", "Measured\nrate", 5),
    decimals("shared_kb", "Shared\nfile (kB)", 2),
    counted("seeds", "Seeds"),
]
_MINIMUMS = [
    counted("published_parameters", "Published\nparameters"),
    counted("published_minimum_images", "Published\nimages"),
    counted("parameters", "Measured\nparameters"),
    counted("minimum_images", "Measured images,\npapers' rule"),
    words("beside_training", "Measured images,\nbeside training"),
    words("tried", "Counts\ntried"),
]
