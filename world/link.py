"""One client's socket: a request is sent until it is answered, across deaths of the server, or until its time is over.

Nothing is sent while nobody listens: what is sent again is decided here, and every request bears a key by which the
server knows it.
"""

from __future__ import annotations

import contextlib
import math
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import zmq
from zmq.utils.monitor import parse_monitor_message

from world import wire
from world.curve import read_client_key
from world.endpoints import Endpoint
from world.errors import CancelledError, LinkError
from world.wire import Buffer, Done, Figures, Need, Preview, Queued, Refused, Reply, Welcome, WireError

FIRST_RESEND = 0.5  # s without any word from the server, doubled each time
LAST_RESEND = 4.0  # s
RECONNECT = (50, 2000)  # ms, first and longest pause before another connection
HEARTBEAT = 2000  # ms
HIGH_WATER = 64  # messages
_SLICE = 50  # ms, after which a cancel is noticed

Making: TypeAlias = Callable[[bool, int], Sequence[Buffer]]  # (whole, ms that are left) to a message's parts
OnMessage: TypeAlias = Callable[[Preview, Sequence[Buffer]], None]
Answer: TypeAlias = tuple[Welcome | Done | Figures | Refused, Sequence[Buffer]]

_EVENTS = (
    zmq.Event.HANDSHAKE_SUCCEEDED
    | zmq.Event.DISCONNECTED
    | zmq.Event.HANDSHAKE_FAILED_AUTH
    | zmq.Event.HANDSHAKE_FAILED_NO_DETAIL
    | zmq.Event.HANDSHAKE_FAILED_PROTOCOL
)


class Link:
    """Requests one after the other; `exchange` may be called from any thread, `cancel` at any time."""

    def __init__(self, endpoint: Endpoint) -> None:
        """Connects when first used, which raises WorldError where a key is named and cannot be read."""
        self.endpoint = endpoint
        self.session = secrets.token_bytes(16)
        self.state = "nobody listens there"  # what is known of the other side, for a person
        self.watch: Callable[[], None] = lambda: None  # called while waiting; raises what ends the waiting
        self.patience = math.inf  # s without a connection that an exchange bears
        self._number = 0
        self._lock = threading.Lock()
        self._cancel = threading.Event()
        self._dealer: Dealer | None = None
        self._pid = 0

    def next_number(self) -> int:
        """Of another request."""
        with self._lock:
            self._number += 1
            return self._number

    def cancel(self) -> None:
        """Gives up the running exchange, if any: it raises CancelledError."""
        self._cancel.set()

    def exchange(
        self, number: int, make: Making, timeout: float, on_preview: OnMessage = lambda preview, parts: None
    ) -> Answer:
        """Sends what `make` makes as request `number` until it is answered; `on_preview` gets the Previews before it.

        Raises LinkError when `timeout` s are over, CancelledError after `cancel`, and what the given functions raise;
        then the server is told that nobody waits any more.
        """
        with self._lock:
            self._cancel.clear()
            try:
                return self._exchange(number, make, timeout, on_preview)
            except BaseException:
                self._give_up(number)
                raise

    def close(self) -> None:
        """May be called twice; a later exchange connects again."""
        with self._lock:
            if self._dealer is not None and self._pid == os.getpid():
                self._dealer.close()
            self._dealer = None

    def _exchange(self, number: int, make: Making, timeout: float, on_preview: OnMessage) -> Answer:
        deadline = time.monotonic() + timeout
        dealer = self._open()
        poller = zmq.Poller()
        poller.register(dealer.socket, zmq.POLLIN)
        poller.register(dealer.monitor, zmq.POLLIN)
        whole, resend_at, pause = False, 0.0, FIRST_RESEND
        there = time.monotonic()
        while True:
            self.watch()
            if self._cancel.is_set():
                raise CancelledError("given up")
            now = time.monotonic()
            if now >= deadline:
                raise LinkError(f"no answer from {self.endpoint.url} within {timeout:g} s: {self.state}")
            there = now if dealer.connected else there
            if now - there > self.patience:
                raise LinkError(f"no connection to {self.endpoint.url} for {self.patience:g} s: {self.state}")
            if (
                now >= resend_at
                and dealer.connected
                and dealer.send(make(whole, max(1, round(1000 * (deadline - now)))))
            ):
                resend_at, pause = now + pause, min(2 * pause, LAST_RESEND)
            ready = dict(poller.poll(_SLICE))
            if dealer.monitor in ready and self._look(dealer):
                resend_at = 0.0  # a new connection: whatever was sent before is lost
            if dealer.socket not in ready:
                continue
            parts = [frame.buffer for frame in dealer.socket.recv_multipart(copy=False)]
            reply = self._read(parts, number)
            match reply:
                case None:
                    pass
                case Queued() | Preview():
                    self.state = "it is busy"
                    if isinstance(reply, Queued) and reply.position:
                        self.state += f" with {reply.position} requests before yours"
                    resend_at = time.monotonic() + LAST_RESEND
                    if isinstance(reply, Preview):
                        on_preview(reply, parts)
                case Need():
                    resend_at = resend_at if whole else 0.0  # a second one may answer what was sent before
                    whole = True
                case Refused(reason="busy" | "loading" | "leaving"):
                    self.state = reply.words
                    resend_at = time.monotonic() + reply.retry_after_ms / 1000
                case _:
                    return reply, parts

    def _read(self, parts: Sequence[Buffer], number: int) -> Reply | None:
        """The reply to request `number`; None for what answers an older one."""
        try:
            reply = wire.decode_reply(parts)
        except WireError as error:
            raise LinkError(f"{self.endpoint.url} answers, but not as a world does: {error}") from error
        if isinstance(reply, Refused) and not any(reply.session):
            raise LinkError(f"{self.endpoint.url} did not understand: {reply.words}")
        return reply if (reply.session, reply.number) == (self.session, number) else None

    def _look(self, dealer: Dealer) -> bool:
        """Takes in what became of the connection; whether there is a new one."""
        anew = False
        for event in dealer.events():
            if event == zmq.Event.HANDSHAKE_SUCCEEDED:
                anew, self.state = True, "it is connected, but does not answer"
            elif event == zmq.Event.DISCONNECTED:
                anew = False
                if "key" not in self.state:
                    self.state = "the connection was lost, and nobody listens there now"
            else:
                self.state = "it wants a key: add ?key=FILE to the address"
                if self.endpoint.key:
                    self.state = f"it does not take the key {self.endpoint.key}"
        return anew

    def _give_up(self, number: int) -> None:
        if self._dealer is not None and self._dealer.connected:
            with contextlib.suppress(zmq.ZMQError):
                self._dealer.send([wire.encode(wire.Cancel(session=self.session, number=number))])

    def _open(self) -> Dealer:
        if self._dealer is None or self._pid != os.getpid():
            self._pid = os.getpid()  # a fork has no use for its parent's socket
            self._dealer = Dealer(zmq.Context.instance(), self.endpoint)
        return self._dealer


