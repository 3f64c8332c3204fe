"""The architecture, read from the imports: what a reader sees of each room, checked and drawn.

    python docs/architecture.py            # the numbers; exit status 1 where a limit is broken
    python docs/architecture.py --draw     # and docs/architecture.svg anew

A room is a top-level package. Its nodes are its folders and the modules at its root. `__init__` is its folder, and
`__main__` a command: it may import anything, and nothing imports it.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DRAWING = Path(__file__).with_suffix(".svg")
ROOMS = ("sldd", "study", "analysis", "ledger")
GROUND = ("sldd.errors", "sldd.rng")  # import nothing of ours, and every room may use them: counted apart
MOST_MODULES, MOST_NODES = 14, 13

FLOW = {
    "sldd.io": "radiograph",
    "sldd.data": "patches, batch",
    "sldd.training": "outer step",
    "sldd.distillation": "distilled images",
    "study.trial": "network, votes, result",
    "ledger.trial_folder": "trial folder",
    "ledger.trial_files": "trial files",
    "analysis.records": "records, means",
    "analysis.stats": "intervals, answer",
    "analysis.figures": "figures",
    "analysis.page": "page",
}
"""Where data is, in its order, and what it is there. Of two that follow each other, one imports the other."""

Graph = Mapping[str, Collection[str]]


@dataclass(frozen=True)
class Imports:
    """Modules by name with those of ours that each imports, at its head or inside a function."""

    modules: dict[str, set[str]]
    folders: frozenset[str]

    def nodes(self, room: str) -> list[str]:
        """Folders and modules at the root of a room, without the ground."""
        return [node for node in self.arrows(room) if node not in GROUND]

    def arrows(self, folder: str) -> dict[str, set[str]]:
        """What lies in a folder, each with what it imports of the others; rooms where the folder is empty."""
        found: dict[str, set[str]] = {}
        for user, used in self.modules.items():
            if (here := _child(folder, user)) is not None:
                known = found.setdefault(here, set())
                known |= {there for name in used if (there := _child(folder, name)) not in (None, here)}
        return found

    def circles(self) -> list[list[str]]:
        """Circles between modules, and between what lies in any folder; empty where all arrows point one way."""
        graphs: list[Graph] = [self.modules, *(self.arrows(folder) for folder in ("", *sorted(self.folders)))]
        return [circle for graph in graphs for circle in _circles(graph)]

    def sizes(self) -> Counter[str]:
        """How many modules each folder holds itself."""
        inside = (name for name in self.modules if name not in self.folders and not _is_command(name))
        return Counter(name.rpartition(".")[0] for name in inside)


def read_imports(root: Path = ROOT) -> Imports:
    """The imports of every module of the rooms below ``root``."""
    files = {
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path
        for room in ROOMS
        for path in sorted((root / room).rglob("*.py"))
    }
    folders = frozenset(name for name, path in files.items() if path.name == "__init__.py")
    return Imports({name: set(_imported(path, files.keys())) - {name} for name, path in files.items()}, folders)


def problems(imports: Imports) -> list[str]:
    """A line on each limit that is broken; empty where none is."""
    found = [f"a circle: {' -> '.join([*circle, circle[0]])}" for circle in imports.circles()]
    found += [
        f"{folder} has {size} modules, and {MOST_MODULES} are allowed; what is a concern of its own?"
        for folder, size in imports.sizes().items()
        if size > MOST_MODULES
    ]
    seen = {room: len(imports.nodes(room)) for room in ROOMS}
    found += [
        f"{room} has {size} nodes, and {MOST_NODES} are allowed; which belong together?"
        for room, size in seen.items()
        if size > MOST_NODES
    ]
    found += [f"{node} is ground and imports {min(used)}" for node in GROUND if (used := imports.modules.get(node))]
    for one, other in zip(FLOW, list(FLOW)[1:], strict=False):
        if not (_uses(imports, one, other) or _uses(imports, other, one)):
            found.append(f"the flow goes from {one} to {other}, and neither imports the other; correct FLOW")
    return found


def floors(graph: Graph) -> list[list[str]]:
    """The nodes of a graph without circles, lowest first: each stands one above the highest that it imports."""
    height: dict[str, int] = {}

    def at(node: str) -> int:
        if node not in height:
            height[node] = max((at(below) + 1 for below in graph[node]), default=0)
        return height[node]

    levels = [at(node) for node in graph]
    return [sorted(node for node in graph if height[node] == level) for level in range(max(levels, default=-1) + 1)]


def main(arguments: list[str] | None = None) -> int:
    """The command; 0 where every limit is kept, else 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draw", action="store_true", help=f"write {DRAWING.name}")
    options = parser.parse_args(arguments)
    imports = read_imports()
    sizes = imports.sizes()
    print(f"{'room':<10}{'modules':>8}{'nodes':>7}{'floors':>8}{'arrows':>8}  largest folder")
    for room in ROOMS:
        inside = {folder: size for folder, size in sizes.items() if folder.split(".")[0] == room}
        largest = max(inside, key=inside.__getitem__)
        graph = imports.arrows(room)
        counts = f"{sum(inside.values()):>8}{len(imports.nodes(room)):>7}{len(floors(graph)):>8}"
        print(f"{room:<10}{counts}{sum(map(len, graph.values())):>8}  {largest} ({inside[largest]})")
    found = problems(imports)
    print(*(found or [f"0 circles, folders of at most {MOST_MODULES}, rooms of at most {MOST_NODES}"]), sep="\n")
    if options.draw and not found:
        from architecture_figure import draw

        DRAWING.write_text(draw(imports), encoding="utf-8")
    return 1 if found else 0


def _child(folder: str, name: str) -> str | None:
    """What of a folder a module is or lies in; None for what lies elsewhere, for its ``__init__`` and for commands."""
    prefix = f"{folder}." if folder else ""
    if not name.startswith(prefix) or _is_command(name):
        return None
    return prefix + name.removeprefix(prefix).partition(".")[0]


def _is_command(name: str) -> bool:
    return name.endswith(".__main__")


def _uses(imports: Imports, one: str, other: str) -> bool:
    inside = (used for name, used in imports.modules.items() if f"{name}.".startswith(f"{one}."))
    return any(f"{name}.".startswith(f"{other}.") for used in inside for name in used)


def _imported(path: Path, known: Collection[str]) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: Iterable[str] = ()
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            while name and name not in known:  # a name in a module, or a module of somebody else's
                name = name.rpartition(".")[0]
            if name:
                yield name


def _circles(graph: Graph) -> list[list[str]]:
    """Sets of nodes of which each reaches each, sorted (Tarjan 1972)."""
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(node: str) -> None:
        number[node] = lowest[node] = len(number)
        stack.append(node)
        for below in sorted(graph[node]):
            if below not in number:
                visit(below)
                lowest[node] = min(lowest[node], lowest[below])
            elif below in stack:
                lowest[node] = min(lowest[node], number[below])
        if lowest[node] == number[node]:
            place = stack.index(node)
            if len(circle := stack[place:]) > 1:
                found.append(sorted(circle))
            del stack[place:]

    for node in graph:
        if node not in number:
            visit(node)
    return found


if __name__ == "__main__":
    sys.exit(main())
