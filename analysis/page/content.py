"""Content of the page, in pieces: text as HTML; figures, cells and tables as data.

    study -> sections (HTML), charts (plotly traces), cells, table -> `Content` -> `html.document`, or news (`serve`)

Points carry the key of `analysis.figures.parts.facets`; here keys become numbers of rows of `Content.keys`, so that
thousands of points do not spell their cell out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from html import escape
from typing import Any, NamedTuple

import plotly.graph_objects as go
import yaml

from analysis.figures import COMPARISONS
from analysis.figures.parts.facets import FACETS, choices, facet_keys, facet_values
from analysis.figures.parts.theme import TEMPLATE
from analysis.page.answer import limits, story
from analysis.page.gallery import films, label_key
from analysis.page.html import answer_table, description_list, table
from analysis.page.panels import cell_figure, cell_panels, panels
from analysis.page.trial_table import CAPTION, STAGED, trial_table
from analysis.records.packages import read_distilled
from analysis.records.records import Study, score, score_word
from analysis.tables.cross_network import cross_table
from analysis.tables.formats import Table
from analysis.tables.recommended import recommended_table
from analysis.tables.transfer import has_training, transfer_table
from analysis.text.anonymity import reports, sentences
from analysis.text.sensitivity import fragility_tables, in_words
from analysis.text.summary import highlights, troubles
from analysis.text.words import chosen_on, number, protocol_mark

CELLS_BYTES = 5 << 20
"""Distilled images that a page has room for: with plotly itself it stays under 15 MB."""
LEFT_OUT = "Its images are not in this page, which would be too large; python -m analysis.pictures draws them."


class Section(NamedTuple):
    """A part of an article: its element's id, its classes, and its HTML."""

    id: str
    kind: str
    html: str


@dataclass
class Content:
    """Data for the page's scripts, and the sections of its HTML by article."""

    titles: dict[str, str] = field(default_factory=dict)
    sections: dict[str, list[Section]] = field(default_factory=dict)
    charts: dict[str, dict[str, Any]] = field(default_factory=dict)
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)
    cells: dict[str, dict[str, Any]] = field(default_factory=dict)
    cell_layouts: dict[str, dict[str, Any]] = field(default_factory=dict)
    """That of every cell's chart, by article."""
    numbers: dict[str, int] = field(default_factory=dict)
    """The number of each key, in order."""
    words: dict[str, int] = field(default_factory=dict)
    """The same for the words of hover boxes: names of trials are in several figures."""

    def code(self, keys: Iterable[str]) -> list[int]:
        """The numbers of keys; a new key gets the next one."""
        return [self.numbers.setdefault(key, len(self.numbers)) for key in keys]

    def spell(self, words: Iterable[str]) -> list[int]:
        """The numbers of words; a new word gets the next one."""
        return [self.words.setdefault(word, len(self.words)) for word in words]

    def script(self) -> dict[str, Any]:
        """Data that the page's scripts start from; cells are read one at a time."""
        axes, keys = list(FACETS), list(self.numbers)
        # Those of trials: the papers' points have counts that the study may not have.
        differing = choices(keys[number] for table in self.tables.values() for number in table["keys"])
        return {
            "charts": self.charts,
            "tables": self.tables,
            "cellLayouts": self.cell_layouts,
            "template": TEMPLATE.to_plotly_json(),
            "keys": [facet_values(key) for key in keys],
            "words": list(self.words),
            "facets": [
                {"name": name, "label": FACETS[name], "axis": axes.index(name), "values": values}
                for name, values in differing.items()
            ],
        }


def make_content(studies: Iterable[Study], content: Content | None = None) -> Content:
    """The content of a page about these studies; added to `content` where it is given."""
    content, studies = content or Content(), list(studies)
    if len(studies) > 1:
        _compare(content, studies)
    for place, study in enumerate(studies):
        _add(content, study, f"study-{place}")
    return content


def _compare(content: Content, studies: list[Study]) -> None:
    """The article in front of several studies."""
    content.titles["beside"] = "Studies beside each other"
    sections = content.sections["beside"] = []
    for spec in COMPARISONS:
        if (frame := spec.numbers(studies)) is not None:
            identity = f"beside-{spec.name}"
            content.charts[identity] = _chart(content, spec.draw(frame))
            shown = _figure(identity, None, spec.caption(studies)) + (table(*spec.table(frame)) if spec.table else "")
            sections.append(Section(f"{identity}-card", "card wide", f"<h2>{escape(spec.title)}</h2>\n{shown}"))


