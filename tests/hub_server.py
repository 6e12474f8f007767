"""A model hub on 127.0.0.1: the part of the protocol that huggingface_hub 2.4.0 speaks, with faults on demand.

with HubServer() as hub:
    hub.add_model("org/tiny", {"main": {"config.json": b"{}"}, "step1": Path("folder")})
    hub.fault("resolve/.*config.json", "503")          # the first matching request
    ...HF_ENDPOINT=hub.endpoint...
    hub.count("/refs"), hub.body_bytes("resolve")
"""

import contextlib
import hashlib
import json
import re
import socket
import struct
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit

LFS_SUFFIXES = (".safetensors", ".bin", ".idx", ".parquet")
_API = re.compile(r"^/api/(models|datasets)/([^/]+/[^/]+)(?:/(revision|tree|paths-info|refs)(?:/([^/]+)(?:/(.*))?)?)?$")
_RESOLVE = re.compile(r"^/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)$")
_SIGNED = re.compile(r"^/signed/(\d+)/([0-9a-f]{64})$")
_STATUS_FAULTS = {"503": 503, "429": 429, "404": 404, "403": 403}


@dataclass
class File:
    """One file of a commit."""

    path: str
    data: bytes

    def __post_init__(self):
        self.sha256 = hashlib.sha256(self.data).hexdigest()
        self.is_lfs = self.path.endswith(LFS_SUFFIXES)
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {len(self.data)}\n".encode()
        self.pointer_size = len(pointer)
        self.blob_id = git_blob_id(pointer if self.is_lfs else self.data)
        self.etag = self.sha256 if self.is_lfs else self.blob_id

    def tree_entry(self):
        entry = {"type": "file", "path": self.path, "size": len(self.data), "oid": self.blob_id}
        return entry | ({"lfs": {"oid": self.sha256, "size": len(self.data), "pointerSize": self.pointer_size}} if self.is_lfs else {})

    def sibling(self, with_blobs):
        entry = {"rfilename": self.path}
        if with_blobs:
            entry |= {"size": len(self.data), "blobId": self.blob_id}
            entry |= {"lfs": {"sha256": self.sha256, "size": len(self.data), "pointerSize": self.pointer_size}} if self.is_lfs else {}
        return entry


@dataclass
class Fault:
    """What happens to the matching requests number `first` to `first + times - 1`; `times` None: to all from `first` on."""

    pattern: str
    kind: str
    first: int
    times: int | None
    retry_after: int | None
    seen: int = 0

    def strikes(self, line):
        if not re.search(self.pattern, line):
            return False
        self.seen += 1
        return self.seen >= self.first and (self.times is None or self.seen < self.first + self.times)


@dataclass
class Logged:
    """One answered request: `line` is method and target, sizes are bytes put on the wire."""

    line: str
    status: int
    range: str | None
    authorized: bool
    body_bytes: int
    all_bytes: int


class HubServer:
    """Repositories in memory behind an HTTP server of their own; `redirect` sends LFS files through expiring signed addresses."""

    def __init__(self, redirect=False):
        self.redirect, self.signature = redirect, 1
        self.repos, self.faults, self.log = {}, [], []
        self.lock, self.stalled = threading.Lock(), threading.Event()
        self.open_requests = self.peak = 0
        self._sockets, self._server, self._thread = set(), None, None

    def __enter__(self):
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.hub = self
        self.port = self._server.server_address[1]
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """Disappear: no new connection, and the open ones are cut."""
        if self._server is None:
            return
        server, self._server = self._server, None
        server.shutdown()
        server.server_close()
        self._thread.join()
        with self.lock:
            for open_socket in self._sockets:
                with contextlib.suppress(OSError):
                    open_socket.shutdown(socket.SHUT_RDWR)

    def add_model(self, repo, branches):
        """Branches are {name: {path: bytes} or a folder}; returns {branch: commit}."""
        return self._add("models", repo, branches)

    def add_dataset(self, repo, branches):
        return self._add("datasets", repo, branches)

    def fault(self, pattern, kind, first=1, times=1, retry_after=None):
        """What the matching requests number `first` to `first + times - 1` get (`times` None: and all later ones).

        `kind`: 503, 429, 404, 403, reset, cut (half a body), flip (one byte), stall (half a body, then silence), slow,
        plain (all, where a range was asked for), shift (another range).
        """
        with self.lock:
            self.faults.append(Fault(pattern, kind, first, times, retry_after))

    def clear(self):
        """Forget faults and counts."""
        with self.lock:
            self.faults, self.log = [], []

    def count(self, pattern=""):
        with self.lock:
            return sum(bool(re.search(pattern, entry.line)) for entry in self.log)

    def body_bytes(self, pattern=""):
        with self.lock:
            return sum(entry.body_bytes for entry in self.log if re.search(pattern, entry.line))

    def all_bytes(self, pattern=""):
        """Headers included."""
        with self.lock:
            return sum(entry.all_bytes for entry in self.log if re.search(pattern, entry.line))

    def expire(self):
        """Signed addresses given out so far stop working."""
        self.signature += 1

    def _add(self, kind, repo, branches):
        commits = {}
        for branch, content in branches.items():
            files = {file.path: file for file in (File(*item) for item in sorted(_content(content).items()))}
            identity = json.dumps([kind, repo, branch, [(file.path, file.sha256) for file in files.values()]])
            commits[branch] = hashlib.sha1(identity.encode()).hexdigest()
            stored = self.repos.setdefault((kind, repo), {"branches": {}, "commits": {}})
            stored["branches"][branch] = commits[branch]
            stored["commits"][commits[branch]] = files
        return commits


