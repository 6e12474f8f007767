"""From the configuration of a stream to its description (resolved.json), and from that to its rows."""

from scalebound.artifacts.provenance import check_keys, file_sha256
from scalebound.configuration.config import parse
from scalebound.configuration.streams import MADE_HERE, Stream, is_remote
from scalebound.errors import InputError
from scalebound.hub.retrying import Patience
from scalebound.streams import hub_dataset, megatron, parquet

# what reading a stream takes from its description
_FOUND = {
    "megatron": {"rows": int, "row_tokens": int, "token_type": str, "shards": list},
    "hub_dataset": {"repo": str, "commit": str, "text_column": str, "files": list, "tokenizer": dict},
}


def describe(settings, hub):
    """What a stream is now: commit, files, rows, as a JSON-able dict (network for streams of the hub).

    Raises:
        InputError: it is not there, damaged, or has other rows than the configuration says.
    """
    found = _DESCRIBE[settings.kind](settings, Patience(attempts=hub.attempts))
    # a text dataset has no rows before its documents are cut
    if "rows" in found:
        _check_rows(found["rows"], found["row_tokens"], settings)
    return found


def listed_settings(listing, path):
    """The stream's section of the configuration, as resolved.json holds it."""
    return parse(Stream, listing.get("stream"), path)


def open_local(listing, path):
    """The stream behind a resolved.json that needs no network. Raises InputError when it does, or has changed."""
    settings = listed_settings(listing, path)
    if is_remote(settings):
        raise InputError(path, f"a stream of kind {settings.kind} on the hub", "Draw from it with fetch-windows")
    _check_found(listing, settings, path)
    if settings.kind == "megatron":
        return _checked(megatron.open_stream(listing["found"], settings.vocab_size, settings.unbiased), settings)
    _check_parquet(settings)
    return _checked(parquet.open_stream(settings.path, settings.vocab_size, settings.unbiased), settings)


def open_remote(listing, path, hub, seed):
    """The stream behind a resolved.json, read over the network; `seed` draws the row groups of a text dataset.

    Raises:
        InputError: it needs no network, or what the network gives is not what was resolved.
    """
    settings, patience = listed_settings(listing, path), Patience(attempts=hub.attempts)
    if not is_remote(settings):
        raise InputError(path, f"a stream of kind {settings.kind} on this machine", "Draw from it with sample")
    _check_found(listing, settings, path)
    if settings.kind == "megatron":
        return _checked(megatron.open_stream(listing["found"], settings.vocab_size, settings.unbiased, patience, hub.connections), settings)
    tokenizer = hub_dataset.fetch_tokenizer(listing["found"]["tokenizer"], patience)
    cut = (settings.end_of_document, settings.row_tokens, settings.vocab_size, settings.row_groups, seed)
    stream = hub_dataset.open_stream(listing["found"], tokenizer, *cut, begin_of_document=settings.begin_of_document, patience=patience)
    return _checked(stream, settings)


def _check_found(listing, settings, path):
    check_keys(listing, {"found": dict}, path)
    check_keys(listing["found"], _FOUND.get(settings.kind, {}), path)


def _describe_made_here(settings, patience):
    raise InputError("stream", f"kind {settings.kind}", "The workflow makes such a stream itself: tokenize or generate it")


def _describe_megatron(settings, patience):
    return megatron.resolve_folder(settings.folder) if settings.repo is None else megatron.resolve_dataset(settings.repo, settings.revision, patience)


def _describe_hub_dataset(settings, patience):
    found = hub_dataset.resolve_dataset(settings.repo, settings.revision, settings.text_column, settings.files, patience)
    return {**found, "tokenizer": hub_dataset.resolve_tokenizer(settings.tokenizer_repo, settings.tokenizer_revision, patience)}


def _describe_parquet(settings, patience):
    _check_parquet(settings)
    stream = parquet.open_stream(settings.path, settings.vocab_size, settings.unbiased)
    return {"rows": stream.rows, "row_tokens": stream.row_tokens, "sha256": settings.sha256}


def _check_parquet(settings):
    found = file_sha256(settings.path)
    if found != settings.sha256:
        raise InputError(settings.path, f"sha256 {found}, the configuration says {settings.sha256}", "Restore the file, or correct sha256 of the stream")


def _checked(stream, settings):
    """The stream, which ends with its first pass: no draw may reach what was read again."""
    _check_rows(stream.rows, stream.row_tokens, settings)
    stream.rows = min(stream.rows, settings.first_pass_rows or stream.rows)
    return stream


def _check_rows(rows, row_tokens, settings):
    """Raise InputError where the stream is not what its section of the configuration says.

    One in training order holds all rows of the first pass and may hold those of later ones; of one without an order, any row
    may be drawn, and so there may be no more of them than were to be trained on.
    """
    where = getattr(settings, "repo", None) or getattr(settings, "folder", None) or settings.path
    if row_tokens != settings.row_tokens:
        raise InputError(where, f"rows of {row_tokens} tokens, the configuration says {settings.row_tokens}", "Correct row_tokens of the stream")
    first = settings.first_pass_rows
    if first is not None and (rows < first if settings.ordered else rows > first):
        raise InputError(where, f"{rows} rows, the configuration says that the first pass has {first}", "Correct first_pass_rows of the stream")


_DESCRIBE = {
    **dict.fromkeys(MADE_HERE, _describe_made_here),
    "megatron": _describe_megatron,
    "hub_dataset": _describe_hub_dataset,
    "parquet": _describe_parquet,
}
