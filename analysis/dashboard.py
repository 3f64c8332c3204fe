"""One self-contained page a study: python -m analysis.dashboard results/demo

    python -m analysis.dashboard results/demo                      writes results/demo/dashboard.html
    python -m analysis.dashboard results/a results/b --out ab.html  both studies on one page

The page opens from the file system, needs no network, and is rebuilt from the ledger at any time, also while the
study runs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from html import escape
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import yaml

from analysis import answer_figure, curves, figures
from analysis.conclusion import describe_published
from analysis.confirmed import run_rows
from analysis.gallery import gallery
from analysis.minimum import percent
from analysis.page import card, chart, document, facts, menu, table
from analysis.power import power_table
from analysis.records import SCHEMA, NotAStudyError, Study, read_study
from analysis.rule import Rule
from analysis.runs import folds_of
from analysis.storage import Folder, open_folder, write_whole
from analysis.story import headline, highlights, protocol, protocol_mark, state, troubles

ONLY_CONFIRM = "Confirm trials only; the mean over seeds, bars from the lowest to the highest seed."


def write_dashboard(folder: Folder | str, *more: Folder | str, out: Folder | str | None = None) -> Folder:
    """Write the page of the study in `folder`, followed by `more` studies, to `out` or `folder/dashboard.html`."""
    studies = [read_study(each) for each in (folder, *more)]
    path = open_folder(out) if out is not None else studies[0].folder / "dashboard.html"
    links = "".join(f'<a href="#study-{place}">{escape(study.name)}</a>' for place, study in enumerate(studies))
    articles = "\n".join(_article(study, f"study-{place}") for place, study in enumerate(studies))
    title = f"{', '.join(study.name for study in studies)}: how few distilled images suffice?"
    write_whole(path, document(title, (f"<nav>{links}</nav>\n" if len(studies) > 1 else "") + articles))
    return path


def _article(study: Study, identity: str) -> str:
    story = "".join(f"<p>{escape(sentence)}</p>\n" for sentence in headline(study))
    notices = "".join(f'<p class="notice">{escape(notice)}</p>\n' for notice in state(study))
    tiles = "".join(
        f'<div class="tile"><b>{escape(value)}</b><span>{escape(caption)}</span></div>'
        for value, caption in highlights(study)
    )
    return f"""<article id="{identity}">
<p class="kind">Soft-label dataset distillation study</p>
<h1>{escape(study.name)}</h1>
{notices}<div class="card story">
{story}<p class="protocol">{escape(protocol(study))}</p>
</div>
<div class="tiles">{tiles}</div>
<div class="grid">
{"".join(_charts(study, identity))}{_reach()}{_images(study)}{_troubles(study)}{_trials(study)}{_provenance(study)}
</div>
</article>"""


def _charts(study: Study, identity: str) -> list[str]:
    """The panels that have something to draw."""
    rule = Rule.of(study.config)
    answer = (
        f"Point: the smallest count whose mean HM is within {rule.margin:.2f} of the backbone's best, the papers' "
        f"rule. Bar: what a paired bootstrap over patients and seeds ({rule.resamples:,} resamples) leaves open at the "
        f"{percent(rule.level)} level, from above the counts shown to fall short by more than {rule.margin:.2f} "
        "to the smallest shown not to; an arrow where no count is. With one seed it covers patients only. A backbone "
        f"whose best HM is under {rule.floor:g} has no point: hollow at the top. Dashed, where three bars or more are "
        "closed: a fitted line with its 95 % band."
    )
    mark = protocol_mark(study)
    chosen = (
        "δ was fixed at 0.4 and the state chosen on test patients" if mark else "δ was chosen on validation patients"
    )
    delta = (
        "HM as a function of the threshold δ a patient's share of positive patches must reach; one confirm trial a "
        f"cell (the first). {chosen}; the best δ on test patients is hindsight, used nowhere."
    )
    folds = folds_of(study)
    confirmed = f"{ONLY_CONFIRM} A seed's patients are pooled over {folds} folds." if folds else ONLY_CONFIRM
    scored = "the test patients, as the papers' protocol has it" if mark else "validation patients only"
    looked = f"Search trials, scored on {scored}. One point a trial, a symbol a backbone."
    minimum: pd.DataFrame = answer_figure.minimum_frame(study)
    if run_rows(study).empty:
        minimum = minimum.iloc[:0]
    draw_answer = partial(answer_figure.minimum_figure, line=answer_figure.growth_frame(minimum))
    panels: list[tuple[str, str, pd.DataFrame, Callable[[pd.DataFrame], go.Figure], str, bool]] = [
        ("minimum", f"Smallest sufficient count, by parameters{mark}", minimum, draw_answer, answer, False),
        (
            "hm-by-images",
            f"HM by distilled images{mark}",
            figures.hm_by_images_frame(study),
            figures.hm_by_images_figure,
            f"{confirmed} Ringed: the smallest count by the papers' rule.",
            False,
        ),
        (
            "hm-by-parameters",
            f"HM by parameters{mark}",
            figures.hm_by_parameters_frame(study),
            figures.hm_by_parameters_figure,
            confirmed,
            False,
        ),
        ("search", f"Where the search looked{mark}", curves.search_frame(study), curves.search_figure, looked, False),
        (
            "hm-by-delta",
            f"HM by threshold{mark}",
            curves.hm_by_delta_frame(study),
            curves.hm_by_delta_figure,
            delta,
            True,
        ),
    ]
    drawn = []
    for name, title, frame, draw, caption, wide in panels:
        if len(frame):
            content = chart(draw(frame), f"{identity}-{name}")
            if name == "hm-by-delta":
                cells = frame[["cell", "label"]].drop_duplicates().itertuples(index=False, name=None)
                content = menu("Cell", cells, f"{identity}-{name}") + content
            drawn.append(card(title, content, caption, wide))
    return drawn


def _reach() -> str:
    """What the papers' six points show, and how many backbones it takes: the same on every page."""
    frame = power_table().pivot(index="correlation", columns="backbones", values="power")
    rows = [
        [f"{correlation:g}", *(f"{100 * share:.0f} %" for share in powers)]
        for correlation, powers in zip(frame.index, frame.to_numpy(), strict=True)
    ]
    shown = table(["true rank correlation", *(f"{count} backbones" for count in frame.columns)], rows, False)
    caption = (
        "Power: the chance that a study of so many backbones shows at the 5 % level (exact permutation of Spearman's "
        "rank correlation, one-sided) that larger networks need more images, if the true correlation of log parameters "
        "and requirement is as given and two backbones in six need a second image, as in the papers. Simulated."
    )
    return card("How many backbones it takes", f"<p>{escape(describe_published())}</p>{shown}", caption, wide=True)


