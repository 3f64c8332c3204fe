"""Sandbox of one reader: a process with limits, fed input by input, and the outcome of each.

Processor time is limited by the kernel's timer, which ends even a decoder that never returns to Python; memory by the
address space that the process may have above what it has at its first input. What Python itself is asked to do (open,
connect, run, unpickle) is heard through its audit hook.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from sldd.rng import stream

SECONDS = 2.0
"""Of processor time that an input may take."""
WAITING = 10.0
"""Seconds that may pass on the clock: of a reader that waits, or one that has to share its processor."""
MEMORY = 2**30
"""Bytes above what the process had."""
_AT_ONCE = 10_000  # inputs that one process is given; then another begins
TRAPS = ("/etc/passwd", "/dev/zero", "~/x")
"""What inputs name outside the folder (``benchmarks.fuzz.mutations``), beside the file that is laid there. Python opens
much else outside for itself, so that these stand for all."""
_CHANGED = {
    "os.mkdir": slice(1), "os.rmdir": slice(1), "os.remove": slice(1), "os.rename": slice(2), "os.link": slice(1, 2),
    "os.symlink": slice(1, 2),
}  # fmt: skip
"""By event, which of its arguments are names that come or go; what a link leads to stays as it is."""
_FORBIDDEN = ("socket.connect", "os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "pickle.find_class")

Inputs = Mapping[str, bytes | None]
"""Files that an input consists of: content by name within the folder; None removes the file."""
Prepared = tuple[Callable[[Any], Inputs], Callable[[], object]]
"""Two functions: one makes an input from a stream of random numbers, the other reads what lies in the folder."""


@dataclass(frozen=True)
class Reader:
    """A reader under test.

    Args:
        prepare: lays what the reader needs into a folder, and returns what makes an input and what reads it.
        refusals: the only exceptions that reading may raise; it may return anything.
        share: of all inputs, as a weight.
        enclosed: whether nothing outside the folder may be opened even for reading.
        patience: times ``SECONDS`` and ``WAITING``, for a reader that does more than read.
    """

    name: str
    prepare: Callable[[Path], Prepared]
    refusals: tuple[type[Exception], ...]
    share: int = 1
    enclosed: bool = False
    patience: float = 1.0


@dataclass
class Tally:
    """Outcomes of a reader's inputs.

    Attributes:
        counts: inputs by outcome: read, refused, crashed, hung, memory or outside.
        seconds: processor time of the slowest input.
        memory: bytes that the process grew by, at most.
        first: for each outcome that is bad, with its words, the first input that had it.
    """

    counts: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    memory: int = 0
    first: dict[str, str] = field(default_factory=dict)

    @property
    def inputs(self) -> int:
        return sum(self.counts.values())

    @property
    def bad(self) -> int:
        """Inputs that were neither read nor refused."""
        return self.inputs - self.counts["read"] - self.counts["refused"]


def attack(reader: Reader, numbers: range, seed: int, keep: Path | None = None) -> Tally:
    """Run a reader on the inputs of these numbers; those that are neither read nor refused go to ``keep``."""
    tally, at = Tally(), numbers.start
    keep = keep and keep.absolute()  # readers run in folders of their own
    context = multiprocessing.get_context("fork")
    while at < numbers.stop:
        ours, theirs = context.Pipe(duplex=False)
        home = Path(tempfile.mkdtemp(prefix="fuzz-"))
        last = min(at + _AT_ONCE, numbers.stop)
        child = context.Process(target=_serve, args=(reader, range(at, last), seed, home, theirs, keep))
        child.start()
        theirs.close()
        try:
            at = _listen(ours, child, tally, at, last, reader.patience)
        finally:
            child.kill()
            child.join()
            shutil.rmtree(home, ignore_errors=True)
    return tally


def _listen(pipe: Connection, child: Any, tally: Tally, at: int, last: int, patience: float) -> int:
    """Count the outcomes that the process sends (None first, once it is ready; words where an input cannot be made),
    until its end; returns the number of the next input."""
    ready = False
    while at < last:
        try:
            if not pipe.poll(WAITING * patience if ready else 120):
                _note(tally, "hung", at, f"nothing for {WAITING * patience:.0f} s")
                return at + 1
            said = pipe.recv()
        except EOFError:
            child.join()
            if not ready:
                raise RuntimeError("the reader's process ended before its first input") from None
            died = -(child.exitcode or 0)
            hung = died == signal.SIGPROF
            _note(tally, "hung" if hung else "crashed", at, f"{SECONDS * patience:g} s" if hung else f"signal {died}")
            return at + 1
        if said is None:
            ready = True
            continue
        if isinstance(said, str):
            raise RuntimeError(said)
        kind, words, seconds, memory = said
        _note(tally, kind, at, words)
        tally.seconds, tally.memory = max(tally.seconds, seconds), max(tally.memory, memory)
        at += 1
    return at


def _note(tally: Tally, kind: str, number: int, words: str) -> None:
    tally.counts[kind] += 1
    if kind not in ("read", "refused"):
        tally.first.setdefault(f"{kind}: {words}", f"input {number}")


def _serve(reader: Reader, numbers: range, seed: int, home: Path, pipe: Connection, keep: Path | None) -> None:
    """What the reader's process does: prepare, set limits, then make and read each input and send its outcome."""
    folder, outside = home / "given", home / "outside"
    folder.mkdir()
    outside.mkdir()
    (outside / "secret.png").write_bytes(b"nobody may see this")
    os.chdir(folder)
    make, read = reader.prepare(folder)
    read()  # what cannot be read whole would only ever be refused
    null = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):  # decoders write there, and it is not theirs
        os.dup2(null, descriptor)
    audit = _Audit(folder, outside, reader.enclosed)
    original = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and not path.is_symlink()}
    before = _limit()
    pipe.send(None)
    for number in numbers:
        try:
            inputs = make(stream(seed, "fuzz", reader.name, number))
        except Exception as error:  # ours, not the reader's
            pipe.send(f"input {number} of {reader.name} cannot be made: {error!r} {traceback.format_exc()}")
            raise
        _lay(folder, inputs)
        kept = keep and keep / f"{reader.name}-{number}"
        if kept is not None:
            _keep(kept, inputs)  # beforehand: an input may be the end of this process
        kind, words, seconds = _watched(reader, read, audit)
        if kind in ("read", "refused") and kept is not None:
            shutil.rmtree(kept)
        pipe.send((kind, words, seconds, max(0, _peak() - before)))
        _restore(folder, inputs, original)
    pipe.close()
    os._exit(0)


