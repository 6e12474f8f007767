"""Tokens as text: every byte of a window is seen, and the background says what each token cost."""

import itertools
import unicodedata

import numpy as np
from markupsafe import Markup, escape
from tokenizers import Tokenizer

# losses in nats at which the background changes; the same on the whole page, so that windows can be compared
LOSS_STEPS = (0.25, 0.5, 1, 2, 3, 4, 6, 8)
_VISIBLE = {"\n": "⏎\n", "\t": "→\t", "\r": "␍"}


class _Windows:
    """Windows as markup, of whatever pieces a token is shown as."""

    def window(self, tokens, losses):
        """A window as markup; its first token was only read, never predicted, and has no loss."""
        first, kind = self.piece(tokens[0])
        parts = [Markup('<i class="given {}" title="given, not predicted">{}</i>').format(kind, first)]
        levels = np.searchsorted(LOSS_STEPS, losses, side="right")
        for token, loss, level in zip(tokens[1:], losses, levels, strict=True):
            text, kind = self.piece(token)
            extra = "" if kind == "text" else f" {kind}"
            parts.append(f'<i class="n{level}{extra}" title="{loss:.2f}">{escape(text)}</i>')
        return Markup("".join(map(str, parts)))


class TokenNumbers(_Windows):
    """Token ids as they are, for a stream whose tokenizer is not at hand."""

    def piece(self, token):
        return f"{int(token)} ", "text"


class TokenText(_Windows):
    """The text of token ids of a byte-level tokenizer, one piece a token."""

    def __init__(self, path):
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises nothing more precise for a file that is no tokenizer
            raise ValueError(f"{path}: not a tokenizer ({error})") from None
        self._special = self._tokenizer.get_added_tokens_decoder()
        self._bytes = {character: byte for byte, character in enumerate(_byte_alphabet())}

    def piece(self, token):
        """(text, kind) of one token; kind is 'text', 'bytes' when it is no whole text, or 'special'."""
        name = self._tokenizer.id_to_token(int(token))
        if name is None:
            return f"⟨id {int(token)}⟩", "bytes"
        if int(token) in self._special:
            return visible(name), "special"
        if any(character not in self._bytes for character in name):
            return visible(name), "text"
        return _readable(bytes(self._bytes[character] for character in name))


def legend():
    """(class, label) of each background."""
    edges = [f"{edge:g}" for edge in LOSS_STEPS]
    labels = [f"< {edges[0]}", *(f"{low}–{high}" for low, high in itertools.pairwise(edges)), f"≥ {edges[-1]}"]
    return [(f"n{level}", label) for level, label in enumerate(labels)]


def visible(text):
    """Text in which nothing is invisible or reorders its surroundings."""
    return "".join(map(_visible, text))


def _visible(character):
    if character in _VISIBLE:
        return _VISIBLE[character]
    category = unicodedata.category(character)
    if category.startswith("M"):  # a combining mark needs something to stand on
        return f"◌{character}"
    if category[0] == "C" or category in ("Zl", "Zp") or (category == "Zs" and character != " "):
        return f"⟨U+{ord(character):04X}⟩"
    return character


def _readable(data):
    try:
        return visible(data.decode("utf-8")), "text"
    except UnicodeDecodeError:
        # a token may hold part of a character: what is whole is shown as text, the rest as hexadecimal bytes
        shown = data.decode("utf-8", errors="surrogateescape")
        return "".join(f"⟨{ord(c) - 0xDC00:02X}⟩" if 0xDC80 <= ord(c) <= 0xDCFF else _visible(c) for c in shown), "bytes"


def _byte_alphabet():
    """The printable character that byte-level BPE writes for each byte, in the order of the bytes."""
    kept = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    others = [byte for byte in range(256) if byte not in kept]
    return [chr(byte) if byte in kept else chr(256 + others.index(byte)) for byte in range(256)]