def git_blob_id(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _content(content):
    if isinstance(content, str | Path):
        root = Path(content)
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    return content


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def process_request(self, request, client_address):
        with self.hub.lock:
            self.hub._sockets.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request):
        with self.hub.lock:
            self.hub._sockets.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request, client_address):
        """A client that hangs up (killed, or satisfied with the headers) is no defect of the server."""


class _Answer(Exception):
    """An error answer of the hub."""

    def __init__(self, status, code, message):
        self.status, self.headers = status, {"X-Error-Code": code, "X-Error-Message": message}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_HEAD(self):
        self._serve()

    def do_GET(self):
        self._serve()

    def do_POST(self):
        self._serve()

    def log_message(self, *_):
        pass

    def _serve(self):
        hub = self.server.hub
        with hub.lock:
            hub.open_requests += 1
            hub.peak = max(hub.peak, hub.open_requests)
        try:
            self._serve_one()
        finally:
            with hub.lock:
                hub.open_requests -= 1

    def _serve_one(self):
        self.posted = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.line = f"{self.command} {self.path}"
        kind = self._fault()
        if kind == "reset":
            self._record(0, 0, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
            return
        if kind == "slow":
            time.sleep(0.01)
        if kind in _STATUS_FAULTS:
            extra = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
            self._send(_STATUS_FAULTS[kind], extra, b'{"error": "asked for"}')
            return
        try:
            status, headers, body = self._answer(kind)
        except _Answer as error:
            status, headers, body = error.status, error.headers, json.dumps({"error": error.headers["X-Error-Message"]}).encode()
        self._send(status, headers, body, kind)

    def _fault(self):
        with self.server.hub.lock:
            struck = [fault for fault in self.server.hub.faults if fault.strikes(self.line)]
        self.retry_after = struck[0].retry_after if struck else None
        return struck[0].kind if struck else None

    def _send(self, status, headers, body, kind=None):
        announced = len(body)
        if kind == "flip" and body:
            middle = len(body) // 2
            body = body[:middle] + bytes([body[middle] ^ 0x55]) + body[middle + 1 :]
        halved = kind in ("cut", "stall")
        sent = b"" if self.command == "HEAD" else body[: announced // 2] if halved else body
        fields = {"Content-Type": "application/json", "Connection": "close" if halved else "keep-alive", **headers, "Content-Length": str(announced)}
        head = f"HTTP/1.1 {status} {self.responses.get(status, ('Unknown',))[0]}\r\n" + "".join(f"{key}: {value}\r\n" for key, value in fields.items())
        head = head.encode() + b"\r\n"
        # recorded before it is sent: a client that has its answer finds it counted
        self._record(status, len(sent), len(head) + len(sent))
        self.wfile.write(head + sent)
        if kind == "stall":
            self.server.hub.stalled.set()
            with contextlib.suppress(OSError):
                self.connection.recv(1)
        self.close_connection = self.close_connection or halved

    def _record(self, status, body_bytes, all_bytes):
        authorized = "authorization" in self.headers
        entry = Logged(self.line, status, self.headers.get("Range"), authorized, body_bytes, all_bytes)
        with self.server.hub.lock:
            self.server.hub.log.append(entry)

    def _answer(self, kind):
        path, self.query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
        if match := _API.match(path):
            return 200, {}, json.dumps(self._api(*match.groups())).encode()
        if match := _RESOLVE.match(path):
            return self._resolve(kind, "datasets" if match[1] else "models", match[2], unquote(match[3]), unquote(match[4]))
        if match := _SIGNED.match(path):
            return self._signed(kind, int(match[1]), match[2])
        raise _Answer(404, "EntryNotFound", "no such address")

    def _api(self, kind, repo, what, revision, below):
        stored = self._repo(kind, repo)
        if what == "refs":
            return _refs(stored["branches"])
        commit = self._commit(stored, unquote(revision or "main"))
        files = stored["commits"][commit]
        if what == "tree":
            return _tree(files, unquote(below or ""), self.query.get("recursive", ["false"])[0].lower() == "true")
        if what == "paths-info":
            wanted = parse_qs(self.posted.decode()).get("paths", [])
            return [files[path].tree_entry() for path in wanted if path in files]
        siblings = [file.sibling("blobs" in self.query) for file in files.values()]
        return {"id": repo, "sha": commit, "siblings": siblings, "private": False, "tags": [], "downloads": 0, "likes": 0}

    def _resolve(self, kind, repo_kind, repo, revision, path):
        stored = self._repo(repo_kind, repo)
        commit = self._commit(stored, revision)
        file = stored["commits"][commit].get(path)
        if file is None:
            raise _Answer(404, "EntryNotFound", f"{path} does not exist on {revision!r}")
        headers = {"X-Repo-Commit": commit, "ETag": f'"{file.etag}"'}
        if file.is_lfs and self.server.hub.redirect:
            # another host name, as the storage behind a hub has: credentials must not follow
            headers["Location"] = f"http://localhost:{self.server.hub.port}/signed/{self.server.hub.signature}/{file.sha256}"
            return 302, headers | {"X-Linked-Etag": f'"{file.sha256}"', "X-Linked-Size": str(len(file.data))}, b""
        return self._ranged(kind, headers, file.data)

    def _signed(self, kind, signature, sha256):
        if signature != self.server.hub.signature:
            raise _Answer(403, "Expired", "Request has expired")
        for stored in self.server.hub.repos.values():
            for files in stored["commits"].values():
                for file in files.values():
                    if file.sha256 == sha256:
                        return self._ranged(kind, {"ETag": f'"{quote(sha256)}"'}, file.data)
        raise _Answer(404, "EntryNotFound", "no such blob")

    def _ranged(self, kind, headers, data):
        headers = {"Accept-Ranges": "bytes", "Content-Type": "application/octet-stream", **headers}
        asked = self.headers.get("Range")
        if not asked or kind == "plain":
            return 200, headers, data
        first, last = re.fullmatch(r"bytes=(\d*)-(\d*)", asked).groups()
        start = int(first) if first else max(0, len(data) - int(last))
        stop = min(len(data), int(last) + 1 if first and last else len(data))
        if kind == "shift":
            start, stop = start - 1, stop - 1
        if start >= len(data):
            return 416, headers | {"Content-Range": f"bytes */{len(data)}"}, b""
        return 206, headers | {"Content-Range": f"bytes {start}-{stop - 1}/{len(data)}"}, data[start:stop]

    def _repo(self, kind, repo):
        stored = self.server.hub.repos.get((kind, repo))
        if stored is None:
            # what the hub says to a visitor without credentials, lest private names leak
            raise _Answer(401, "RepoNotFound", "Repository not found")
        return stored

    def _commit(self, stored, revision):
        commit = stored["branches"].get(revision, revision)
        if commit not in stored["commits"]:
            raise _Answer(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return commit


def _refs(branches):
    """Branches called `refs/convert/...` are what the hub converts by itself: they are listed apart and under a short name."""
    found = {"branches": [], "tags": [], "converts": []}
    for name, commit in branches.items():
        kind, short, ref = ("converts", name.split("/")[-1], name) if name.startswith("refs/convert/") else ("branches", name, f"refs/heads/{name}")
        found[kind].append({"name": short, "ref": ref, "targetCommit": commit})
    return found


def _tree(files, below, recursive):
    """Files under a folder, and where the listing is not recursive the folders in it."""
    prefix = f"{below}/" if below else ""
    entries, folders = [], set()
    for path, file in files.items():
        if not path.startswith(prefix):
            continue
        rest = path[len(prefix) :]
        if recursive or "/" not in rest:
            entries.append(file.tree_entry())
        else:
            folders.add(prefix + rest.split("/")[0])
    return [{"type": "directory", "path": folder, "oid": hashlib.sha1(folder.encode()).hexdigest(), "size": 0} for folder in sorted(folders)] + entries
