"""Rows made from a text data set on a hub, for checkpoints whose training order is not published: an approximation.

Row groups of its parquet files are drawn uniformly; their documents are tokenized with the checkpoint's own tokenizer,
joined by the end-of-document token and cut into rows, as training frameworks do. What the checkpoint saw, how often
and in which mixture stays unknown, so `unbiased` is false and everything computed from it is labelled so.
"""

from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from itertools import groupby, pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from scalebound.errors import InputError
from scalebound.hub.retrying import PATIENCE, first_line
from scalebound.progress import progress
from scalebound.streams.protocol import check_ids, check_tokens, token_type
from scalebound.streams.text_tokenizer import load_tokenizer

CONNECTIONS = 8
TEXT_AT_ONCE = 2**20  # bytes tokenized together: until they are packed, their tokens take some hundred times as much as after it
MOST_FILES = 2000  # footers are read of every file: more would be a long series of small requests


def resolve_dataset(repo, revision, text_column="text", files="*.parquet", patience=PATIENCE):
    """What a text data set is (network: refs, listing, the footer of each parquet file).

    Args:
        files: pattern of the paths to draw from, e.g. `data/train-*.parquet`.

    Returns:
        {"repo", "commit", "text_column", "files"}: `files` are {"path", "size", "sha256", "documents"}, the last one
        the number of documents of each row group.

    Raises:
        InputError: no such data set, no (or too many) files of that pattern, no such column.
    """
    from scalebound.hub.revisions import commit_of, list_files

    commit = commit_of(repo, revision, patience, repo_type="dataset")
    listed = list_files(repo, commit, patience, repo_type="dataset", recursive=True)
    chosen = [listed[path] for path in sorted(listed) if fnmatchcase(path, files) and path.endswith(".parquet")]
    if not 1 <= len(chosen) <= MOST_FILES:
        raise InputError(f"{repo} at {revision}", f"{len(chosen)} parquet files match {files!r}", f"Give a pattern that 1 to {MOST_FILES} files match")
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        groups = pool.map(lambda identity: _documents_by_group(repo, commit, identity, text_column, patience), chosen)
        described = [{**identity, "documents": documents} for identity, documents in zip(chosen, groups)]
    return {"repo": repo, "commit": commit, "text_column": text_column, "files": described}


def open_stream(resolved, tokenizer, end_of_document, row_tokens, vocab_size, groups, seed, begin_of_document=None, patience=PATIENCE):
    """Read, tokenize and cut `groups` row groups, drawn uniformly without replacement (network).

    Args:
        tokenizer: folder of a fetched checkpoint, or a `tokenizer.json`.
        end_of_document: token id that ends each document.
        begin_of_document: token id that begins each document; None: no such token.
    """
    loaded, rows = load_tokenizer(tokenizer), []
    for notice in notices(*loaded.around(), begin_of_document, end_of_document):
        print(f"notice: {notice}")
    with progress(groups, "row groups", f"documents of {resolved['repo']}") as bar:
        for column in _drawn_columns(resolved, draw_groups(resolved, groups, seed), patience):
            parts = []
            for texts in batches(column):
                tokens = join_documents(loaded.encode(texts), end_of_document, begin_of_document)
                check_tokens(tokens, vocab_size, resolved["repo"])
                # a run's groups are 100 million tokens: they are kept as narrow as they go
                parts.append(tokens.astype(token_type(vocab_size)))
            if parts:
                rows.append(cut_rows(np.concatenate(parts), row_tokens))
            bar.update(1)
    return TextStream(np.concatenate(rows) if rows else np.empty((0, row_tokens)), vocab_size, resolved["repo"])


def notices(before, after, begin_of_document, end_of_document):
    """What to say of a tokenizer that puts other tokens around a text than the configuration says that training did."""
    said, key = [] if begin_of_document is None else [begin_of_document], "begin_of_document"
    if before and list(before) != said:
        yield f"the tokenizer begins a text with {_ids(before)}, {key} says {_ids(said)}, and so do the rows: set it to what the checkpoints were trained on"
    if after and list(after) != [end_of_document]:
        yield f"the tokenizer ends a text with {_ids(after)}, end_of_document says {end_of_document}, and so do the rows"


def _ids(tokens):
    return ", ".join(map(str, tokens)) or "none"


def draw_groups(resolved, groups, seed):
    """[(file index, row group)] drawn uniformly without replacement from those that hold documents."""
    every = [(k, group) for k, file in enumerate(resolved["files"]) for group, documents in enumerate(file["documents"]) if documents]
    if not 1 <= groups <= len(every):
        raise InputError(resolved["repo"], f"{groups} row groups wanted of {len(every)}", "Draw fewer, or give a pattern that more files match")
    chosen = np.random.Generator(np.random.PCG64(seed)).choice(len(every), size=groups, replace=False)
    return [every[k] for k in sorted(chosen.tolist())]