def _add(content: Content, study: Study, article: str) -> None:
    content.titles[article] = study.name
    sections = [Section(f"{article}-story", "card wide story", story(study)), _tiles(study, article)]
    for panel in panels(study):
        identity = f"{article}-{panel.name}"
        content.charts[identity] = _chart(content, panel.figure)
        kind = "card wide" if panel.wide else "card"
        drawn = _figure(identity, panel.figure.layout.height, panel.caption)
        sections.append(Section(f"{identity}-card", kind, f"<h2>{escape(panel.title)}</h2>\n{drawn}"))
    sections += [*_recommended(study, article), *_transfer(study, article), *_fresh(study, article)]
    sections += [*_cells(content, study, article), *_anonymity(study, article), *_fragility(study, article)]
    sections += _troubles(study, article)
    if len(study.records):
        shown = trial_table(study.records)
        shown["keys"] = content.code(facet_keys(study.records))
        content.tables[f"{article}-trials"] = shown
        sections.append(_trials(study, article))
    sections += [Section(f"{article}-reach", "card wide", limits(study)), _provenance(study, article)]
    content.sections[article] = sections


def _chart(content: Content, figure: go.Figure) -> dict[str, Any]:
    """A figure as data for plotly.js: numbers to five digits, points' keys and words as numbers; the template is the
    page's."""
    drawn: dict[str, Any] = json.loads(figure.to_json(), parse_float=lambda text: float(f"{float(text):.5g}"))
    drawn["layout"].pop("template", None)
    for trace in drawn["data"]:
        meta = trace.get("meta", {})
        if "keys" in meta:
            meta["keys"] = content.code(meta["keys"])
            # Of points with a key only: labels that are drawn beside points stay as they are.
            for name in ("text", "hovertext"):
                if isinstance(trace.get(name), list) and "text" not in trace["mode"]:
                    meta[name] = content.spell(trace.pop(name))
    return {"data": drawn["data"], "layout": drawn["layout"]}


def _figure(identity: str, height: float | None, caption: str) -> str:
    tall = f' style="height:{height or TEMPLATE.layout.height:g}px"'
    return f'<figure><div class="chart" id="{identity}"{tall}></div><figcaption>{escape(caption)}</figcaption></figure>'


def _tiles(study: Study, article: str) -> Section:
    tiles = "".join(
        f'<div class="tile"><b>{escape(value)}</b><span>{escape(caption)}</span></div>'
        for value, caption in highlights(study)
    )
    return Section(f"{article}-tiles", "tiles wide", tiles)


def _cells(content: Content, study: Study, article: str) -> Iterable[Section]:
    """One cell at a time: a menu of all that are confirmed, and a piece of data for each."""
    rows = study.records.set_index("trial", drop=False)
    options = []
    # Studies before this one have taken some of it.
    room = max(0, CELLS_BYTES - sum(len(piece["html"]) for piece in content.cells.values()))
    for panel in cell_panels(study):
        name = f"{article}/{panel.cell}"
        chart = _chart(content, panel.figure)
        content.cell_layouts.setdefault(article, chart["layout"])
        trial = rows.loc[[panel.trial]]
        distilled = read_distilled(study.trial_folder(panel.trial)) if trial["images"].notna().all() else None
        drawn = films(distilled) if distilled is not None else ""
        if len(drawn) > room:
            drawn = f'<p class="empty">{escape(LEFT_OUT)}</p>'
        else:
            room -= len(drawn)
        tested = number(score(trial, "test").iloc[0], 2)
        title = f"test {score_word(trial)} {tested}{protocol_mark(study)}"
        content.cells[name] = {"html": f'<p class="setting">{escape(title)}</p>{drawn}', "data": chart["data"]}
        (key,) = content.code(facet_keys(trial))
        options.append(f'<option value="{escape(name)}" data-key="{key}">{escape(panel.label)}</option>')
    if options:
        yield Section(f"{article}-cell", "card wide", _cell_card(study, article, options))


def _cell_card(study: Study, article: str, options: list[str]) -> str:
    spec = cell_figure(study)
    chart = _figure(f"{article}-cell-chart", None, spec.caption(study))
    return f"""<h2>{escape(spec.title)}</h2>
<div class="controls"><label>Cell <select data-cells="{article}">{"".join(options)}</select></label>
<label>Contrast <input type="range" class="contrast" id="{article}-contrast" min="0.4" max="4" step="0.1" value="1">
</label></div>
<div class="split"><div><div class="cell-view" id="{article}-cell-view"></div>
{label_key(study.task.labels)}</div>{chart}</div>"""


