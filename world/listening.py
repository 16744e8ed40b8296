"""A socket that listens for clients: bounded in all directions, with keys where they are wanted."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import zmq
from zmq.auth.thread import ThreadAuthenticator

from world.curve import Admitted, read_server_key
from world.endpoints import Endpoint, ready_to_bind
from world.wire import Buffer

UNREAD, UNSENT = 8, 64  # messages that ZMQ keeps for one client: a request may be large, a reply small
HEARTBEAT = 2000  # ms
_TURN = 64  # messages read before anything else is done

_log = logging.getLogger(__name__)


class Listener:
    """A ROUTER; `keys` is a folder that keygen made, or None where everybody may in who can reach it."""

    def __init__(self, bind: Endpoint, message_bytes: int, keys: Path | None) -> None:
        """Listens at once, in a ZMQ `context` of its own. Raises ValueError or WorldError where it cannot."""
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._file = bind.path
        self._admitted: Admitted | None = None
        self._authenticator: ThreadAuthenticator | None = None
        self.socket: zmq.Socket[bytes] = self.context.socket(zmq.ROUTER)
        self.socket.linger = 1000  # the last replies leave, and nothing waits for a client that does not read
        self.socket.maxmsgsize = message_bytes
        self.socket.rcvhwm, self.socket.sndhwm = UNREAD, UNSENT
        self.socket.heartbeat_ivl, self.socket.heartbeat_timeout = HEARTBEAT, 3 * HEARTBEAT
        try:
            if keys is not None:
                self._want_keys(keys)
            with ready_to_bind(bind, has_keys=keys is not None):
                self.socket.bind(bind.url)
        except BaseException as error:
            self._file = None
            self.close()
            if isinstance(error, zmq.ZMQError):
                raise ValueError(f"{bind.url} cannot be listened at: {error.strerror}") from error
            raise

    @property
    def endpoint(self) -> str:
        """Where it listens, with the port that tcp://…:* was given."""
        return self.socket.getsockopt_string(zmq.LAST_ENDPOINT)

    def read(self) -> Iterator[tuple[bytes, Sequence[Buffer]]]:
        """What has come in, as routes and messages; not without end, so that others get their turn."""
        for _ in range(_TURN):
            try:
                route, *frames = self.socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
            if self._admitted is None or str(route.get("User-Id")).encode() in self._admitted:
                yield route.bytes, [frame.buffer for frame in frames]
            # else it connected before its key was revoked: nothing is what it gets

    def send(self, route: bytes, parts: Sequence[Buffer]) -> None:
        """Never waits: what a client does not read is lost, and sent again when it asks again."""
        try:
            self.socket.send_multipart([route, *parts], zmq.NOBLOCK, copy=False)
        except zmq.ZMQError as error:
            _log.debug("a reply was lost: %s", error)

    def close(self) -> None:
        """Stops to listen, ends the context with all its sockets, and removes the socket file; may be called twice."""
        if self._authenticator is not None:
            self._authenticator.stop()
        self.context.destroy()
        if self._file is not None:
            self._file.unlink(missing_ok=True)
        self._authenticator = self._file = None

    def _want_keys(self, keys: Path) -> None:
        key = read_server_key(keys)
        self._admitted = Admitted(keys)
        self._authenticator = ThreadAuthenticator(self.context)
        self._authenticator.start()
        self._authenticator.configure_curve_callback(credentials_provider=self._admitted)
        self.socket.curve_server = True
        self.socket.curve_publickey, self.socket.curve_secretkey = key.public, key.secret