def _images(study: Study) -> str:
    shown = gallery(study)
    return card("Distilled images and their soft labels", shown, wide=True) if shown else ""


def _troubles(study: Study) -> str:
    listed = troubles(study)
    if listed.empty:
        return ""
    rows = listed.fillna("").itertuples(index=False)
    return card("Failed, diverged and refused", table(["where", "phase", "status", "reason"], rows, False), wide=True)


def _trials(study: Study) -> str:
    records = study.records
    if records.empty:
        return ""
    # `cell` is the trial's name without its number; nothing else is left out.
    names = [name for name in SCHEMA if name != "cell"]
    rows = ([_plain(value) for value in row] for row in records[names].itertuples(index=False))
    searched = (
        "Search trials were scored on the test patients too, in the columns val, as the papers' protocol has it."
        if protocol_mark(study)
        else "Search trials have no test scores: they never met a test patient."
    )
    caption = f"{searched} The same rows are in records.csv."
    return card(
        f"All {len(records)} trials", table([name.replace("_", " ") for name in names], rows), caption, wide=True
    )


def _plain(value: Any) -> Any:
    if pd.isna(value):
        return None
    return value.item() if hasattr(value, "item") else value


def _provenance(study: Study) -> str:
    known = dict(study.provenance)
    cohort = known.pop("cohort", None)
    cohort = cohort if isinstance(cohort, dict) else {}
    pairs: list[tuple[str, Any]] = [("command", study.command)]
    pairs += [(f"cohort {name}", _words(value)) for name, value in cohort.items()]
    pairs += [(str(name), _words(value)) for name, value in known.items()]
    config = escape(yaml.safe_dump(study.config, sort_keys=False, allow_unicode=True))
    details = f"<details><summary>The resolved configuration</summary><pre>{config}</pre></details>"
    return card("Provenance", facts(pairs) + details, wide=True)


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {each}" for name, each in value.items())
    return "" if value is None else str(value)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m analysis.dashboard",
        description="Write one self-contained page about one or more studies.",
        epilog="example: python -m analysis.dashboard results/demo",
    )
    parser.add_argument("studies", nargs="+", metavar="STUDY", help="a study's folder or URL, with its study.yaml")
    parser.add_argument("--out", metavar="FILE", help="the page (default: dashboard.html in the first STUDY)")
    options = parser.parse_args(arguments)
    try:
        print(write_dashboard(*options.studies, out=options.out))
    except NotAStudyError as error:
        print(f"dashboard: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        page = options.out or f"{options.studies[0]}/dashboard.html"
        print(f"dashboard: {page}: cannot be written ({error.strerror})", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
