"""Answer of a study as tables: the smallest count of every network, and what else goes along with it."""

from __future__ import annotations

import pandas as pd

from analysis.records.records import Study, score_word
from analysis.stats.leads import interval_words, leads
from analysis.stats.minimum import minimum_images, percent
from analysis.stats.ranks.partial import LEVEL
from analysis.tables.formats import Column, Table, decimals, words
from analysis.text.answer import network_names
from analysis.text.at_a_glance import (
    count_words,
    for_whom_it_may_not_hold,
    how_to_read,
    in_a_sentence,
    reached_words,
    verdict_words,
)
from analysis.text.growth import whether_it_grows
from analysis.text.relation import curves_verdict
from analysis.text.summary import smallest_counts, state
from analysis.text.words import parameters_word


def answer_tables(study: Study) -> list[Table]:
    """A row a network and setting, as on the page; then a row a trait, where the study has traits of enough
    networks."""
    answer, score = minimum_images(study), score_word(study.records)
    sentence = in_a_sentence(study, answer)
    frame = answer.assign(study=study.name, network=network_names(answer)).sort_values(
        "parameters", kind="stable", ignore_index=True
    )
    columns = [
        words("network", "Network"),
        Column("Parameters", _parameters),
        Column("Images", lambda row: count_words(row.to_dict())),
        Column(score, lambda row: reached_words(row.to_dict())),
        decimals("trained_hm", f"Ordinary\ntraining {score}", 2),
        Column("Verdict", lambda row: verdict_words(row.to_dict()), words=True),
    ]
    first = [*state(study), sentence, whether_it_grows(study), for_whom_it_may_not_hold(study), how_to_read(study)]
    in_full = [smallest_counts(study), curves_verdict(study)]
    lines = [line for line in (*first, *in_full) if line]
    tables = [Table(f"{study.name}: smallest counts", columns, frame, lines)]
    found = leads(study)
    return tables if found.empty else [*tables, _leads_table(study, found)]


def _parameters(row: pd.Series) -> str:
    return "-" if pd.isna(row["parameters"]) else parameters_word(row["parameters"])


def _leads_table(study: Study, found: pd.DataFrame) -> Table:
    columns = [
        words("label", "Trait"),
        Column("Given\nparameters", lambda row: f"{row['value']:+.2f}"),
        Column(f"{percent(LEVEL)}\ninterval", lambda row: interval_words(row["low"], row["high"])),
        Column("Whatever\nthe size", lambda row: f"{row['alone']:+.2f}"),
        Column("Networks", lambda row: f"{row['networks']} of {row['families']} families"),
    ]
    lines = [
        "Rank correlations with the smallest count, families kept together: leads, not findings. Several traits are "
        "looked at, none was varied by itself, and they go along with each other."
    ]
    return Table(f"{study.name}: what else goes along with the count", columns, found.assign(study=study.name), lines)
