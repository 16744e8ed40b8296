"""Where a server may listen: socket files for their owner alone, tcp beyond this machine only with keys."""

from __future__ import annotations

import ipaddress
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs

from world.errors import WorldError

MAX_IPC_BYTES = 107  # of a path, sockaddr_un has no room for more
SCHEMES = ("ipc://", "tcp://")


@dataclass(frozen=True)
class Endpoint:
    """An address of the link: `url` as ZMQ reads it, `key` the path of a client's key file or ""."""

    url: str
    key: str = ""

    @property
    def path(self) -> Path | None:
        """The socket file; None for tcp."""
        return Path(self.url.removeprefix("ipc://")) if self.url.startswith("ipc://") else None

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        if self.path is not None:
            return True
        host = self.url.removeprefix("tcp://").rpartition(":")[0].strip("[]")
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"


def is_endpoint(address: str) -> bool:
    """Whether a model's address leads to another process."""
    return address.startswith(SCHEMES)


def read_endpoint(address: str) -> Endpoint:
    """Reads "ipc://PATH" or "tcp://HOST:PORT", each with "?key=FILE" behind it or without. Raises ValueError."""
    url, _, query = address.partition("?")
    options = parse_qs(query)
    if unknown := options.keys() - {"key"}:
        raise ValueError(f"{address!r} has {', '.join(sorted(unknown))}: after the ? there is only key=FILE")
    key = options.get("key", [""])[0]
    if url.startswith("ipc://"):
        _check_path(url.removeprefix("ipc://"))
    elif url.startswith("tcp://"):
        host, _, port = url.removeprefix("tcp://").rpartition(":")
        if not host or not (port == "*" or (port.isascii() and port.isdigit() and int(port) < 65536)):
            raise ValueError(f"{address!r}: expected tcp://HOST:PORT, e.g. tcp://127.0.0.1:5555")
    else:
        raise ValueError(f"{address!r}: addresses of the link are ipc://PATH and tcp://HOST:PORT")
    return Endpoint(url, key)


@contextmanager
def ready_to_bind(endpoint: Endpoint, *, has_keys: bool) -> Iterator[None]:
    """The block binds; around it a socket file is made for its owner alone.

    Raises ValueError for a place where nobody should listen, WorldError where somebody does already.
    """
    if not endpoint.is_local and not has_keys:
        raise ValueError(
            f"{endpoint.url} can be reached from other machines: make keys with python -m world keygen and give "
            "--keys, or bind tcp://127.0.0.1 or ipc://"
        )
    if (path := endpoint.path) is None:
        yield
        return
    if not path.parent.is_dir():
        raise ValueError(f"{endpoint.url}: there is no folder {str(path.parent)!r}")
    if path.exists():
        if not stat.S_ISSOCK(path.stat().st_mode):
            raise ValueError(f"{endpoint.url}: {str(path)!r} is a file, and not a socket: choose another path")
        if _answers(path):
            raise WorldError(f"{endpoint.url}: another server listens there: end it, or choose another path")
    mask = os.umask(0o177)  # ZMQ makes the file while it binds
    try:
        yield
    finally:
        os.umask(mask)


def _check_path(path: str) -> None:
    if not path or path[0] in "@*":
        raise ValueError(f"ipc://{path}: give the path of a socket file, e.g. ipc:///tmp/bagel.sock")
    if (length := len(os.fsencode(path))) > MAX_IPC_BYTES:
        raise ValueError(
            f"ipc://{path}: the path has {length} bytes, sockets take {MAX_IPC_BYTES}: use a shorter one, e.g. in /tmp"
        )


def _answers(path: Path) -> bool:
    """Whether a process listens at the socket file; one that was killed leaves its file behind."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
