"""Several servers behind one address: each call goes to one of them, and to another where that one dies.

A session stays with its server, which knows its frames, unless another has less to do. The messages pass as they are;
a server that does not know a frame asks for it, and the client sends it.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import zmq

from world import wire
from world.batching import Key
from world.endpoints import Endpoint
from world.link import Dealer
from world.listening import Listener
from world.wire import Buffer, Limits, Welcome, WireError

TICK = 100  # ms
PING = 0.5  # s between two questions whether a server is there
SILENCE = 5.0  # s without a word, after which a server is taken for dead
MAX_OPEN = 1024  # calls on their way
OPEN_BYTES = 2 * 2**30  # of these, which are kept in case that a server dies
LIMITS = Limits()
SESSIONS = 4096  # whose servers are remembered

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Backend:
    """One server."""

    endpoint: Endpoint
    dealer: Dealer
    welcome: Welcome | None = None  # None while it is dead or loading
    heard: float = 0.0  # s, monotonic
    open: set[Key] = field(default_factory=set)
    num_calls: int = 0

    def send(self, parts: Sequence[Buffer]) -> None:
        if not self.dealer.connected or not self.dealer.send(parts):
            _log.debug("%s takes nothing", self.endpoint.url)


@dataclass(eq=False)
class _Open:
    """A call on its way."""

    route: bytes
    call: wire.Call
    parts: Sequence[Buffer]
    backend: _Backend
    deadline: float  # s, monotonic: then nobody waits for it any more

    @property
    def num_bytes(self) -> int:
        return sum(map(len, self.parts))


class Router:
    """Passes calls on until `leave` is called; everything runs in the thread that calls `run`."""

    def __init__(self, bind: Endpoint, backends: Sequence[Endpoint], keys: Path | None = None) -> None:
        """Listens at once. Raises ValueError or WorldError where it cannot."""
        self._id = secrets.token_bytes(16)
        self._listener = Listener(bind, LIMITS.message_bytes, keys)
        try:
            self._backends = [_Backend(e, Dealer(self._listener.context, e)) for e in backends]
        except BaseException:
            self._listener.close()
            raise
        self._open: dict[Key, _Open] = {}
        self._homes: OrderedDict[bytes, _Backend] = OrderedDict()  # by session
        self._pinged = 0.0
        self._leaving = False

    @property
    def endpoint(self) -> str:
        """Where it listens."""
        return self._listener.endpoint

    def leave(self) -> None:
        """No further calls; those on their way are still answered. May be called from a signal handler."""
        self._leaving = True

    def run(self, watch: Callable[[], None] = lambda: None) -> None:
        """Until `leave`; `watch` is called now and then, and what it raises ends it."""
        poller = zmq.Poller()
        poller.register(self._listener.socket, zmq.POLLIN)
        for backend in self._backends:
            poller.register(backend.dealer.socket, zmq.POLLIN)
            poller.register(backend.dealer.monitor, zmq.POLLIN)
        try:
            while not self._leaving or self._open:
                watch()
                ready = dict(poller.poll(TICK))
                for backend in self._backends:
                    if backend.dealer.socket in ready:
                        self._on_replies(backend)
                    if backend.dealer.monitor in ready and [*backend.dealer.events()][-1:] == [zmq.Event.DISCONNECTED]:
                        self._on_replies(backend)  # what it answered before it left
                        self._on_death(backend)
                if self._listener.socket in ready:
                    for route, parts in self._listener.read():
                        self._on_message(route, parts)
                self._ping()
                self._forget_late()
        finally:
            for backend in self._backends:
                backend.dealer.close()
            self._listener.close()

    def figures(self) -> str:
        """For each server what it has to do, as Prometheus reads it."""
        lines = []
        for i, backend in enumerate(self._backends):
            lines.append(f'bagel_world_route_up{{server="{i}"}} {int(backend.welcome is not None)}')
            lines.append(f'bagel_world_route_open{{server="{i}"}} {len(backend.open)}')
            lines.append(f'bagel_world_route_calls_total{{server="{i}"}} {backend.num_calls}')
        return "".join(f"{line}\n" for line in lines)

    def _ping(self) -> None:
        now = time.monotonic()
        if now - self._pinged < PING:
            return
        self._pinged = now
        health = wire.encode(wire.Health(session=self._id, number=0))
        for backend in self._backends:
            backend.send([health])
            if backend.welcome is not None and now - backend.heard > SILENCE:
                self._on_death(backend)

    def _forget_late(self) -> None:
        now = time.monotonic()
        for key in [key for key, call in self._open.items() if call.deadline < now]:
            self._close(key)

    def _on_message(self, route: bytes, parts: Sequence[Buffer]) -> None:
        key: Key = (bytes(16), 0)
        try:
            message = wire.decode_request(parts, LIMITS)
            key = (message.session, message.number)
            match message:
                case wire.Call():
                    self._on_call(route, key, message, parts)
                case wire.Cancel():
                    if key in self._open:
                        self._close(key).backend.send(parts)
                        self._refuse(route, key, "cancelled", "given up, as you asked")
                case wire.Metrics():
                    self._reply(route, wire.Figures(session=key[0], number=key[1], text=self.figures()))
                case wire.Hello(version=version) if version != wire.VERSION:
                    self._refuse(route, key, "version", f"this router speaks version {wire.VERSION} of the link")
                case _:
                    self._reply(route, self._welcome(key))
        except WireError as error:
            self._refuse(route, key, "bad", str(error))

    def _on_call(self, route: bytes, key: Key, call: wire.Call, parts: Sequence[Buffer]) -> None:
        deadline = time.monotonic() + call.timeout_ms / 1000
        if (known := self._open.get(key)) is not None:  # asked again: whoever has it knows
            known.route, known.parts, known.deadline = route, parts, max(known.deadline, deadline)
            known.backend.send(parts)
        elif self._leaving:
            self._refuse(route, key, "leaving", "this router is ending", 200)
        elif len(self._open) >= MAX_OPEN:
            self._refuse(route, key, "busy", f"{MAX_OPEN} calls are on their way: the limit of this router", 200)
        elif self._open and sum(one.num_bytes for one in self._open.values()) > OPEN_BYTES:
            words = f"calls of {OPEN_BYTES} bytes are on their way: the limit of this router"
            self._refuse(route, key, "busy", words, 200)
        else:
            self._dispatch(key, route, call, parts, deadline)

    def _dispatch(self, key: Key, route: bytes, call: wire.Call, parts: Sequence[Buffer], deadline: float) -> None:
        """To the session's own server unless another has less to do, by more than this one call."""
        there = [b for b in self._backends if b.welcome is not None and b.welcome.model == call.model]
        if not there:
            self._refuse(route, key, "loading", f"no server with {call.model!r} is there yet, or any more", 200)
            return
        backend = min(there, key=lambda b: (len(b.open), b.num_calls))
        home = self._homes.get(key[0])
        if home in there and home is not None and len(home.open) <= len(backend.open) + 1:
            backend = home
        self._homes[key[0]] = backend
        self._homes.move_to_end(key[0])
        if len(self._homes) > SESSIONS:
            self._homes.popitem(last=False)
        self._open[key] = _Open(route, call, parts, backend, deadline)
        backend.open.add(key)
        backend.num_calls += 1
        backend.send(parts)

    def _on_replies(self, backend: _Backend) -> None:
        while backend.dealer.socket.poll(0):
            parts = [frame.buffer for frame in backend.dealer.socket.recv_multipart(copy=False)]
            backend.heard = time.monotonic()
            try:
                reply = wire.decode_reply(parts)
            except WireError as error:
                _log.warning("%s does not answer as a world does: %s", backend.endpoint.url, error)
                continue
            key = (reply.session, reply.number)
            if isinstance(reply, Welcome):
                backend.welcome = reply if reply.ready else None
            elif (call := self._open.get(key)) is not None and call.backend is backend:
                self._on_reply(key, call, reply, parts)

    def _on_reply(self, key: Key, call: _Open, reply: wire.Reply, parts: Sequence[Buffer]) -> None:
        if isinstance(reply, wire.Refused) and reply.reason in ("leaving", "loading"):
            call.backend.welcome = None
            self._again(key)
            return
        if not isinstance(reply, wire.Queued | wire.Preview):
            self._close(key)
        self._listener.send(call.route, parts)

    def _on_death(self, backend: _Backend) -> None:
        """Its calls go elsewhere; it comes back with its next answer."""
        if backend.welcome is not None:
            _log.warning("%s is dead", backend.endpoint.url)
        backend.welcome = None
        for key in list(backend.open):
            self._again(key)

    def _again(self, key: Key) -> None:
        call = self._close(key)
        self._dispatch(key, call.route, call.call, call.parts, call.deadline)

    def _close(self, key: Key) -> _Open:
        call = self._open.pop(key)
        call.backend.open.discard(key)
        return call

    def _welcome(self, key: Key) -> Welcome:
        there = [b.welcome for b in self._backends if b.welcome is not None]
        if there and not self._leaving:
            return msgspec.structs.replace(there[0], session=key[0], number=key[1], num_open=len(self._open))
        stage = "ending" if self._leaving else "waiting for a server"
        return Welcome(session=key[0], number=key[1], version=wire.VERSION, server=self._id, ready=False, stage=stage)

    def _refuse(self, route: bytes, key: Key, reason: wire.Reason, words: str, retry_after_ms: int = 0) -> None:
        self._reply(
            route,
            wire.Refused(session=key[0], number=key[1], reason=reason, words=words, retry_after_ms=retry_after_ms),
        )

    def _reply(self, route: bytes, reply: wire.Reply) -> None:
        self._listener.send(route, [wire.encode(reply)])
