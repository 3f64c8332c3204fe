"""Formats of a table: text for a terminal, Markdown, LaTeX, CSV.

Names in a ledger are not ours: none of them may end a cell, run as a formula or move the cursor.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import rich.table
from rich import box
from rich.console import Console
from rich.text import Text

from analysis.records.records import FORMULA_STARTS
from analysis.tables.latex import tex

UNBOUNDED = 1000  # characters of a line where nobody's window has to hold it
LONGEST_WORDS = 44  # characters of a column of words before it goes on in the next line
LONGEST_CELL = 24  # characters of a paper's column, above which it gets a fixed width
WRAPPED_CELL = r"p{0.2\linewidth}"


@dataclass(frozen=True, eq=False)
class Column:
    """A column to read: `word` says a row's content; a line break in `heading` is a space where there is no room."""

    heading: str
    word: Callable[[pd.Series], str]
    words: bool = False


@dataclass(frozen=True, eq=False)
class Table:
    """`frame` is what a spreadsheet gets, whole; `columns` are what a reader gets, `lines` stand below."""

    title: str
    columns: list[Column]
    frame: pd.DataFrame
    lines: list[str] = field(default_factory=list)

    def rows(self) -> list[list[str]]:
        """The words of every row, printable characters only."""
        return [[_printable(column.word(row)) for column in self.columns] for _, row in self.frame.iterrows()]


def decimals(name: str, heading: str, digits: int = 3) -> Column:
    """A measured number with fixed digits."""
    return Column(heading, lambda row: "-" if pd.isna(row[name]) else f"{row[name]:,.{digits}f}")


def counted(name: str, heading: str) -> Column:
    """A whole number."""
    return Column(heading, lambda row: "-" if pd.isna(row[name]) else f"{int(row[name]):,}")


def words(name: str, heading: str) -> Column:
    """Text; empty where it is missing."""
    return Column(heading, lambda row: "" if pd.isna(row[name]) else str(row[name]), words=True)


def as_text(tables: Sequence[Table], lines: Sequence[str] = (), width: int = UNBOUNDED) -> str:
    """For a terminal of `width` characters, in which sentences are broken between words; `lines` close the whole."""
    file = io.StringIO()
    console = Console(file=file, width=width, color_system=None, legacy_windows=False)
    for table in tables:
        drawn = rich.table.Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
        for column in table.columns:
            if column.words:
                drawn.add_column(column.heading, overflow="fold", max_width=LONGEST_WORDS)
            else:
                drawn.add_column(column.heading, justify="right", no_wrap=True)
        for row in table.rows():
            # Text, not str: rich would read [red] in a name as an instruction.
            drawn.add_row(*(Text(word) for word in row))
        console.print(Text(table.title))
        console.print(drawn)
        for line in table.lines:
            console.print(Text(_printable(line)), soft_wrap=width == UNBOUNDED)
        console.print()
    for line in lines:
        console.print(Text(_printable(line)), soft_wrap=width == UNBOUNDED)
    return "\n".join(line.rstrip() for line in file.getvalue().rstrip().split("\n")) + "\n"


def as_markdown(tables: Sequence[Table], lines: Sequence[str] = ()) -> str:
    """For documentation: GitHub's tables."""
    parts = []
    for table in tables:
        head = [_escaped(column.heading.replace("\n", " ")) for column in table.columns]
        rule = [":---" if column.words else "---:" for column in table.columns]
        body = [[_escaped(word) for word in row] for row in table.rows()]
        drawn = "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *body))
        parts += [f"**{_escaped(table.title)}**", drawn, *(_escaped(_printable(line)) for line in table.lines)]
    return "\n\n".join([*parts, *(_escaped(_printable(line)) for line in lines)]) + "\n"


def as_latex(tables: Sequence[Table], lines: Sequence[str] = ()) -> str:
    """For a paper: floats to ``\\input`` in a document that loads booktabs; all text is printed as it is."""
    parts = ["% needs \\usepackage{booktabs}"]
    for table in tables:
        rows = table.rows()
        wrapped = [any(len(row[place]) > LONGEST_CELL for row in rows) for place in range(len(table.columns))]
        kinds = [
            WRAPPED_CELL if wrap else "l" if column.words else "r"
            for column, wrap in zip(table.columns, wrapped, strict=True)
        ]
        headings = [column.heading.partition("\n") for column in table.columns]
        heads = [[tex(heading[line]) for heading in headings] for line in (0, 2)]
        body = [[_latex_cell(word, wrap) for word, wrap in zip(row, wrapped, strict=True)] for row in rows]
        parts += [
            "",
            r"\begin{table}",
            r"\centering\footnotesize\setlength{\tabcolsep}{3pt}",
            f"\\caption{{{tex(_printable(table.title))}}}",
            f"\\begin{{tabular}}{{{''.join(kinds)}}}",
            r"\toprule",
            *(_latex_row(row) for row in heads if any(row)),
            r"\midrule",
            *map(_latex_row, body),
            r"\bottomrule",
            r"\end{tabular}",
            *(f"\\par {tex(_printable(line))}" for line in table.lines),
            r"\end{table}",
        ]
    parts += [f"\n\\noindent {tex(_printable(line))}\\par" for line in lines]
    return "\n".join(parts) + "\n"


def _latex_cell(word: str, wrap: bool) -> str:
    return f"{{\\raggedright {tex(word)}\\par}}" if wrap else tex(word)


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def as_csv(tables: Sequence[Table]) -> str:
    """For a spreadsheet: the rows of all tables, the columns of any; text that would run as a formula is quoted."""
    file = io.StringIO()
    names = list(dict.fromkeys(name for table in tables for name in table.frame))
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(names)
    for table in tables:
        # Not one frame of all: a column that some tables lack would lose its integers.
        writer.writerows([_defused(row.get(name)) for name in names] for row in table.frame.to_dict("records"))
    return file.getvalue()


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def _escaped(text: str) -> str:
    return re.sub(r"([\\|*`\[\]~])", r"\\\1", text).replace("<", "&lt;")


def _defused(value: Any) -> Any:
    if pd.isna(value):
        return ""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_STARTS) else value
