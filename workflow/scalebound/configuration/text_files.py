"""Text files that a user writes, with an editor or a spreadsheet."""

import codecs
from pathlib import Path

from scalebound.errors import InputError

_OTHERS = {codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16"}


def read_text(path, remedy):
    """The text of a file in UTF-8, with or without a byte-order mark, its lines ended by \\n.

    Raises:
        InputError: no such file (`remedy` says what to do), or another encoding.
    """
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise InputError(path, "no such file", remedy) from None
    except OSError as error:
        raise InputError(path, f"not a readable file ({error.strerror})", remedy) from None
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        found = _OTHERS.get(data[:2], f"byte {error.start + 1} belongs to another encoding")
        raise InputError(path, f"not in UTF-8 ({found})", "Save it as UTF-8") from None
