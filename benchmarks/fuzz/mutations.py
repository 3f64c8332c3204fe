"""Ways to spoil an input: bytes that are flipped, cut and spliced, lengths that lie, and trees, tables and chunks that
stay what they are while what they say becomes nonsense. All random numbers come from the stream of the input.
"""

from __future__ import annotations

import copy
import json
import struct
import unicodedata
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np

Random = np.random.Generator
T = TypeVar("T")
_LENGTHS = (0, 1, 2, 7, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_STRANGE: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 3, 2**31, 2**63, 2**64, -(2**63), 10**30, 10**400, 0.5, -0.0, 1e-320, 1e308,
    float("nan"), float("inf"), float("-inf"), "", "0", "nan", "x" * 5000, "\x00", "\x1b[2J", "\ud800", "<script>",
    "../../outside/secret.png", "/", "P-0", "=1+1", "done", "confirm", "1.0", "-1", "\u202e", "1" * 6000,
    [], {}, [[]], [{}], {"": None}, [None], [0] * 50, [[1, 2, 3]], [1e308] * 4,
)  # fmt: skip
CELLS = (
    "", "0", "1", "2", "-1", "nan", "1e999", "x" * 200_000, "\x00", '"', "\r", "../outside/secret.png", "/etc/passwd",
    "images/../../outside/secret.png", "link/secret.png", "link.png", "images/0.png", ".", "..", "images", "a" * 300,
    "/dev/zero", "pipe.png", "~/x", "\ud7ff", "\U0010ffff", "train", "test", "|", ";;", "a|b", "1.0", "-1.0", "=1+1",
    "1" * 5000, "\u2028", "CON", "images\\0.png", "patient1/../../outside/secret.png", "#N/A", "#REF!", "1.23457E+11",
    "TRUE", "0,0", "none", "No findings", "e\u0301", "\u00e9", "\u200b", "\ufffd", "007", "7", "2-Mar", '="7"', "x\ny",
    "..\\..\\outside\\secret.png", "images\\..\\..\\outside\\secret.png", "\\etc\\passwd", "C:\\x.png",
)  # fmt: skip
"""What a table may say in any cell; the paths are those that ``benchmarks.fuzz.guard`` lays traps for."""


def pick(random: Random, values: Sequence[T]) -> T:
    """One of several."""
    return values[int(random.integers(len(values)))]


def spoil(content: bytes, random: Random) -> bytes:
    """One to eight changes of bytes that know nothing of the format."""
    changed = bytearray(content)
    for _ in range(int(random.integers(1, 9))):
        changed = pick(random, _BYTE_CHANGES)(changed, random)
    return bytes(changed)


def _flip_bit(data: bytearray, random: Random) -> bytearray:
    if data:
        data[int(random.integers(len(data)))] ^= 1 << int(random.integers(8))
    return data


def _change_header_byte(data: bytearray, random: Random) -> bytearray:
    """One of the first 512 bytes, where formats keep what they say of themselves."""
    if data:
        data[int(random.integers(min(len(data), 512)))] = int(random.integers(256))
    return data


def _write_length(data: bytearray, random: Random) -> bytearray:
    """An integer of 2, 4 or 8 bytes as formats write lengths: zero, the largest, one near a limit."""
    kind = pick(random, ("<H", ">H", "<I", ">I", "<Q", ">Q"))
    size = struct.calcsize(kind)
    if len(data) > size:
        at = int(random.integers(min(len(data) - size, pick(random, (64, 1024, len(data))))))
        data[at : at + size] = struct.pack(kind, pick(random, _LENGTHS) & (256**size - 1))
    return data


def _cut_end(data: bytearray, random: Random) -> bytearray:
    return data[: int(random.integers(len(data) + 1))] if random.random() < 0.3 else data


def _drop_piece(data: bytearray, random: Random) -> bytearray:
    at, size = int(random.integers(len(data) + 1)), int(random.integers(1, 33))
    return data[:at] + data[at + size :]


def _repeat_piece(data: bytearray, random: Random) -> bytearray:
    at, size = int(random.integers(len(data) + 1)), int(random.integers(1, 257))
    return data[:at] + data[at : at + size] * int(random.integers(2, 5)) + data[at + size :]


