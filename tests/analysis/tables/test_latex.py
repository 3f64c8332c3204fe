from __future__ import annotations

import re
import shutil
import subprocess
import unicodedata
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.tables.formats import Table, as_latex, counted, decimals, words
from analysis.tables.latex import tex

ENGINES = ("pdflatex", "lualatex", "xelatex")
NASTY = "\\end{table} 50% $x_1$ & [red] * ~a^b# <i>|\"' `--,,{} ?` !` δ = 0.4 ± µ Ångström naïve 患者 \ufffd"
# What TeX makes of what `tex` writes, piece by piece; braces and the space that ends a command print nothing.
PRINTED = {
    r"\textbackslash{}": "\\",
    r"\textasciitilde{}": "~",
    r"\textasciicircum{}": "^",
    r"\textless{}": "<",
    r"\textgreater{}": ">",
    r"\textbar{}": "|",
    r"\texttt{\char34}": '"',
    **{f"\\{letter}": letter for letter in "{}$&#_%"},
}
PIECE = re.compile(r"\\text[a-z]+\{(?:\\char34)?\}|\\[{}$&#_%]|[{}]|.", re.DOTALL)
ascii_text = st.text(st.characters(min_codepoint=32, max_codepoint=126))


def printed(source: str) -> str:
    return "".join("" if piece in "{}" else PRINTED.get(piece, piece) for piece in PIECE.findall(source))


def table(title: str, names: list[str], lines: list[str]) -> Table:
    frame = pd.DataFrame({"name": names, "count": range(len(names)), "hm": [0.5] * len(names)})
    columns = [words("name", "Name"), counted("count", "Count"), decimals("hm", "Memory\n(MiB)")]
    return Table(title, columns, frame, lines)


@given(ascii_text)
def test_ascii_is_printed_letter_for_letter(text):
    assert printed(tex(text)) == text


@given(st.text())
def test_what_is_written_is_ascii_and_balanced(text):
    source = tex(text)
    assert source.isascii()
    bare = re.sub(r"\\[{}]", "", source)
    depths = [bare[:end].count("{") - bare[:end].count("}") for end in range(len(bare) + 1)]
    assert min(depths) == depths[-1] == 0


@given(ascii_text)
def test_no_text_gives_an_order(text):
    rest = PIECE.sub(lambda piece: "" if piece[0] in PRINTED else piece[0], tex(text))
    assert not re.search(r"[\\$&#_%~^<>|\"]", rest)
    for option in (r"(?<!\{)\[", r"(?<!\{)\*", r"--", r",,", r"''", r"``", r"[?!]`"):
        assert not re.search(option, tex(text)), option


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("δ ≥ 0.4 ± 0.1", r"$\delta$ $\geq$ 0.4 $\pm$ 0.1"),
        ("naïve Ångström, Łódź", r"na\"{i}ve \r{A}ngstr\"{o}m, \L{}\'{o}d\'{z}"),
        ("患", "{[}U+60A3{]}"),
    ],
)
def test_letters_beyond_ascii_are_spelled(text, source):
    assert tex(text) == tex(unicodedata.normalize("NFD", text)) == source


@settings(max_examples=40)
@given(st.lists(st.text(), max_size=5), st.text(), st.lists(st.text(), max_size=2))
def test_a_table_has_its_rows_and_columns_whatever_stands_in_it(names, title, lines):
    source = as_latex([table(title, names, lines)], lines)
    body = source.split("\\midrule\n")[1].split("\\bottomrule")[0].splitlines()
    assert len(body) == len(names)
    for line in body:
        assert line.endswith(r" \\")
        assert len(re.findall(r"(?<!\\)&", line.replace(r"\\", ""))) == 2
    assert source.count(r"\begin{") == source.count(r"\end{") == 2
    assert source.count("\n\\par ") + source.count("\n\\noindent ") == 2 * len(lines)


def test_headings_have_their_unit_below_and_long_names_wrap():
    source = as_latex([table("t", ["short", "x" * 50], [])])
    assert "Name & Count & Memory \\\\\n &  & (MiB) \\\\\n\\midrule" in source
    assert r"\begin{tabular}{p{0.2\linewidth}rr}" in source


def test_a_document_with_booktabs_alone_compiles(tmp_path: Path):
    """Looked at as text here; compiled by every TeX engine that there is."""
    everything = (
        "".join(map(chr, range(32, 127)))
        + "".join(map(chr, range(0x370, 0x400)))
        + "àéîõüñçşřőż—“”…ßæøł°²\N{MINUS SIGN}\N{EN DASH}"
    )
    source = as_latex([table(NASTY, [NASTY, "[a", "*", everything], [NASTY])], [NASTY])
    assert "usepackage" not in source.replace("% needs \\usepackage{booktabs}\n", "")
    (tmp_path / "cells.tex").write_text(source, "ascii")
    (tmp_path / "paper.tex").write_text(
        "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\\input{cells}\\end{document}\n"
    )
    for engine in filter(shutil.which, ENGINES):
        done = subprocess.run(
            [engine, "-interaction=nonstopmode", "-halt-on-error", "paper.tex"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            errors="replace",
        )
        assert done.returncode == 0, done.stdout[-2000:]
        assert "Missing character" not in (tmp_path / "paper.log").read_text(errors="replace")
