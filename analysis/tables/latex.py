"""LaTeX escaping: prints any text letter for letter, in a document that loads no package for it.

What comes out is ASCII: which other letters a document can print depends on its engine, encoding and fonts. Latin
letters with accents, Greek and the signs of measured numbers are spelled with commands that every LaTeX has; what is
left is named by its code point. The library pylatexenc leaves brackets and stars, which are options of a line end, and
letters that it does not know as they are.
"""

from __future__ import annotations

import unicodedata

_RUNS = "-,"  # two in a row would become one sign
# Brackets and stars would be options of the line end before them; quotes join; < > | are other signs in old fonts.
_ASCII = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "_": r"\_",
    "%": r"\%",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\texttt{\char34}",
    "'": "{'}",
    "`": "{`}",
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
}
_COMMANDS = {
    "αβγδεζηθικλμνξ": "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi",
    "πρςστυφχψω": "pi rho varsigma sigma tau upsilon phi chi psi omega",
    "ΓΔΘΛΞΠΣΥΦΨΩ": "Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega",
    "µ×±≤≥≠≈·→∞√": "mu times pm leq geq neq approx cdot to infty surd",  # noqa: RUF001
}
_MATH = {
    letter: f"$\\{name}$"
    for letters, names in _COMMANDS.items()
    for letter, name in zip(letters, names.split(), strict=True)
}
_SIGNS = {
    "−": "$-$",  # noqa: RUF001
    "°": r"$^{\circ}$",
    "²": "$^{2}$",
    "³": "$^{3}$",
    "–": "{--}",  # noqa: RUF001
    "—": "{---}",
    "‘": "{`}",  # noqa: RUF001
    "’": "{'}",  # noqa: RUF001
    "“": "{``}",
    "”": "{''}",
    "…": r"\ldots{}",
    "ß": r"\ss{}",
    "æ": r"\ae{}",
    "Æ": r"\AE{}",
    "œ": r"\oe{}",
    "Œ": r"\OE{}",
    "ø": r"\o{}",
    "Ø": r"\O{}",
    "ł": r"\l{}",
    "Ł": r"\L{}",
}
_KNOWN = _ASCII | _MATH | _SIGNS
_ACCENTS = dict(
    zip("\u0300\u0301\u0302\u0303\u0308\u0304\u0306\u0307\u030a\u030b\u030c\u0327", "`'^~\"=u.rHvc", strict=True)
)


def tex(text: str) -> str:
    """`text` as LaTeX, in ASCII; what is no printable character should have been replaced before."""
    letters = unicodedata.normalize("NFC", text)
    return "".join(map(_spelled, letters, letters[1:] + " "))


def _spelled(letter: str, following: str) -> str:
    if letter in _KNOWN:
        return _KNOWN[letter]
    if letter in _RUNS and letter == following:
        return letter + "{}"
    if letter.isascii():
        return letter
    parts = unicodedata.normalize("NFD", letter)
    if len(parts) == 2 and parts[0].isascii() and parts[0].isalpha() and parts[1] in _ACCENTS:
        return f"\\{_ACCENTS[parts[1]]}{{{parts[0]}}}"
    return f"{{[}}U+{ord(letter):04X}{{]}}"
