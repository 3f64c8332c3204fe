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
_AT_ONCE = 10_000
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
"""What makes an input from a stream of random numbers, and what reads it."""


@dataclass(frozen=True)
class Reader:
    """A reader under test.

    Args:
        prepare: lays what the reader needs into a folder, and returns what makes an input and what reads it; it may
            raise ``refusals`` and nothing else, and return anything.
        share: of all inputs, as a weight.
        enclosed: whether nothing outside the folder may be opened even for reading.
    """

    name: str
    prepare: Callable[[Path], Prepared]
    refusals: tuple[type[Exception], ...]
    share: int = 1
    enclosed: bool = False


@dataclass
class Tally:
    """Outcomes of a reader's inputs; ``crashed`` and so on are counts, ``first`` an example of each kind."""

    counts: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    """Of the slowest input, processor time."""
    memory: int = 0
    """Bytes that the process grew by, at most."""
    first: dict[str, str] = field(default_factory=dict)

    @property
    def inputs(self) -> int:
        return sum(self.counts.values())

    @property
    def bad(self) -> int:
        """Inputs that were neither read nor refused."""
        return self.inputs - self.counts["read"] - self.counts["refused"]


def attack(reader: Reader, numbers: range, seed: int, keep: Path | None = None) -> Tally:
    """Run a reader on the inputs of these numbers.

    Args:
        keep: a folder for the inputs that were neither read nor refused.
    """
    tally, at, keep = Tally(), numbers.start, keep and keep.absolute()  # readers run in folders of their own
    context = multiprocessing.get_context("fork")
    while at < numbers.stop:
        ours, theirs = context.Pipe(duplex=False)
        home = Path(tempfile.mkdtemp(prefix="fuzz-"))
        last = min(at + _AT_ONCE, numbers.stop)
        child = context.Process(target=_serve, args=(reader, range(at, last), seed, home, theirs, keep))
        child.start()
        theirs.close()
        try:
            at = _listen(ours, child, tally, at, last)
        finally:
            child.kill()
            child.join()
            shutil.rmtree(home, ignore_errors=True)
    return tally


def _listen(pipe: Connection, child: Any, tally: Tally, at: int, last: int) -> int:
    """Count what the process says, until its end; the number of the next input."""
    ready = False
    while at < last:
        try:
            if not pipe.poll(WAITING if ready else 120):
                _note(tally, "hung", at, f"nothing for {WAITING:.0f} s")
                return at + 1
            said = pipe.recv()
        except EOFError:
            child.join()
            if not ready:
                raise RuntimeError("the reader's process ended before its first input") from None
            died = -(child.exitcode or 0)
            hung = died == signal.SIGPROF
            _note(tally, "hung" if hung else "crashed", at, f"{SECONDS:g} s" if hung else f"signal {died}")
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
    folder = home / "given"
    folder.mkdir()
    (home / "outside").mkdir()
    (home / "outside" / "secret.png").write_bytes(b"nobody may see this")
    os.chdir(folder)
    make, read = reader.prepare(folder)
    read()  # what cannot be read whole would only ever be refused
    null = os.open(os.devnull, os.O_WRONLY)
    for stream_number in (1, 2):  # decoders write there, and it is not theirs
        os.dup2(null, stream_number)
    heard: list[str] = []
    listening = [False]
    _hear(folder, home / "outside", reader.enclosed, heard, listening)
    original = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and not path.is_symlink()}
    Path("/proc/self/clear_refs").write_text("5")  # the peak, which is the parent's
    before = _peak()
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
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
        heard.clear()
        listening[0] = True
        started = time.process_time()
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        kind, words = _outcome(reader, read)
        signal.setitimer(signal.ITIMER_PROF, 0)
        seconds = time.process_time() - started
        listening[0] = False
        if heard:
            kind, words = "outside", heard[0]
        if kind in ("read", "refused") and kept is not None:
            shutil.rmtree(kept)
        pipe.send((kind, words, seconds, max(0, _peak() - before)))
        _restore(folder, inputs, original)
    pipe.close()
    os._exit(0)


def _outcome(reader: Reader, read: Callable[[], object]) -> tuple[str, str]:
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


def _hear(folder: Path, outside: Path, enclosed: bool, heard: list[str], listening: list[bool]) -> None:
    """Note what is opened, written, run or called outside the folder."""
    within = os.path.realpath(folder) + os.sep
    traps = tuple(os.path.realpath(Path(trap).expanduser()) + os.sep for trap in (outside, *TRAPS))

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if not listening[0]:
            return
        if event == "open":
            path, _, flags = arguments
            if not isinstance(path, str | bytes | os.PathLike):
                return
            writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
            if not writes and not enclosed:
                return
            place = os.path.realpath(os.fsdecode(path))
            if (writes and not place.startswith((within, "/dev/"))) or (enclosed and f"{place}/".startswith(traps)):
                heard.append(f"{'wrote' if writes else 'opened'} a file outside")
        elif event in _CHANGED:
            names = [os.path.split(os.fsdecode(name)) for name in arguments[_CHANGED[event]]]
            places = [f"{os.path.realpath(head)}/{tail}" for head, tail in names]  # a link goes, not what it leads to
            if not all(place.startswith(within) for place in places):
                heard.append(f"{event} outside")
        elif event in _FORBIDDEN:
            heard.append(event)

    sys.addaudithook(hook)


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
