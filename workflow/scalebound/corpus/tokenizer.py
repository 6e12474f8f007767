"""A byte-level BPE tokenizer trained on documents that no model is trained on."""

import json
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from scalebound.artifacts.provenance import check_keys, parse_json
from scalebound.errors import InputError, first_line

END_OF_DOCUMENT = "<|endoftext|>"
END_OF_DOCUMENT_ID = 0


def train(texts, vocab_size):
    """Train on an iterable of texts. Raises InputError when they do not yield `vocab_size` entries."""
    tokenizer = _untrained()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END_OF_DOCUMENT],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    if tokenizer.get_vocab_size() != vocab_size or tokenizer.token_to_id(END_OF_DOCUMENT) != END_OF_DOCUMENT_ID:
        found = tokenizer.get_vocab_size()
        raise InputError("tokenizer", f"{found} entries instead of {vocab_size}", "Raise tokenizer_fraction or lower vocab_size")
    return tokenizer


def read(path, vocab_size):
    """The tokenizer of tokenizer.json.

    Raises:
        InputError: unreadable, ids outside the vocabulary, or anything but what `train` makes: patterns of its own in a
            foreign file could take for ever on a text.
    """
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise InputError(path, "no such file", "Make it with snakemake, or correct the path") from None
    if _pipeline(parse_json(data, path), path) != _pipeline(json.loads(_untrained().to_str()), path):
        raise InputError(path, "not a byte-level BPE tokenizer as `scalebound tokenizer` trains it", "Delete it and let snakemake make it again")
    try:
        tokenizer = Tokenizer.from_buffer(data)
    except Exception as error:  # the library raises nothing more precise for a file that is no tokenizer
        raise InputError(path, f"not a tokenizer ({first_line(error)})", "Delete it and let snakemake make it again") from None
    ids = sorted(tokenizer.get_vocab().values())
    if ids != list(range(vocab_size)) or tokenizer.token_to_id(END_OF_DOCUMENT) != END_OF_DOCUMENT_ID:
        raise InputError(path, f"{len(ids)} entries, {vocab_size} expected", "Delete it and let snakemake make it again")
    return tokenizer


def _untrained():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _pipeline(value, path):
    """All of a tokenizer's settings but what training learns."""
    check_keys(value, {"model": dict}, path)
    model = {key: setting for key, setting in value["model"].items() if key not in ("vocab", "merges")}
    return {key: setting for key, setting in value.items() if key != "added_tokens"} | {"model": model}


def encode_documents(tokenizer, texts, batch=64):
    """Yield the ids of each text, closed by the end-of-document token (and no token before it), as Pythia's data is."""
    # a document may spell the special token; as data it is plain text, never the end of a document
    tokenizer.encode_special_tokens = True
    pending = []
    for text in texts:
        pending.append(text)
        if len(pending) == batch:
            yield from _encode(tokenizer, pending)
            pending = []
    yield from _encode(tokenizer, pending)


def _encode(tokenizer, texts):
    # the fast one keeps no places in the text: half of the time
    for encoding in tokenizer.encode_batch_fast(texts, add_special_tokens=False):
        yield [*encoding.ids, END_OF_DOCUMENT_ID]
