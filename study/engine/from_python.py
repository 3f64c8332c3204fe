"""A study from Python: run as by the command, and read as a table, sentences and figures."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import torch
import yaml
from rich.console import Console

from analysis.figures import FIGURES
from analysis.records import records
from analysis.stats.minimum import minimum_images
from analysis.text.at_a_glance import in_a_sentence, networks
from analysis.text.growth import whether_it_grows
from analysis.text.summary import headline
from ledger.storage import Folder
from sldd.errors import InputError
from study.config.loader import load, with_effect
from study.config.schema import declared
from study.engine.conduct import conduct


class Figures(Mapping[str, go.Figure]):
    """The figures of a study by name, drawn when they are asked for; those with nothing to draw are not there."""

    def __init__(self, study: records.Study) -> None:
        self._study, self._specs = study, {spec.name: spec for spec in FIGURES}

    def __getitem__(self, name: str) -> go.Figure:
        frame = self._specs[name].numbers(self._study) if name in self._specs else None
        if frame is None:
            raise KeyError(f"no figure {name!r}; there are: {', '.join(self)}")
        return self._specs[name].draw(frame)

    def __iter__(self) -> Iterator[str]:
        return (name for name, spec in self._specs.items() if spec.numbers(self._study) is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)


class Study:
    """A study, as its files have it when it is opened."""

    def __init__(self, study: records.Study) -> None:
        self._study = study

    @classmethod
    def open(cls, path: Folder | str) -> Study:
        """Open the study in a folder or an object store, finished or not.

        Raises:
            InputError: no study is there.
        """
        try:
            return cls(records.read_study(path))
        except records.NotAStudyError as error:
            raise InputError(str(error)) from None

    @property
    def name(self) -> str:
        return self._study.name

    @property
    def folder(self) -> Folder:
        """Where its files are: ``dashboard.html``, ``records.csv``, ``trials``."""
        return self._study.folder

    @property
    def config(self) -> dict[str, Any]:
        """All of its settings, in nested mappings."""
        return self._study.config

    @property
    def records(self) -> pd.DataFrame:
        """A row a trial, with the columns of ``records.csv``."""
        return self._study.records

    @property
    def answer(self) -> str:
        """The answer in a sentence or two, then question and answer in full, as on the page."""
        sentence = in_a_sentence(self._study, minimum_images(self._study))
        return "\n\n".join(filter(None, [sentence, whether_it_grows(self._study), *headline(self._study)]))

    @property
    def networks(self) -> pd.DataFrame:
        """The page's table: a row a network, with its smallest count, scores and verdict, in words."""
        headings, rows = networks(self._study, minimum_images(self._study))
        return pd.DataFrame(rows, columns=headings)

    @property
    def figures(self) -> Figures:
        """The page's figures (Plotly), by name."""
        return Figures(self._study)

    def __repr__(self) -> str:
        return f"Study({self.name!r}, {len(self.records):,} trials, {self.folder})"

    def _repr_markdown_(self) -> str:
        return f"**{self.name}**\n\n{self.answer}"


def run(study: str = "demo", /, *, out: Path | str = "results", address: str | None = None, **settings: Any) -> Study:
    """Run a study or go on with it, as ``python -m study.run`` does; the same call resumes.

    Args:
        study: a preset or a file of settings.
        out: the folder or object store that the study's folder is in, or is to be.
        address: of a Ray cluster, as of ``--address``.
        settings: in groups, as mappings or as the dataclasses that declare them: ``grid={"images": [1, 2]}``,
            ``outer=sldd.OuterSettings(steps=100)``; a mapping changes what it names, a dataclass the whole group.

    Raises:
        InputError: a setting, the patients or the study's folder are not as they should be.
        KeyboardInterrupt: it was interrupted; its checkpoints are kept.
    """
    # Of a dataclass, its defaults came along: those of another source or method do nothing, and are no mistake.
    words = with_effect(study, _words(_flat(settings)), asked=_words(_flat(settings, fields_of=_changed)))
    config = load(study, words)
    threads, console = torch.get_num_threads(), Console()
    if not (console.is_terminal or console.is_jupyter):
        console = Console(quiet=True)
    try:
        status = conduct(config, console, out=str(out), address=address, words=[study, *words])
    finally:
        torch.set_num_threads(threads)  # plans time steps with as many as trials have
    if status >= 128:
        raise KeyboardInterrupt
    return Study.open(f"{out}/{config.name}")


def _words(settings: Iterable[tuple[str, Any]]) -> list[str]:
    return [f"{key}={_spelled(key, value)}" for key, value in settings]


def _changed(settings: Any) -> dict[str, Any]:
    """Fields of a dataclass that are not as by default: those that whoever made it asked for."""
    usual = {
        field.name: field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        for field in dataclasses.fields(settings)
    }
    return {name: value for name, value in vars(settings).items() if value != usual[name]}


def _flat(
    settings: Mapping[str, Any], prefix: str = "", *, fields_of: Callable[[Any], Mapping[str, Any]] = vars
) -> Iterator[tuple[str, Any]]:
    """Settings by their whole keys; those of a dataclass as ``fields_of`` has them."""
    whole = {key for key, _, _ in declared()}
    for name, value in settings.items():
        key = f"{prefix}{name}"
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            value = fields_of(value)
        if isinstance(value, Mapping) and key not in whole:
            yield from _flat(value, f"{key}.", fields_of=fields_of)
        else:
            yield key, value


def _spelled(key: str, value: Any) -> str:
    """A value as the command would be given it."""
    plain = str(value) if isinstance(value, Path) else value
    try:
        text = yaml.safe_dump(plain, default_flow_style=True, width=1_000_000, sort_keys=False)
    except yaml.YAMLError:
        raise InputError(f"{key}: a {type(value).__name__} is no value of a setting (got {value!r})") from None
    return text.removesuffix("...\n").strip()
