"""The answer in tables: as the page says it, and what else goes along."""

from __future__ import annotations

from analysis.records.records import read_study
from analysis.tables.answer import answer_tables
from analysis.tables.cli import main
from tests.analysis.stats.test_leads import atlas


def test_every_network_has_a_row_by_size_and_traits_follow(ledger, capsys):
    folder = atlas(ledger).folder
    counts, leads = answer_tables(read_study(folder))
    rows = counts.rows()
    assert [row[0] for row in rows] == counts.frame.sort_values("parameters")["network"].tolist()
    assert {row[2] for row in rows} == {"1", "2"}
    assert all(row[5] in ("1 image suffices", "2 images suffice; fewer fall short") for row in rows)
    assert counts.lines[0].startswith("1 to 2 images suffice for all 12 networks")
    assert leads.rows()[0][0].startswith("depth")
    assert main([str(folder), "--answer", "--format", "markdown"]) == 0
    said = capsys.readouterr().out
    assert "what else goes along" in said
    assert said.count("\n| ") == 1 + 12 + 1 + 2 + 2


def test_a_study_of_few_networks_has_the_first_table_alone(demo, capsys):
    (counts,) = answer_tables(read_study(demo))
    assert len(counts.rows()) == 3
    assert main([str(demo), "--answer", "--against", "published"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_an_empty_study_has_an_empty_table(ledger):
    (counts,) = answer_tables(read_study(ledger("empty").folder))
    assert counts.rows() == []
    assert any("no answer yet" in line for line in counts.lines)
