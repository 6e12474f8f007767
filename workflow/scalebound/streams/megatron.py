"""Fixed-length rows in Megatron's format, in training order: the preshuffled Pile on a hub, or the same files in a folder.

The shards are pieces of one file: row i begins at byte `token bytes * row_tokens * i` of their concatenation, so a row
may begin in one shard and end in the next. Rows are read by byte ranges; the 600 GB of the Pile are never downloaded.
"""

import re
from bisect import bisect_right
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import accumulate
from pathlib import Path

import numpy as np

from scalebound.artifacts.system_files import plain
from scalebound.artifacts.windows import row_digest
from scalebound.errors import InputError
from scalebound.hub.retrying import PATIENCE
from scalebound.progress import progress
from scalebound.streams.finished_rows import FinishedRows
from scalebound.streams.megatron_index import read_index
from scalebound.streams.protocol import check_ids, check_tokens

CONNECTIONS = 8
LONGEST_RANGE = 2**20  # bytes of consecutive rows asked for at once
_SHARD = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.bin")


def resolve_dataset(repo, revision, patience=PATIENCE):
    """What a data set on a hub is: its commit, shards and index (network: refs, listing, three ranges of the index).

    Returns:
        {"repo", "commit", "rows", "row_tokens", "token_type", "shards", "index"}: `shards` in order and `index` are
        {"path", "size", "sha256"}.

    Raises:
        InputError: no such data set or revision, missing shards, or sizes that are not those of the index.
    """
    from scalebound.hub.ranges import RemoteFile
    from scalebound.hub.revisions import commit_of, list_files

    commit = commit_of(repo, revision, patience, repo_type="dataset")
    files = list_files(repo, commit, patience, repo_type="dataset", recursive=True)
    where = f"{repo} at {revision}"
    shards, index = _parts(files, where)
    facts = read_index(RemoteFile(repo, commit, index, patience=patience).read, index["size"], f"{where}: {index['path']}")
    return {"repo": repo, "commit": commit, **_checked(facts, shards, where), "index": index}


def resolve_folder(folder):
    """The same facts of a local folder: {"folder", "rows", "row_tokens", "token_type", "shards", "index"}, without digests."""
    folder = Path(folder)
    files = {path.relative_to(folder).as_posix(): path.stat().st_size for path in plain(folder.rglob("*")) if path.is_file()}
    shards, index = _parts({path: {"path": path, "size": size} for path, size in files.items()}, folder)
    facts = read_index(LocalFile(folder, index).read, index["size"], folder / index["path"])
    return {"folder": str(folder), **_checked(facts, shards, folder), "index": index}


def open_stream(resolved, vocab_size, unbiased, patience=PATIENCE, connections=CONNECTIONS):
    """The stream of `resolve_dataset`'s or `resolve_folder`'s answer; opening it costs no request.

    Args:
        unbiased: whether a checkpoint read the rows in this order, so that a uniform draw of the first ones is one of what it saw.
    """
    return MegatronStream(resolved, vocab_size, unbiased, patience, connections)


class LocalFile:
    """A file of a folder with the `read` of a remote one."""

    def __init__(self, folder, identity):
        self.path = Path(folder) / identity["path"]
        found = self.path.stat().st_size if self.path.is_file() else None
        if found != identity["size"]:
            raise InputError(self.path, "no such file" if found is None else f"{found} bytes instead of {identity['size']}", "Resolve the folder again")

    def read(self, start, stop):
        with open(self.path, "rb") as file:
            file.seek(start)
            content = file.read(stop - start)
        if len(content) != stop - start:
            raise InputError(self.path, f"ends before byte {stop}", "The file changed while it was read: resolve the folder again")
        return content


