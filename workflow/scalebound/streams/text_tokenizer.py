"""A checkpoint's own tokenizer: the ids of documents, and what it would put around each of them by itself."""

from pathlib import Path

import numpy as np

from scalebound.errors import InputError, first_line


class TextTokenizer:
    """Tokenizes documents as data: a special token that a document spells is plain text.

    Args:
        ids_of: function (texts, special) -> an iterable of (ids, mask), one for each text; with `special` the tokenizer adds
            tokens of its own, and `mask` is 1 at these.
    """

    def __init__(self, ids_of):
        self._ids_of = ids_of

    def encode(self, texts):
        """The ids of each text, int32, with no token added."""
        return [np.array(ids, dtype=np.int32) for ids, _ in self._ids_of(texts, False)]

    def around(self):
        """(ids before, ids after) that the tokenizer puts around a text when nobody tells it not to."""
        ((ids, mask),) = self._ids_of(["a"], True)
        text = [k for k, added in enumerate(mask) if not added]
        return (ids[: text[0]], ids[text[-1] + 1 :]) if text else (ids, [])


def load_tokenizer(place):
    """The TextTokenizer of a `tokenizer.json`, or of the folder of a fetched checkpoint. Raises InputError when `place` holds none."""
    place = Path(place)
    return TextTokenizer(_of_file(place) if place.is_file() else _of_folder(place))


def _of_file(path):
    from tokenizers import Tokenizer

    try:
        fast = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises bare Exception
        raise InputError(path, f"not a tokenizer ({first_line(error)})", "Give a tokenizer.json") from None
    fast.encode_special_tokens = True

    def ids_of(texts, special):
        return ((encoding.ids, encoding.special_tokens_mask) for encoding in fast.encode_batch(texts, add_special_tokens=special))

    return ids_of


def _of_folder(place):
    from transformers import AutoTokenizer

    try:
        loaded = AutoTokenizer.from_pretrained(place, local_files_only=True, trust_remote_code=False, split_special_tokens=True)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(place, f"no tokenizer ({first_line(error)})", "Give the folder of a fetched checkpoint with its tokenizer files") from None
    wanted = {"return_attention_mask": False, "return_token_type_ids": False, "return_special_tokens_mask": True, "verbose": False}

    def ids_of(texts, special):
        found = loaded(texts, add_special_tokens=special, **wanted)
        return zip(found["input_ids"], found["special_tokens_mask"])

    return ids_of
