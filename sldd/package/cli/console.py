"""What the commands share: exit statuses, checks of a package before it is used, words, devices and progress."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from sldd.errors import InputError
from sldd.io.atomic_file import check_output
from sldd.io.radiograph import is_film
from sldd.package.rebuild.verify import Verdict, verify
from sldd.sources.folder import MANIFEST

GOOD, BAD, UNUSABLE, INTERRUPTED = 0, 1, 2, 130


def accepted(verdict: Verdict, console: Console) -> bool:
    """Whether the package may be used; prints what fails."""
    if verdict.passed:
        return True
    say(replace(verdict, checks=tuple(verdict.failures)), console)
    console.print("refused: this package does not do here what it did where it was made; see verify")
    return False


def verify_all(
    paths: Sequence[Path], keys: Sequence[Path] | None, start: Path | str | None, console: Console
) -> list[Verdict] | None:
    """All verdicts; None where one package does not pass, which is said, so that nothing goes on with the others.

    Args:
        keys: one for each package, or None.
    """
    if keys is not None and len(keys) != len(paths):
        raise InputError(f"--keys: {len(keys)}, and there are {len(paths)} packages; name one for each, in their order")
    found = []
    for path, key in zip(paths, [None] * len(paths) if keys is None else keys, strict=True):
        verdict = verify(path, start=start, key=key)
        if not verdict.passed:
            console.print(Text(f"{path}:"))
            accepted(verdict, console)
            return None
        found.append(verdict)
    return found


def say(verdict: Verdict, console: Console) -> None:
    """Print a verdict, a line a check."""
    marks = {True: "ok    ", False: "FAILS ", None: "-     "}
    for check in verdict.checks:
        console.print(Text(f"{marks[check.passed]}{check.what:<10} {check.words}"))


def number(value: float | None) -> str:
    """A score as a table shows it."""
    return "-" if value is None else f"{value:.3f}"


def new_file(out: Path, *read: Path | str | None, option: str = "--out") -> Path:
    """A file that can be written and is none of those that the command reads; InputError else, which names the
    option."""
    check_output(out, option)
    if out.exists() and any(Path(each).exists() and out.samefile(each) for each in read if each is not None):
        raise InputError(f"{option} {out}: a file that is read here; name another")
    return out


def check_outputs(outputs: Mapping[str, Path | None], films: Path, *others: Path | str | None) -> None:
    """Check before the work that tables can be written, and that none is another, a radiograph, or read by the command.

    Args:
        outputs: by option.
        films: a table, or the folder that it may lie in.
        others: that are read: packages, keys, starts.

    Raises:
        InputError: names the option.
    """
    table = films / MANIFEST if films.is_dir() else films
    taken: dict[Path, str] = {}
    for option, path in outputs.items():
        if path is None:
            continue
        if is_film(new_file(path, table, *others, option=option)):
            raise InputError(f"{option} {path}: a radiograph; name another")
        earlier = taken.setdefault(path.resolve(), option)
        if earlier != option:
            raise InputError(f"{option} {path}: {earlier} is the same file; name another")


def device_of(name: str) -> torch.device:
    """The device of a name, ``auto`` for a GPU where there is one; InputError where ``cuda`` has none."""
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: PyTorch sees no GPU here; use cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


@contextmanager
def progress(total: int | None, of: str = "radiographs") -> Iterator[Callable[[], object]]:
    """A bar on a terminal's standard error, nothing elsewhere."""
    console = Console(stderr=True)
    columns = (TextColumn(of), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=total)
        yield lambda: bar.advance(task)