def join_documents(documents, end, begin=None):
    """int32 [tokens]: lists of token ids one behind the other, each ended by the id `end` and, where there is one, begun by `begin`."""
    before, after = ([] if begin is None else [np.int32([begin])]), np.int32([end])
    return np.concatenate([np.empty(0, dtype=np.int32), *(part for ids in documents for part in (*before, np.asarray(ids, dtype=np.int32), after))])


def cut_rows(tokens, row_tokens):
    """Rows [m, row_tokens] of a text's tokens; what is left at the end makes no row.

    A row begins with the last token of the one before, so that every token but the first is predicted once.
    """
    if len(tokens) < row_tokens:
        return np.empty((0, row_tokens), dtype=tokens.dtype)
    return np.lib.stride_tricks.sliding_window_view(tokens, row_tokens)[:: row_tokens - 1].copy()


class TextStream:
    """Rows cut from documents (see `protocol.Stream`), held in memory.

    Raises:
        InputError: the documents make no row.
    """

    unbiased = False

    def __init__(self, rows, vocab_size, where):
        if not len(rows):
            raise InputError(where, "the documents drawn are shorter than one row", "Draw more row groups")
        self._rows, self._where = rows, where
        self.vocab_size = vocab_size
        self.rows, self.row_tokens = self._rows.shape

    def read(self, ids, resume=None):
        """Tokens [len(ids), row_tokens]."""
        return self._rows[check_ids(ids, self.rows, self._where)]


def _open(repo, commit, identity, patience):
    """The parquet file behind ranges. Raises InputError when it is none."""
    from scalebound.hub.ranges import RangeReader, RemoteFile

    try:
        return pq.ParquetFile(RangeReader(RemoteFile(repo, commit, identity, patience=patience)), pre_buffer=False)
    except pa.ArrowException as error:
        raise InputError(f"{repo}: {identity['path']}", f"not a readable parquet file ({error})", "Name another revision, or leave the file out") from None


def _documents_by_group(repo, commit, identity, text_column, patience):
    with _open(repo, commit, identity, patience) as file:
        kind = file.schema_arrow.field(text_column).type if text_column in file.schema_arrow.names else None
        if kind is None or not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            columns = ", ".join(file.schema_arrow.names)
            raise InputError(f"{repo}: {identity['path']}", f"no text in column {text_column!r}", f"Its columns are {columns}")
        return [file.metadata.row_group(k).num_rows for k in range(file.metadata.num_row_groups)]


def _drawn_columns(resolved, drawn, patience):
    """Yield the text column of each drawn row group; each file is opened once, and nothing else of it is transferred."""
    column = resolved["text_column"]
    for index, chosen in groupby(drawn, key=lambda pair: pair[0]):
        identity = resolved["files"][index]
        try:
            with _open(resolved["repo"], resolved["commit"], identity, patience) as file:
                for _, group in chosen:
                    texts = file.read_row_group(group, columns=[column])[column]
                    # that they are UTF-8, too, which is what the type of the column promises
                    texts.validate(full=True)
                    yield texts
        except (pa.ArrowException, OSError) as error:
            remedy = "Run again; if it stays so, name another revision"
            raise InputError(f"{resolved['repo']}: {identity['path']}", f"damaged ({first_line(error)})", remedy) from None


def batches(column):
    """Yield the texts of a column that hold something, about TEXT_AT_ONCE bytes at a time."""
    ends = np.cumsum(pc.fill_null(pc.binary_length(column), 0).to_numpy(), dtype=np.int64)
    edges = [0, *(np.flatnonzero(np.diff(ends // TEXT_AT_ONCE)) + 1), len(column)]
    for begin, end in pairwise(edges):
        texts = [text for text in column.slice(begin, end - begin).to_pylist() if text]
        if texts:
            yield texts


def resolve_tokenizer(repo, revision, patience=PATIENCE):
    """{"repo", "commit", "files"} of the tokenizer of a model repository (network)."""
    from scalebound.hub.revisions import commit_of, list_files
    from scalebound.hub.weight_files import CONFIG, TOKENIZER_FILES

    commit = commit_of(repo, revision, patience)
    listed = list_files(repo, commit, patience)
    files = [listed[name] for name in (CONFIG, *TOKENIZER_FILES) if name in listed]
    if not any(file["path"] in TOKENIZER_FILES for file in files):
        raise InputError(f"{repo} at {revision}", "no tokenizer in it", f"Name a repository that holds one of {', '.join(TOKENIZER_FILES)}")
    return {"repo": repo, "commit": commit, "files": files}


def fetch_tokenizer(resolved, patience=PATIENCE):
    """Folder of `resolve_tokenizer`'s files in the hub's cache, verified (network)."""
    from scalebound.hub.snapshot import fetch

    return fetch({**resolved, "weights": [], "format": None}, patience)["folder"]
