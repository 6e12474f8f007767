"""A byte-level BPE tokenizer trained on documents that no model is trained on."""

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from scalebound.errors import InputError

END_OF_DOCUMENT = "<|endoftext|>"
END_OF_DOCUMENT_ID = 0


def train(texts, vocab_size):
    """Train on an iterable of texts. Raises InputError when they do not yield `vocab_size` entries."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
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
    for encoding in tokenizer.encode_batch(texts, add_special_tokens=False):
        yield [*encoding.ids, END_OF_DOCUMENT_ID]