class Dealer:
    """A socket that connects to a server, again and again, and one that tells what becomes of the connection.

    It does without ZMQ_IMMEDIATE, with which a reply that is not read yet is lost when the server leaves; so nothing
    should be sent unless `connected`.
    """

    def __init__(self, context: zmq.Context, endpoint: Endpoint) -> None:
        """Raises WorldError where a key is named and cannot be read."""
        self.connected = False
        self.socket: zmq.Socket[bytes] = context.socket(zmq.DEALER)
        self.socket.linger = 100
        self.socket.sndhwm = self.socket.rcvhwm = HIGH_WATER
        self.socket.reconnect_ivl, self.socket.reconnect_ivl_max = RECONNECT
        self.socket.heartbeat_ivl, self.socket.heartbeat_timeout = HEARTBEAT, 3 * HEARTBEAT
        if endpoint.key:
            try:
                key = read_client_key(Path(endpoint.key))
            except BaseException:
                self.socket.close()
                raise
            self.socket.curve_serverkey = key.server
            self.socket.curve_publickey, self.socket.curve_secretkey = key.public, key.secret
        self.monitor: zmq.Socket[bytes] = self.socket.get_monitor_socket(_EVENTS)
        self.socket.connect(endpoint.url)

    def send(self, parts: Sequence[Buffer]) -> bool:
        """Never waits; False where too much has been sent already."""
        try:
            self.socket.send_multipart(parts, zmq.NOBLOCK, copy=False)
        except zmq.Again:
            return False
        return True

    def events(self) -> Iterator[int]:
        """What became of the connection since it was asked last, as numbers of zmq.Event."""
        while self.monitor.poll(0):
            event = parse_monitor_message(self.monitor.recv_multipart())["event"]
            self.connected = event == zmq.Event.HANDSHAKE_SUCCEEDED
            yield event

    def close(self) -> None:
        """Waits for nothing that is not sent yet longer than a moment."""
        self.socket.disable_monitor()
        self.monitor.close(0)
        self.socket.close()
