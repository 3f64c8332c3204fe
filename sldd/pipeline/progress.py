"""Progress bar of a distillation: in a terminal, and in a notebook that has ipywidgets; elsewhere quiet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def progress(steps: int, shown: bool | None = None) -> Iterator[Callable[[str], object]]:
    """A bar of so many steps; yields what is called after each, with words to stand beside the bar.

    Args:
        shown: whether there is one; None for where somebody looks.
    """
    console = Console()
    looked_at = console.is_terminal or (console.is_jupyter and find_spec("ipywidgets") is not None)
    if not (looked_at if shown is None else shown):
        yield lambda words: None
        return
    columns = TextColumn("distilling"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, TextColumn("{task.fields[words]}"), console=console) as bar:
        task = bar.add_task("", total=steps, words="")
        yield lambda words: bar.update(task, advance=1, words=words)
