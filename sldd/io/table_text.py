"""Encoding and separator of a table's file, found by stated rules, never by a guess at what fits.

Text is UTF-8, with a byte order mark or without, or UTF-16 with one. Every other encoding gives some text for any
bytes, so a name read in the wrong one is another name and nobody notices: it is refused. Cells are parted by what the
first line says (``sep=;``), else by whichever of comma, semicolon and tab parts the headings most often.
"""

from __future__ import annotations

import codecs
import os
import re
from pathlib import Path

from sldd.errors import InputError

MOST_BYTES = 2**26
"""CheXpert's table, of 224,316 films, has 22 MB."""
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}

_NO_TEXT = {
    b"PK\x03\x04": "an Excel or LibreOffice workbook",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"\x1f\x8b": "a compressed file",
    b"%PDF": "a PDF file",
}
_HTML = re.compile(rb"\s*<(!doctype|html|head|body|table|\?xml)\b", re.IGNORECASE)
_SAID = re.compile(r'"?sep=(.)"?[,;\t]*(\r\n|\r|\n)', re.IGNORECASE)
_HEADINGS = 2**20
"""Characters that a line of headings may take."""


def read_text(path: Path, name: str) -> str:
    """The decoded text of a file.

    Args:
        name: what messages call it.

    Raises:
        InputError: no such file, too large, no text, or text in an encoding that cannot be told from others.
    """
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"{name}: not a file")  # a pipe would keep us waiting
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size > MOST_BYTES:
                raise InputError(f"{name}: more than {MOST_BYTES >> 20} MiB, as no such table has")
            content = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: InputError, and a name that no file has
        if isinstance(error, InputError):
            raise
        reason = getattr(error, "strerror", None) or "no file name"
        raise InputError(f"{name}: cannot be read ({reason}); it should lie in data.root") from None
    return _decoded(content, name)


def _decoded(content: bytes, name: str) -> str:
    for start, kind in _NO_TEXT.items():
        if content.startswith(start):
            raise InputError(f"{name}: {kind}, not a table of text; save it as CSV UTF-8")
    if _HTML.match(content):
        raise InputError(f"{name}: a page of the web (perhaps one that asks to sign in), not a table; get it again")
    if content.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        raise InputError(f"{name}: UTF-32 text; save it as CSV UTF-8")
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = content.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = 1 if wide else len(re.findall(rb"\r\n|\r|\n", content[: error.start])) + 1
        kind = "UTF-16 that breaks off" if wide else "a letter in another encoding than UTF-8 (Latin-1, Windows-1252)"
        raise InputError(f"{name}{'' if wide else f' line {line}'}: {kind}; save the table as CSV UTF-8") from None
    if "\0" in text:
        raise InputError(f"{name}: not UTF-8 text (UTF-16 without a byte order mark?); save it as CSV UTF-8")
    return text


def split_off_separator(text: str, name: str) -> tuple[str, str, int]:
    """The cell separator, the text without a first line that names it, and how many lines that were.

    Raises:
        InputError: the first line names something else than a comma, a semicolon or a tab.
    """
    said = _SAID.match(text)
    if said is None:
        return _most_columns(text), text, 0
    if said[1] not in SEPARATORS:
        raise InputError(f"{name} line 1: separated by none of {', '.join(SEPARATORS.values())}; save it with commas")
    return said[1], text[said.end() :], 1


def _most_columns(text: str) -> str:
    """Of the three, the separator that is in the headings most often outside quotes; the first of equals."""
    quoted, counts = False, dict.fromkeys(SEPARATORS, 0)
    for letter in text.lstrip("\r\n \ufeff")[:_HEADINGS]:
        if letter in "\r\n" and not quoted:
            break
        if letter == '"':
            quoted = not quoted
        elif letter in counts and not quoted:
            counts[letter] += 1
    return max(counts, key=counts.__getitem__)