def _limit() -> int:
    """Limit the memory of this process; returns the bytes that it has already."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak, which is the parent's
    before = _peak()
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # ends the process, when the timer of `_watched` sends it
    return before


def _watched(reader: Reader, read: Callable[[], object], audit: _Audit) -> tuple[str, str, float]:
    """Read one input within limits: its outcome, words about it, and seconds of processor time."""
    audit.heard.clear()
    audit.on = True
    started = time.process_time()
    signal.setitimer(signal.ITIMER_PROF, SECONDS * reader.patience)
    kind, words = _outcome(reader, read)
    signal.setitimer(signal.ITIMER_PROF, 0)
    seconds = time.process_time() - started
    audit.on = False
    return ("outside", audit.heard[0], seconds) if audit.heard else (kind, words, seconds)


def _outcome(reader: Reader, read: Callable[[], object]) -> tuple[str, str]:
    """Whether an input is read, refused, crashes or asks for too much memory; and words where it is bad."""
    try:
        read()
    except reader.refusals as error:
        text = str(error)
        if isinstance(error.__context__, MemoryError):  # said in a line, but too late
            return "memory", f"more than {MEMORY >> 20} MiB"
        if len(text.splitlines()) != 1 or not text.isprintable():
            return "crashed", f"says more than one printable line: {text[:60]!r}"
        return "refused", ""
    except MemoryError:
        return "memory", f"more than {MEMORY >> 20} MiB"
    except BaseException as error:
        frame = error.__traceback__
        while frame is not None and frame.tb_next is not None:
            frame = frame.tb_next
        where = f"{Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno}" if frame is not None else ""
        return "crashed", f"{type(error).__name__} in {where}"
    return "read", ""


class _Audit:
    """What Python is asked to open, write, run or call outside the folder while ``on``, in words (``heard``)."""

    def __init__(self, folder: Path, outside: Path, enclosed: bool) -> None:
        self.on = False
        self.heard: list[str] = []
        self._enclosed = enclosed
        self._within = os.path.realpath(folder) + os.sep
        self._traps = tuple(os.path.realpath(Path(trap).expanduser()) + os.sep for trap in (outside, *TRAPS))
        sys.addaudithook(self._hook)  # for the rest of this process: a hook cannot be taken away

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event == "open":
            self._opens(*arguments)
        elif event in _CHANGED:
            names = [os.path.split(os.fsdecode(name)) for name in arguments[_CHANGED[event]]]
            places = [f"{os.path.realpath(head)}/{tail}" for head, tail in names]  # a link goes, not what it leads to
            if not all(place.startswith(self._within) for place in places):
                self.heard.append(f"{event} outside")
        elif event in _FORBIDDEN:
            self.heard.append(event)

    def _opens(self, path: Any, _mode: Any, flags: int) -> None:
        if not isinstance(path, str | bytes | os.PathLike):  # a descriptor, which was open before
            return
        writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        if not writes and not self._enclosed:
            return
        place = os.path.realpath(os.fsdecode(path))
        written = writes and not place.startswith((self._within, "/dev/"))
        trapped = self._enclosed and f"{place}/".startswith(self._traps)
        if written or trapped:
            self.heard.append(f"{'wrote' if writes else 'opened'} a file outside")


def _peak() -> int:
    """The most that the process ever had of memory, since ``clear_refs``, in bytes."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def _lay(folder: Path, inputs: Inputs) -> None:
    for name, content in inputs.items():
        path = folder / name
        if content is None:
            path.unlink(missing_ok=True)
        else:
            path.write_bytes(content)


def _restore(folder: Path, inputs: Inputs, original: Mapping[Path, bytes]) -> None:
    for name in inputs:
        path = folder / name
        if path in original:
            path.write_bytes(original[path])
        else:
            path.unlink(missing_ok=True)


def _keep(folder: Path, inputs: Inputs) -> None:
    for name, content in inputs.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content or b"")
