"""Byte ranges of large files on a hub: one GET for a range, one HEAD for a file, nothing else.

A hub answers a request for a large file by a redirect to a signed address of its storage. Following it for every row
would double the requests and soon meet the hub's rate limit, so the address is asked for once and used until the
storage refuses it. One range per request: several in one are answered in ways that differ between servers.
"""

import io
import re
import threading

from scalebound.errors import InputError
from scalebound.hub.retrying import PATIENCE, BrokenAnswer, retry

TIMEOUT = 60.0  # seconds without a byte
_EXPIRED = (401, 403, 404, 410)
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


class RemoteFile:
    """One file of a pinned commit, read by ranges; safe to use from several threads.

    Args:
        identity: {"path", "size", ...} of the hub's listing; another size on the server is refused.
    """

    def __init__(self, repo, commit, identity, repo_type="dataset", patience=PATIENCE):
        from huggingface_hub import hf_hub_url

        self.path, self.size, self.patience = identity["path"], identity["size"], patience
        self._identity, self._what = identity, f"{repo} at {commit[:12]}: {identity['path']}"
        self._url = hf_hub_url(repo, self.path, repo_type=repo_type, revision=commit)
        self._lock, self._address, self._used, self._follow = threading.Lock(), None, set(), False

    def read(self, start, stop):
        """Bytes [start, stop) of the file.

        Raises:
            InputError: outside the file, or no usable answer after the attempts that `patience` allows.
        """
        if not 0 <= start <= stop <= self.size:
            raise InputError(self._what, f"bytes {start} to {stop} of {self.size}", "The listing and the index disagree: resolve the data set again")
        return retry(lambda: self._get(start, stop), self._what, self.patience) if stop > start else b""

    def _get(self, start, stop):
        from huggingface_hub.utils import get_session, hf_raise_for_status

        address, headers = self._located()
        headers = {**headers, "Range": f"bytes={start}-{stop - 1}"}
        with get_session().stream("GET", address, headers=headers, timeout=TIMEOUT) as response:
            if response.status_code in _EXPIRED and address != self._url:
                self._forget(address)
                raise BrokenAnswer(f"the storage refuses the address that the hub gave (HTTP {response.status_code})")
            hf_raise_for_status(response)
            self._check_range(response, start, stop)
            # `read` raises where fewer bytes come than were announced
            content = response.read()
        if len(content) != stop - start:
            raise BrokenAnswer(f"{len(content)} bytes for a range of {stop - start}")
        self._used.add(address)
        return content

    def _check_range(self, response, start, stop):
        """Before the body is read: a server without ranges would send all of a 30 GB file."""
        match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if response.status_code != 206 or match is None:
            raise BrokenAnswer(f"HTTP {response.status_code} without the range that was asked for")
        if tuple(map(int, match.groups())) != (start, stop - 1, self.size):
            raise BrokenAnswer(f"answered {match[0]}, asked for bytes {start}-{stop - 1}/{self.size}")

    def _located(self):
        """(address, headers): where the hub says that the bytes are; asked for once."""
        with self._lock:
            if self._address is None:
                self._address = self._locate()
            return self._address

    def _forget(self, address):
        """Ask for a new address; one that never worked cannot be used apart from its redirect, which is then followed."""
        with self._lock:
            self._follow = self._follow or address not in self._used
            if self._address is not None and self._address[0] == address:
                self._address = None

    def _locate(self):
        from huggingface_hub import get_hf_file_metadata
        from huggingface_hub.file_download import _is_same_or_hub_host
        from huggingface_hub.utils import build_hf_headers

        facts = get_hf_file_metadata(self._url, timeout=TIMEOUT)
        if facts.size != self.size:
            raise InputError(self._what, f"{facts.size} bytes, the listing says {self.size}", "Resolve the data set again")
        digest = self._identity.get("sha256")
        if digest and facts.etag != digest:
            raise InputError(self._what, f"sha256 {facts.etag}, the listing says {digest}", "Resolve the data set again")
        # credentials are for the hub alone; compressed answers have other lengths
        address = self._url if self._follow else facts.location
        headers = build_hf_headers() if _is_same_or_hub_host(self._url, address) else {}
        return address, {**headers, "Accept-Encoding": "identity"}


class RangeReader(io.RawIOBase):
    """A read-only file over `RemoteFile`, for libraries that seek: each read is one range, nothing is read ahead."""

    def __init__(self, remote):
        self._remote, self._position = remote, 0

    def readable(self):
        return True

    def seekable(self):
        return True

    def tell(self):
        return self._position

    def seek(self, offset, whence=io.SEEK_SET):
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._remote.size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer):
        stop = min(self._remote.size, self._position + len(buffer))
        content = self._remote.read(min(self._position, stop), stop)
        buffer[: len(content)] = content
        self._position += len(content)
        return len(content)
