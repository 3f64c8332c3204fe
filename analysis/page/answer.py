"""The page's answer, as HTML: a sentence and a table first, words behind a click; and what the study cannot show."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from analysis.design.planned import design_of, measured_spread
from analysis.page.html import answer_table
from analysis.records.records import Study
from analysis.stats.minimum import minimum_images
from analysis.text.at_a_glance import for_whom_it_may_not_hold, how_to_read, in_a_sentence, networks, not_measured
from analysis.text.conclusion import describe_published
from analysis.text.growth import whether_it_grows
from analysis.text.leaning import leaning
from analysis.text.relation import reach
from analysis.text.summary import headline, protocol, smallest_counts, state


def story(study: Study) -> str:
    """Warnings, the answer at a glance, the same in full, and how test patients were used."""
    answer = minimum_images(study)
    sentence = in_a_sentence(study, answer)
    certain = (("grows", whether_it_grows(study)), ("doubt", for_whom_it_may_not_hold(study)))
    sure = "".join(f'<p class="{kind}">{escape(words)}</p>\n' for kind, words in certain if words)
    caption = f'<p class="caption">{escape(how_to_read(study))}</p>'
    rows = f"{answer_table(*networks(study, answer))}\n{caption}\n" if len(answer) else ""
    words = _paragraphs(each for each in [*headline(study), smallest_counts(study)] if each)
    return (
        "".join(f'<p class="notice">{escape(notice)}</p>\n' for notice in state(study))
        + f'<p class="answer">{escape(sentence)}</p>\n{sure}{rows}'
        + f"<details><summary>The answer in full, by other rules, and against parameters</summary>{words}</details>\n"
        + f'<p class="protocol">{escape(protocol(study))}</p>'
    )


def limits(study: Study) -> str:
    """What was not measured, what this study's design can show, and the papers' six points."""
    missing = "".join(f"<li>{escape(line)}</li>\n" for line in not_measured(study, minimum_images(study)))
    lines = reach(design_of(study), measured_spread(study) is not None, study.task.word)
    words = _paragraphs([*lines, *leaning(study), describe_published()])
    return f"<h2>What was not measured</h2>\n<ul>{missing}</ul>\n<h2>What such a study can show</h2>\n{words}"


def _paragraphs(lines: Iterable[str]) -> str:
    return "".join(f"<p>{escape(line)}</p>\n" for line in lines)
