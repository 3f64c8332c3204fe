"""Tables of the cells of one or more studies, by themselves or beside the papers' rows.

    python -m analysis.tables results/table5                                     every cell of the study
    python -m analysis.tables results/table5 --answer                            the smallest count of every network
    python -m analysis.tables results/table1 results/table5 --against published  the papers' rows, measured ones beside
    python -m analysis.tables results/* --against published --table 1 5          two of the papers' tables
    python -m analysis.tables results/chest-transfer --against published         films with findings: that table
    python -m analysis.tables results/* --against published --format markdown --out tables.md
    python -m analysis.tables results/demo --format latex --out cells.tex        to \\input where booktabs is loaded

Measured numbers are means over confirm trials, which met the test patients once. A published row without a measured
one says why.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence

import pandas as pd

from analysis.published import CAPTIONS
from analysis.records.records import NotAStudyError, Study, planned_records, read_study, setting_of
from analysis.records.rule import Rule
from analysis.stats.minimum import percent
from analysis.tables.answer import answer_tables
from analysis.tables.cell_intervals import INTERVAL, interval_words, with_intervals
from analysis.tables.cross_network import cross_table
from analysis.tables.formats import Column, Table, as_csv, as_latex, as_markdown, as_text, counted, decimals, words
from analysis.tables.matching import BY, measured_cells, protocol_remarks
from analysis.tables.published_comparison import FOOTPRINT_COLUMNS, MEASURED, NOT_RUN, hm_words, published_tables
from analysis.tables.recommended import recommended_table
from analysis.tables.transfer import has_training, transfer_table
from analysis.text.summary import split_sizes
from ledger.storage import Folder, StorageError, open_folder, write_whole

TABLES = [*map(str, CAPTIONS), "transfer"]
NARROWEST = 110  # characters: the numbers of a row side by side
HOW = (
    "HM: mean over the seeds (lowest to highest). The papers chose their states on the test patients themselves; "
    "measured rows did so only where they are marked papers' protocol."
)


def cell_table(study: Study) -> Table:
    """Every cell of `study` with its test scores and footprints, in study order; also those that have not run, but not
    those that only prepare where others start."""
    cells = with_intervals(measured_cells([study]), study)
    cells["remarks"] = ["; ".join(protocol_remarks(cell)) for _, cell in cells.iterrows()]
    names = ["cell", "parameters"]
    planned = planned_records(study)[[*BY, *names]].assign(status=NOT_RUN, remarks="")
    planned = planned[~planned["cell"].isin(study.records["cell"])]
    # Cells that differ in their fold alone are one row, however many of them have begun.
    frame = pd.concat([cells.astype(object), planned.astype(object)]).drop_duplicates(BY)
    rank = {str(cell["cell"]): place for place, cell in enumerate(study.cells)}
    frame = frame.sort_values("cell", key=lambda column: column.map(rank), ignore_index=True, kind="stable")
    frame["study"] = study.name
    measures = {name: each.heading for name, each in study.task.measures.items() if each.heading}
    known_intervals = bool(frame["interval_low"].notna().any())
    columns = [
        words("cell", "Cell"),
        counted("parameters", "Parameters"),
        Column(study.task.word[0].upper() + study.task.word[1:], hm_words),
        *([Column(f"{percent(Rule.of(study.config).level)}\ninterval", interval_words)] if known_intervals else []),
        *(decimals(name, heading) for name, heading in measures.items()),
        counted("seeds", "Seeds"),
        *FOOTPRINT_COLUMNS,
    ]
    costs = {"fresh_score": "Fresh\nstarts", "core_seconds": "Core\nseconds", "peak_memory_mib": "Peak\nMiB"}
    paid = [name for name in costs if frame["core_seconds"].notna().any() and frame[name].notna().any()]
    columns += [decimals(name, costs[name], 3 if name == "fresh_score" else 0) for name in paid]
    if (frame["status"] + frame["remarks"]).any():
        columns.append(Column("Remarks", lambda row: row["status"] or row["remarks"], words=True))
    stages = dict.fromkeys(setting_of(cell)["stage"] for cell in study.cells if cell.get("stage"))
    left_out = [f"Left out: cells that train on {', '.join(stages)}, to be where others start."] if stages else []
    kept = dict.fromkeys(
        ["study", *names, *MEASURED, *(INTERVAL if known_intervals else []), *measures, *paid, "status", "remarks"]
    )
    return Table(study.name, columns, frame[list(kept)], left_out)


def tables_against(studies: Sequence[Study], asked: Sequence[str] = ()) -> tuple[list[Table], list[str]]:
    """The published tables (those of `TABLES` that are asked for, or else all) that are about `studies`, with the lines
    that close the whole: patients with one label have Tables 1 to 6, films with several findings the one on transfer.

    Raises:
        NothingPublishedError: there is none.
    """
    numbers = [int(name) for name in asked or TABLES if name != "transfer"]
    patients = [study for study in studies if study.task.published == "patients"]
    trained = [study for study in studies if has_training(study)]
    tables, lines = [], []
    if patients and numbers:
        tables, lines = published_tables(patients, numbers), [HOW]
    if trained and ("transfer" in asked or not asked):
        tables.append(transfer_table(trained))
    if not tables:
        raise NothingPublishedError(
            f"{', '.join(str(study.folder) for study in studies)}: no such table is published; of patients with one "
            "label there are 1 to 6, of ordinary training on films with several findings there is transfer"
        )
    return tables, [*lines, *_sources([study for study in studies if study in patients + trained])]


class NothingPublishedError(ValueError):
    """No published table is about the studies; the message is one line for the user."""


def _sources(studies: Sequence[Study]) -> list[str]:
    """Where the measured numbers come from, a line a study, with what makes all of its cells unlike the papers'."""
    sources = []
    for study in studies:
        conditions = []
        if sizes := split_sizes(study):
            conditions.append(", ".join(f"{count} {split}" for split, count in sizes.items()) + " patients")
        if side := study.setting("patches", "input_size"):
            conditions.append(f"input {side} x {side}")
        if epochs := study.setting("outer", "epochs"):
            conditions.append(f"{epochs} epochs")
        elif steps := study.setting("outer", "steps"):
            conditions.append(f"{steps:,} outer steps of {study.setting('outer', 'batch_size')} {study.task.seen}")
        if study.setting("distill", "inner_weights") == "head":
            conditions.append("inner steps change the last layer only")
        sources.append(f"Measured in {study.folder}" + (f": {'; '.join(conditions)}." if conditions else "."))
    return sources


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m analysis.tables", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("studies", nargs="+", metavar="STUDY", help="a study's folder or URL, with its study.yaml")
    parser.add_argument(
        "--answer", action="store_true", help="the smallest count of every network, and what goes along"
    )
    parser.add_argument("--against", choices=["published"], help="put measured cells beside the rows of these tables")
    parser.add_argument(
        "--table",
        nargs="+",
        choices=TABLES,
        metavar="N",
        help="only these published tables, 1 to 6 or transfer (default: all that are about the studies)",
    )
    parser.add_argument("--format", choices=["text", "markdown", "latex", "csv"], default="text", help="default: text")
    parser.add_argument("--out", metavar="FILE", help="write to this file or URL (default: print)")
    options = parser.parse_args(arguments)
    if options.answer and options.against:
        print("tables: --answer and --against are two kinds of tables; ask for one at a time", file=sys.stderr)
        return 2
    if options.table and not options.against:
        print("tables: --table chooses among published tables; add --against published", file=sys.stderr)
        return 2
    try:
        out = None if options.out is None else open_folder(options.out)
        studies = [read_study(folder) for folder in options.studies]
        lines: list[str] = []
        if options.answer:
            tables = [table for study in studies for table in answer_tables(study)]
        elif options.against:
            tables, lines = tables_against(studies, options.table or ())
        else:
            kinds = (cell_table, cross_table, recommended_table)
            found = [kind(study) for study in studies for kind in kinds]
            tables = [table for table in found if table is not None]
        written = _formatted(tables, lines, options.format, out)
        if out is None:
            print(written, end="")
        else:
            write_whole(out, written)
            print(options.out)
    except (NotAStudyError, NothingPublishedError, StorageError, OSError) as error:
        print(f"tables: {error}", file=sys.stderr)
        return 2
    return 0


def _formatted(tables: list[Table], lines: list[str], form: str, out: Folder | None) -> str:
    if form == "csv":
        return as_csv(tables)
    if form == "markdown":
        return as_markdown(tables, lines)
    if form == "latex":
        return as_latex(tables, lines)
    if out is None and sys.stdout.isatty():
        return as_text(tables, lines, max(NARROWEST, shutil.get_terminal_size().columns))
    return as_text(tables, lines)
