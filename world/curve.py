"""Keys for tcp beyond this machine: CURVE, with one file to keep, one to hand to each client, one list of who may in.

A folder of keys holds `server.toml` (the server's, secret), `NAME.toml` for each client (secret: hand it over, it also
holds the server's public key) and `clients/NAME.pub`, whose bearer is admitted. To revoke a key, delete that file.
"""

from __future__ import annotations

import logging
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import zmq

from world.errors import WorldError
from world.files import atomic_path

_log = logging.getLogger(__name__)

_KEY = re.compile(rb"[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")  # Z85
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


@dataclass(frozen=True)
class ServerKey:
    """What a server needs beside the list of clients."""

    public: bytes  # Z85, as all keys here
    secret: bytes


@dataclass(frozen=True)
class ClientKey:
    """What a client needs."""

    server: bytes
    public: bytes
    secret: bytes


def make_keys(folder: Path, names: list[str]) -> list[Path]:
    """Makes the server's key, unless it is there, and one for each name; the paths of the new files.

    Raises ValueError for a name that cannot be a file's, or that has a key already.
    """
    for name in names:
        if not _NAME.fullmatch(name) or name == "server":
            raise ValueError(f"a client's name is made of letters, digits, - and _, and is not 'server', got {name!r}")
        if (folder / f"{name}.toml").exists():
            raise ValueError(f"{name} has a key in {folder}: delete {name}.toml and clients/{name}.pub first")
    made = []
    if not (folder / "server.toml").exists():
        public, secret = zmq.curve_keypair()
        made.append(_write(folder / "server.toml", {"public": public, "secret": secret}))
    server = read_server_key(folder)
    for name in names:
        public, secret = zmq.curve_keypair()
        made.append(_write(folder / f"{name}.toml", {"server": server.public, "public": public, "secret": secret}))
        made.append(_write(folder / "clients" / f"{name}.pub", {"public": public}))
    return made


def read_server_key(folder: Path) -> ServerKey:
    """Raises WorldError where the folder has no good server.toml."""
    keys = _read(folder / "server.toml", "public", "secret")
    return ServerKey(keys["public"], keys["secret"])


def read_client_key(path: Path) -> ClientKey:
    """Raises WorldError where the file is not what keygen made for a client."""
    keys = _read(path, "server", "public", "secret")
    return ClientKey(keys["server"], keys["public"], keys["secret"])


class Admitted:
    """The keys in `folder`/clients, looked at again whenever a file came or went."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "clients"
        self._seen: dict[str, int] = {}
        self._keys: frozenset[bytes] = frozenset()

    def callback(self, domain: str, key: bytes) -> bool:
        """Whether a client with this public key may in; called by ZMQ's authenticator for each connection."""
        return key in self

    def __contains__(self, key: bytes) -> bool:
        paths = sorted(self._folder.glob("*.pub"))
        seen = {path.name: path.stat().st_mtime_ns for path in paths}
        if seen != self._seen:
            self._keys = frozenset(self._readable(paths))
            self._seen = seen
        return key in self._keys

    def _readable(self, paths: list[Path]) -> Iterator[bytes]:
        for path in paths:
            try:
                yield _read(path, "public")["public"]
            except WorldError as error:
                _log.warning("%s: its bearer stays outside", error)


def _write(path: Path, keys: dict[str, bytes]) -> Path:
    with atomic_path(path) as partial:
        partial.touch(mode=0o600)  # before anything secret is in it
        partial.write_text("".join(f'{name} = "{key.decode()}"\n' for name, key in keys.items()), encoding="ascii")
    return path


def _read(path: Path, *names: str) -> dict[str, bytes]:
    try:
        text = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WorldError(f"no keys could be read from {str(path)!r}: make some with python -m world keygen") from error
    keys = {name: str(text.get(name, "")).encode() for name in names}
    for name, key in keys.items():
        if not _KEY.fullmatch(key):
            raise WorldError(f"{str(path)!r} has no good {name} key: make another with python -m world keygen")
    return keys
