"""A small hub on the loopback: Hugging Face's and ModelScope's shapes over one folder of files.

The first request for a large file is cut off in the middle, as a bad line would do it.
"""

from __future__ import annotations

import hashlib
import json
import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlparse

REPOSITORY, COMMIT = "ByteDance-Seed/BAGEL-toy", "0" * 40


class Hub(ThreadingHTTPServer):
    """`ranges` are the Range headers of what was asked for again; `cut` the files that are to break off once."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder = folder
        self.ranges: list[str] = []
        self.cut = {"ema.safetensors"}

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub  # pyright: ignore[reportIncompatibleVariableOverride]

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        url = urlparse(self.path)
        files = {path.name: path for path in sorted(self.server.folder.iterdir()) if path.is_file()}
        if url.path.startswith(f"/api/models/{REPOSITORY}/tree/"):
            sizes = {name: path.stat().st_size for name, path in files.items()}
            self.send([{"type": "file", "path": n, "size": size, "oid": sha(files[n])} for n, size in sizes.items()])
        elif url.path.startswith(f"/api/models/{REPOSITORY}"):
            siblings = [{"rfilename": name, "size": path.stat().st_size} for name, path in files.items()]
            card = {"license": "apache-2.0"}
            self.send({"id": REPOSITORY, "sha": COMMIT, "siblings": siblings, "cardData": card, "tags": []})
        elif url.path.startswith(f"/{REPOSITORY}/resolve/"):
            self.send_file(files.get(url.path.rpartition("/")[2]))
        elif url.path == f"/openapi/v1/models/{REPOSITORY}":
            self.send({"success": True, "data": {"id": REPOSITORY, "license": "Apache License 2.0"}})
        elif url.path == f"/api/v1/models/{REPOSITORY}":
            self.send({"Code": 200, "Data": {"Name": "BAGEL-toy", "License": "Apache License 2.0"}})
        elif url.path == f"/api/v1/models/{REPOSITORY}/repo/files":
            listed = [
                {"Path": n, "Name": n, "Type": "blob", "Size": p.stat().st_size, "Sha256": sha(p)}
                for n, p in files.items()
            ]
            self.send({"Code": 200, "Success": True, "Data": {"Files": listed}})
        elif url.path == f"/api/v1/models/{REPOSITORY}/repo":
            self.send_file(files.get(parse_qs(url.query)["FilePath"][0]))
        else:
            self.send({"error": "Repository not found", "Code": 404, "Success": False}, 404)

    def send(self, content: object, status: int = 200) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        if status == 404:
            self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def send_file(self, path: Path | None) -> None:
        if path is None:
            self.send({"error": "Entry not found", "Code": 404}, 404)
            return
        content = path.read_bytes()
        asked = self.headers.get("Range", "")
        start = int(asked.removeprefix("bytes=").split("-")[0]) if asked else 0
        if asked and start:
            self.server.ranges.append(asked)
        body = content[start:]
        self.send_response(206 if asked else 200)
        self.send_header("ETag", f'"{sha(path)}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Accept-Ranges", "bytes")
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            if path.name in self.server.cut:
                self.server.cut.discard(path.name)
                self.wfile.write(body[: len(body) // 2])
                self.wfile.flush()
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
            self.wfile.write(body)


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
