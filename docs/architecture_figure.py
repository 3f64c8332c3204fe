"""The figure of the architecture, from the imports: rooms, their folders by floors, and the way of the data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

from architecture import FLOW, GROUND, Graph, Imports, floors

# In pixels: three columns, the ledger below the analysis that reads it.
ROOM, GAP, EDGE, TITLE, ROW, WIDTH, HEIGHT, PAD = 396, 46, 12, 44, 52, 116, 32, 12
_STUDY, _ANALYSIS = EDGE + ROOM + GAP, EDGE + 2 * (ROOM + GAP)
PLACES = {"sldd": (EDGE, EDGE), "study": (_STUDY, EDGE), "analysis": (_ANALYSIS, EDGE), "ledger": (_ANALYSIS, 456)}
CONCERNS = {
    "sldd": "one distillation, start to end",
    "study": "many trials on many machines",
    "analysis": "what they mean",
    "ledger": "the files of a study",
}
DOORS = {
    ("study", "sldd"): ((_STUDY, 200), (EDGE + ROOM + 5, 200)),
    ("study", "analysis"): ((_STUDY + ROOM, 200), (_ANALYSIS - 5, 200)),
    ("study", "ledger"): ((_STUDY + ROOM, 440), (_ANALYSIS + 40, 451)),
    ("analysis", "ledger"): ((_ANALYSIS + ROOM / 2, 420), (_ANALYSIS + ROOM / 2, 451)),
    ("ledger", "sldd"): ((_ANALYSIS, 690), (EDGE + ROOM / 2, 529)),
}
LEGEND = 500
STYLE = """<style>
.page { fill: #fff } .room { fill: #f5f7f9; stroke: #9aa5b1 } .folder { fill: #fff; stroke: #5b6673 }
.module { fill: #e8f1f8; stroke: #0072b2 } .ground { fill: #e4e8ec; stroke: none }
text { font-family: system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif; fill: #1f2933 }
.title { font-size: 17px; font-weight: 600 } .concern { font-size: 13px; fill: #5b6673; text-anchor: end }
.node { font-size: 13px; text-anchor: middle } .word { font-size: 14px }
.arrow { fill: none; stroke: #8794a1; stroke-width: 1.2 } .between { fill: none; stroke: #1f2933; stroke-width: 3 }
.badge { fill: #d55e00 } .number { fill: #fff; font-size: 11.5px; font-weight: 700; text-anchor: middle }
</style>"""
TIP = (
    '<marker id="{}" viewBox="0 0 8 8" refX="{}" refY="4" markerWidth="{}" markerHeight="{}" orient="auto">'
    '<path d="M0,0 L8,4 L0,8 z" fill="{}"/></marker>'
)


@dataclass(frozen=True)
class Box:
    """A rectangle of the figure, in pixels."""

    x: float
    y: float
    width: float
    height: float

    @property
    def head(self) -> tuple[float, float]:
        return self.x + self.width / 2, self.y

    @property
    def foot(self) -> tuple[float, float]:
        return self.x + self.width / 2, self.y + self.height


def draw(imports: Imports) -> str:
    """The figure: each room by floors, an arrow an import that no longer way implies, and numbers the data's way."""
    boxes: dict[str, Box] = {}
    pieces: list[str] = []
    for room, (left, top) in PLACES.items():
        graph = {node: used - set(GROUND) for node, used in imports.arrows(room).items() if node not in GROUND}
        rows = [*floors(graph)[::-1], *([sorted(GROUND)] if room == "sldd" else [])]
        frame = Box(left, top, ROOM, TITLE + ROW * len(rows))
        boxes[room] = frame
        pieces.append(_box(frame, "room", ""))
        pieces.append(f'<text class="title" x="{left + PAD}" y="{top + 25}">{room}/</text>')
        pieces.append(f'<text class="concern" x="{left + ROOM - PAD}" y="{top + 25}">{CONCERNS[room]}</text>')
        for row, names in enumerate(rows):
            shift = left + (ROOM - len(names) * (WIDTH + PAD) + PAD) / 2
            for place, name in enumerate(_by_users(names, graph, boxes)):
                boxes[name] = Box(shift + place * (WIDTH + PAD), top + TITLE + row * ROW, WIDTH, HEIGHT)
        for user, used in _reduced(graph).items():
            pieces += [_arrow(boxes[user].foot, boxes[name].head) for name in sorted(used)]
        for name in imports.arrows(room):
            kind = "ground" if name in GROUND else "folder" if name in imports.folders else "module"
            pieces.append(_box(boxes[name], kind, name.removeprefix(f"{room}.") + "/" * (kind == "folder")))
    between = imports.arrows("")
    for user, used in between.items():
        for name in sorted(used):
            start, end = DOORS[user, name]  # a pair of rooms without a door is an arrow that should not be
            pieces.append(_arrow(start, end, "between"))
    legend = boxes["study"]
    pieces.append(f'<text class="title" x="{legend.x}" y="{LEGEND}">One radiograph, from file to page</text>')
    for number, (node, word) in enumerate(FLOW.items(), 1):
        x, y = legend.x + 11 + (number - 1) // 6 * 205, LEGEND + 24 + (number - 1) % 6 * 25
        pieces.append(_badge(x, y, number))
        pieces.append(f'<text class="word" x="{x + 17}" y="{y + 4.5}">{escape(word)}</text>')
        pieces.append(_badge(boxes[node].x, boxes[node].y, number))
    width, height = 3 * ROOM + 2 * GAP + 2 * EDGE, max(box.y + box.height for box in boxes.values()) + EDGE
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:g}" role="img">',
        "<title>Rooms, their folders by floors, and the way of a radiograph through them</title>",
        STYLE,
        f"<defs>{TIP.format('arrow', 7, 7, 7, '#8794a1')}{TIP.format('between', 5, 4, 4, '#1f2933')}</defs>",
        f'<rect class="page" width="{width}" height="{height:g}"/>',
    ]
    return "\n".join([*head, *pieces, "</svg>\n"])


def _by_users(names: list[str], graph: Graph, boxes: Mapping[str, Box]) -> list[str]:
    """Names of a floor from left to right, each near what imports it on the floors above."""

    def middle(name: str) -> float:
        above = [boxes[user].head[0] for user, used in graph.items() if name in used and user in boxes]
        return sum(above) / len(above) if above else 0

    return sorted(names, key=lambda name: (middle(name), name))


def _reduced(graph: Graph) -> dict[str, set[str]]:
    """The graph without arrows that a longer way implies."""

    def below(node: str) -> set[str]:
        return set(graph[node]).union(*(below(name) for name in graph[node]))

    return {node: set(used) - set().union(*(below(name) for name in used)) for node, used in graph.items()}


def _box(box: Box, kind: str, word: str) -> str:
    shape = f'<rect class="{kind}" x="{box.x:g}" y="{box.y:g}" width="{box.width:g}" height="{box.height:g}" rx="5"/>'
    x, y = box.head
    return shape + (f'<text class="node" x="{x:g}" y="{y + 21:g}">{escape(word)}</text>' if word else "")


def _arrow(start: tuple[float, float], end: tuple[float, float], kind: str = "arrow") -> str:
    (x, y), (to_x, to_y) = start, end
    way = f"C{x:g},{(y + to_y) / 2:g} {to_x:g},{(y + to_y) / 2:g} {to_x:g},{to_y - 2:g}"
    if kind == "between":
        way = f"H{to_x:g} " * (x != to_x) + f"V{to_y:g}" * (y != to_y)
    return f'<path class="{kind}" marker-end="url(#{kind})" d="M{x:g},{y:g} {way}"/>'


def _badge(x: float, y: float, number: int) -> str:
    circle = f'<circle class="badge" cx="{x:g}" cy="{y:g}" r="9.5"/>'
    return f'{circle}<text class="number" x="{x:g}" y="{y + 4:g}">{number}</text>'
