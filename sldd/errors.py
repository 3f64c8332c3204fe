"""InputError, the one exception that a user is meant to read."""

LONGEST = 1000


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message is one line that says what is wrong, where, and what to do. It never carries a patient's
    identifier or file name: rows of a manifest are named by their line number. Commands print it and exit with 2.
    What it quotes may come from a stranger's file: it steers no terminal, and has no end of its own choosing.
    """

    def __init__(self, message: str) -> None:
        shown = "".join(letter if letter.isprintable() else "?" for letter in message[: LONGEST + 1])
        super().__init__(shown if len(shown) <= LONGEST else shown[: LONGEST - 3] + "...")