class MegatronStream:
    """Rows of a resolved data set (see `protocol.Stream`)."""

    def __init__(self, resolved, vocab_size, unbiased, patience=PATIENCE, connections=CONNECTIONS):
        self.unbiased, self._connections = unbiased, connections
        self.rows, self.row_tokens, self.vocab_size = resolved["rows"], resolved["row_tokens"], vocab_size
        self._dtype = np.dtype(resolved["token_type"])
        self._where = resolved.get("repo") or resolved["folder"]
        self._source = resolved.get("commit") or resolved["folder"]
        self._row_bytes = self._dtype.itemsize * self.row_tokens
        self._ends = list(accumulate(shard["size"] for shard in resolved["shards"]))
        self._remote = "repo" in resolved
        self._shards = [self._open(resolved, shard, patience) for shard in resolved["shards"]]

    def read(self, ids, resume=None):
        """Tokens [len(ids), row_tokens]; each distinct row is transferred once, rows that lie side by side in one request.

        Raises:
            InputError: an id outside the stream, a token outside the vocabulary, a hub that gives no usable answer.
        """
        ids = check_ids(ids, self.rows, self._where)
        wanted, places = np.unique(ids, return_inverse=True)
        rows = self._read_distinct(wanted, resume if self._remote else None)
        tokens = np.frombuffer(b"".join(rows[k] for k in range(len(wanted))), dtype=self._dtype).reshape(-1, self.row_tokens)
        check_tokens(tokens, self.vocab_size, self._where)
        return tokens[places].astype(self._dtype.newbyteorder("="), copy=False)

    def _open(self, resolved, shard, patience):
        if not self._remote:
            return LocalFile(resolved["folder"], shard)
        from scalebound.hub.ranges import RemoteFile

        return RemoteFile(resolved["repo"], resolved["commit"], shard, patience=patience)

    def _read_distinct(self, wanted, resume):
        if resume is None:
            return self._read_runs(wanted, {}, None)
        key = {"source": self._source, "rows": row_digest(wanted), "row_bytes": self._row_bytes}
        finished = FinishedRows(resume, key, self._row_bytes)
        try:
            rows = self._read_runs(wanted, finished.rows, finished)
        except BaseException:
            finished.close()
            raise
        finished.remove()
        return rows

    def _read_runs(self, wanted, rows, finished):
        """{index in `wanted`: bytes of the row}, given those of `rows`."""
        missing = np.array([k for k in range(len(wanted)) if k not in rows], dtype=np.int64)
        runs = consecutive_runs(wanted[missing], max(1, LONGEST_RANGE // self._row_bytes))
        with ThreadPoolExecutor(self._connections if self._remote else 1) as pool, progress(len(missing), "rows", f"rows of {self._where}") as bar:
            started = {pool.submit(self._read_run, int(wanted[missing[begin]]), end - begin): missing[begin:end] for begin, end in runs}
            try:
                for future in as_completed(started):
                    indices, content = started[future], future.result()
                    pieces = [content[k : k + self._row_bytes] for k in range(0, len(content), self._row_bytes)]
                    self._keep(indices, pieces, rows, finished)
                    bar.update(len(pieces))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return rows

    def _keep(self, indices, pieces, rows, finished):
        rows.update(zip(indices.tolist(), pieces))
        if finished is not None:
            # rows of a run are consecutive in the stream, and so are their indices among the sorted ids
            finished.add(int(indices[0]), pieces)

    def _read_run(self, first, count):
        """Bytes of `count` rows from row `first` on, stitched where they cross the edge of a shard."""
        place, stop, parts = first * self._row_bytes, (first + count) * self._row_bytes, []
        while place < stop:
            shard = bisect_right(self._ends, place)
            begin = self._ends[shard - 1] if shard else 0
            end = min(stop, self._ends[shard])
            parts.append(self._shards[shard].read(place - begin, end - begin))
            place = end
        return b"".join(parts)


def consecutive_runs(ids, longest):
    """[(begin, end)] index ranges of sorted distinct ids that follow each other without a gap, at most `longest` long."""
    runs, begin = [], 0
    for k in range(1, len(ids) + 1):
        if k == len(ids) or ids[k] != ids[k - 1] + 1 or k - begin == longest:
            runs.append((begin, k))
            begin = k
    return runs


def _parts(files, where):
    """(shards in order, index) of {path: identity}."""
    indices = [identity for path, identity in files.items() if path.endswith(".idx")]
    if len(indices) != 1:
        raise InputError(where, f"{len(indices)} index files (.idx)", "Name a data set in Megatron's format with one index")
    stem = indices[0]["path"][: -len(".idx")]
    if f"{stem}.bin" in files:
        return [files[f"{stem}.bin"]], indices[0]
    numbered = {int(match[2]): match for path in files if (match := _SHARD.fullmatch(path)) and match[1] == stem}
    # Pythia's 21 shards are called `-of-00020`: the number behind `of` is that of the last, elsewhere it is their count
    announced = {int(match[3]) for match in numbered.values()}
    count = len(numbered)
    if not numbered or sorted(numbered) != list(range(count)) or announced not in ({count}, {count - 1}):
        found = ", ".join(match[0] for _, match in sorted(numbered.items())[:3]) or "none"
        raise InputError(where, f"the shards of {stem} are not complete ({count}: {found} ...)", "The upload is incomplete: name another revision")
    return [files[numbered[k][0]] for k in range(count)], indices[0]


def _checked(facts, shards, where):
    """The facts of the index with the shards, whose sizes must be equal (but the last) and add up to its rows."""
    sizes = [shard["size"] for shard in shards]
    odd = [shard for shard in shards[:-1] if shard["size"] != sizes[0]] or [shards[-1]] * (sizes[-1] > sizes[0])
    if odd:
        raise InputError(where, f"{odd[0]['path']} is {odd[0]['size']} bytes, the first shard {sizes[0]}", "The upload is damaged: name another revision")
    expected = facts["rows"] * facts["row_tokens"] * np.dtype(facts["token_type"]).itemsize
    if sum(sizes) != expected:
        raise InputError(where, f"shards of {sum(sizes)} bytes, the index's rows take {expected}", "The upload is damaged: name another revision")
    return {**facts, "shards": shards}
