"""The one exception a user is meant to read."""


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message is one line that says what is wrong, where, and what to do. It never carries a patient's
    identifier or file name: rows of a manifest are named by their line number. Commands print it and exit with 2.
    """
