"""The one exception that a user is meant to read."""


class InputError(Exception):
    """Something the user gave (a file, a key, a value) cannot be used.

    The message names the file or key, the value found, and the remedy. The command line prints it without a
    traceback and exits with status 1; every other exception is a defect of scalebound and keeps its traceback.
    """

    def __init__(self, where, found, remedy):
        self.where, self.found, self.remedy = str(where), str(found), str(remedy)
        super().__init__(f"{self.where}: {self.found}. {self.remedy}")


def first_line(error):
    """What a library says of a file, short enough for a message; its type where it says nothing."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:300]


def printable(text):
    """Text whose control characters, line breaks among them, are written as escapes: a name does nothing to a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))