def _copy_over(data: bytearray, random: Random) -> bytearray:
    """A piece over another one."""
    if len(data) > 64:
        size = int(random.integers(1, 65))
        source, target = (int(place) for place in random.integers(len(data) - size, size=2))
        data[target : target + size] = data[source : source + size]
    return data


def _insert_noise(data: bytearray, random: Random) -> bytearray:
    at = int(random.integers(len(data) + 1))
    return data[:at] + bytearray(random.bytes(int(random.integers(1, 65)))) + data[at:]


_BYTE_CHANGES: tuple[Callable[[bytearray, Random], bytearray], ...] = (
    _flip_bit, _flip_bit, _change_header_byte, _write_length, _cut_end, _drop_piece, _repeat_piece, _copy_over,
    _insert_noise,
)  # fmt: skip
"""One is drawn; a flipped bit twice as often as any other."""


def spoil_tree(tree: Any, random: Random) -> Any:
    """One to four places of nested mappings and lists replaced, removed, renamed, doubled or nested."""
    changed = copy.deepcopy(tree)
    for _ in range(int(random.integers(1, 5))):
        places = list(_places(changed))
        if not places:
            return copy.deepcopy(pick(random, _STRANGE))
        holder, key = pick(random, places)
        _change(holder, key, random)
    return changed


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Each mapping or list in a tree with each of its keys or indices, from the root down."""
    items: list[tuple[Any, Any]] = []
    if isinstance(tree, dict):
        items = list(tree.items())
    elif isinstance(tree, list):
        items = list(enumerate(tree))
    for key, value in items:
        yield tree, key
        yield from _places(value)


def _change(holder: Any, key: Any, random: Random) -> None:
    """Change one place of a tree: remove, nest, rename, scale or resize it, or put a strange value there."""
    what = int(random.integers(8))
    value = holder[key]
    if what == 0:
        del holder[key]
    elif what == 1:
        nested: Any = value
        for _ in range(int(pick(random, (1, 3, 30, 150)))):
            nested = [nested] if random.random() < 0.5 else {"a": nested}
        holder[key] = nested
    elif what == 2 and isinstance(holder, dict):
        holder[pick(random, ("", "x", "a.b", "__proto__", "1", "\x00", "cell", "status"))] = holder.pop(key)
    elif what == 3 and isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300:
        holder[key] = value * pick(random, (-1, 0, 2, 1000, 0.5, 10**9))
    elif what == 4 and isinstance(value, list) and value:
        holder[key] = value * 2 if random.random() < 0.5 else value[:-1]
    else:
        holder[key] = copy.deepcopy(pick(random, _STRANGE))  # may be changed in its turn


def to_json(tree: Any) -> bytes:
    """JSON with whatever Python can write: NaN, lone surrogates, numbers of any length."""
    return json.dumps(tree).encode("utf-8", "surrogatepass")


def deep_json(random: Random) -> bytes:
    """JSON of so many nested lists or mappings that readers run out of stack; or only their beginnings."""
    depth = int(pick(random, (100, 900, 5_000, 200_000)))
    start, end = pick(random, ((b"[", b"]"), (b'{"a":', b"}")))
    return start * depth + b"1" + end * depth if random.random() < 0.7 else start * depth


def spoil_table(text: str, random: Random) -> bytes:
    """Cells, lines and headings of a comma-separated table replaced, doubled, dropped; or its bytes spoiled."""
    lines = [line.split(",") for line in text.splitlines()]
    for _ in range(int(random.integers(1, 5))):
        line = pick(random, lines[1:] or lines) if random.random() < 0.8 else lines[0]
        what = int(random.integers(6))
        if what < 3 and line:
            line[int(random.integers(len(line)))] = pick(random, CELLS)
        elif what == 3 and line:
            line.pop(int(random.integers(len(line))))
        elif what == 4:
            line.extend([pick(random, CELLS)] * int(random.integers(1, 4)))
        else:
            lines.append(list(pick(random, lines)))
    table = "\n".join(",".join(line) for line in lines)
    content = _saved(table, random) if random.random() < 0.3 else table.encode("utf-8", "surrogatepass")
    return spoil(content, random) if random.random() < 0.2 else content


def _saved(table: str, random: Random) -> bytes:
    """A table as some program saves it: other separators, quotes, ends of lines, accents, encodings."""
    separator = pick(random, (",", ";", "\t", "|"))
    table = table.replace(",", separator)
    if random.random() < 0.3:
        table = "\n".join(f'"{line}"'.replace(separator, f'"{separator}"') for line in table.split("\n"))
    if random.random() < 0.3:
        heading, end, rows = table.partition("\n")
        table = heading.upper().replace("_", " ") + end + rows
    if random.random() < 0.3:
        table = f"sep={pick(random, (separator, ',', ';;', ''))}\n{table}"
    table = table.replace("\n", pick(random, ("\n", "\r\n", "\r", "\n\n")))
    table = unicodedata.normalize(pick(random, ("NFC", "NFD")), table)
    encoding = pick(random, ("utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252", "utf-7"))
    return table.encode(encoding, "replace" if encoding == "cp1252" else "surrogatepass")


def spoil_png(content: bytes, random: Random) -> bytes:
    """A PNG file whose chunks are changed and whose checksums hold again."""
    chunks = _png_chunks(content)
    for _ in range(int(random.integers(1, 4))):
        number = int(random.integers(len(chunks)))
        kind, data = chunks[number]
        what = int(random.integers(5))
        if what == 0 and kind == b"IHDR":
            sizes = struct.pack(">II", *(pick(random, _LENGTHS) for _ in range(2)))
            chunks[number] = kind, sizes + bytes(int(pick(random, (0, 1, 2, 3, 4, 6, 8, 16))) for _ in range(5))
        elif what == 1:
            chunks.insert(number, chunks[number])
        elif what == 2:
            kinds = (b"PLTE", b"tRNS", b"acTL", b"fcTL", b"fdAT", b"zTXt", b"iTXt", b"iCCP", b"eXIf", b"gAMA", b"IDAT")
            bomb = b"Comment\0\0" + zlib.compress(bytes(3_000_000))
            chunks.insert(number, (pick(random, kinds), pick(random, (bomb, random.bytes(26), b"", b"\0" * 800))))
        elif what == 3 and kind == b"IDAT":
            chunks[number] = kind, zlib.compress(bytes(int(pick(random, (0, 10, 10_000_000)))))
        else:
            chunks[number] = kind, spoil(data, random)
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return content[:8] + body


def _png_chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    """Type and data of each chunk: after a signature of 8 bytes, each is length, type, data and checksum."""
    chunks, at = [], 8
    while at + 12 <= len(content):
        (size,) = struct.unpack(">I", content[at : at + 4])
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + size]))
        at += 12 + size
    return chunks


_TIFF_TAGS = (254, 256, 257, 258, 259, 262, 273, 277, 278, 279, 284, 317, 320, 322, 323, 338, 339, 347, 34665)
"""Of size, bits, compression, colours, strips and tiles, and of where EXIF data are."""


def spoil_tiff(content: bytes, random: Random) -> bytes:
    """A little-endian TIFF file whose first directory says something else.

    Bytes 4 to 8 say where the directory is: a number of entries, and 12 bytes for each: tag, type, number of values,
    and the value or where the values are.
    """
    data = bytearray(content)
    (at,) = struct.unpack("<I", data[4:8])
    if at + 2 > len(data):
        return spoil(content, random)
    (count,) = struct.unpack("<H", data[at : at + 2])
    for _ in range(int(random.integers(1, 4))):
        entry = at + 2 + 12 * int(random.integers(max(count, 1)))
        what = int(random.integers(4))
        if what == 0:  # the value
            data[entry + 8 : entry + 12] = struct.pack("<I", pick(random, _LENGTHS))
        elif what == 1:  # the number of values
            data[entry + 4 : entry + 8] = struct.pack("<I", pick(random, _LENGTHS))
        elif what == 2:  # the type
            data[entry + 2 : entry + 4] = struct.pack("<H", int(random.integers(0, 20)))
        else:
            data[entry : entry + 2] = struct.pack("<H", pick(random, _TIFF_TAGS))
    return bytes(data)