def _recommended(study: Study, article: str) -> Iterable[Section]:
    """What the best search trials had, for the next study."""
    if (found := recommended_table(study)) is not None:
        headings = [column.heading.replace("\n", " ") for column in found.columns]
        drawn = answer_table(headings, found.rows()) + f'<p class="caption">{escape(" ".join(found.lines))}</p>'
        yield Section(f"{article}-recommended", "card wide", f"<h2>Recommended settings by network size</h2>\n{drawn}")


def _transfer(study: Study, article: str) -> Iterable[Section]:
    """Networks that were trained on other films before, beside the published ones."""
    if has_training(study) and any(cell.get("chain") for cell in study.cells):
        yield _table(f"{article}-transfer", "Transfer", transfer_table([study]))


def _fresh(study: Study, article: str) -> Iterable[Section]:
    """What images are worth to starts and networks that nobody has seen."""
    if (found := cross_table(study)) is not None:
        yield _table(f"{article}-fresh", "Fresh starts and other networks", found)


def _table(identity: str, title: str, found: Table) -> Section:
    drawn = table([column.heading.replace("\n", " ") for column in found.columns], found.rows())
    caption = escape(" ".join([f"{found.title}.", *found.lines]))
    return Section(identity, "card wide", f'<h2>{title}</h2>\n{drawn}<p class="caption">{caption}</p>')


def _anonymity(study: Study, article: str) -> Iterable[Section]:
    """Results of `study.anonymity` for each package that it tested: the verdict, and under it the numbers."""
    verdicts = []
    for report in reports(study):
        compared, verdict, *numbers = sentences(report)
        details = "".join(f"<p>{escape(sentence)}</p>" for sentence in numbers)
        verdicts.append(
            f"<p>{escape(compared)} <b>{escape(verdict)}</b></p><details><summary>Numbers</summary>{details}</details>"
        )
    if verdicts:
        text = "\n".join(verdicts)
        yield Section(f"{article}-anonymity", "card wide", f"<h2>What the packages give away</h2>\n{text}")


def _fragility(study: Study, article: str) -> Iterable[Section]:
    """Tables of `python -m sldd.package fragility`, where it was run."""
    headings = ["what was done", "HM", "AUC", "patients called otherwise", "largest change of a score", "remark"]
    drawn = [f"<h3>{escape(trial)}</h3>{table(headings, in_words(found))}" for trial, found in fragility_tables(study)]
    if drawn:
        title = "What becomes of a package that is not used as it says"
        yield Section(f"{article}-fragility", "card wide", f"<h2>{title}</h2>\n" + "\n".join(drawn))


def _troubles(study: Study, article: str) -> Iterable[Section]:
    listed = troubles(study)
    if len(listed):
        rows = listed.fillna("").itertuples(index=False)
        content = table(["where", "phase", "status", "reason"], rows)
        title = "Failed, diverged and refused" + (", or without effect" if (listed["status"] == "done").any() else "")
        yield Section(f"{article}-troubles", "card wide", f"<h2>{title}</h2>\n{content}")


def _trials(study: Study, article: str) -> Section:
    searched = (
        "Search trials were scored on the test patients too, in the columns val, as the papers' protocol has it."
        if protocol_mark(study)
        else f"Search trials have no test scores: they never met a test patient. Columns val:{chosen_on(study)}"
    )
    staged = f" {STAGED}" if study.records["stage"].notna().any() else ""
    return Section(
        f"{article}-trials-card",
        "card wide",
        f"""<h2>All {len(study.records):,} trials</h2>
<div class="controls"><label>Find <input type="search" id="{article}-find"></label> <span class="rows"></span></div>
<div class="scroll trials" id="{article}-trials" tabindex="0" role="region" aria-label="All trials"></div>
<button type="button" class="more" hidden>Show more</button>
<p class="caption">{escape(searched)} {escape(CAPTION)}{staged}</p>""",
    )


def _provenance(study: Study, article: str) -> Section:
    known = dict(study.provenance)
    cohort = known.pop("cohort", None)
    cohort = cohort if isinstance(cohort, dict) else {}
    pairs: list[tuple[str, Any]] = [("command", study.command)]
    pairs += [(f"cohort {name}", _words(value)) for name, value in cohort.items()]
    pairs += [(str(name), _words(value)) for name, value in known.items()]
    config = escape(yaml.safe_dump(study.config, sort_keys=False, allow_unicode=True))
    details = f'<details><summary>The resolved configuration</summary><pre tabindex="0">{config}</pre></details>'
    return Section(f"{article}-provenance", "card wide", f"<h2>Provenance</h2>\n{description_list(pairs)}{details}")


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {each}" for name, each in value.items())
    return "" if value is None else str(value)
