"""A world model in a process of its own: one thread for the socket, one for the model, and what waits between them.

Requests are self-contained, so the server remembers nothing that a client would miss: not walks, only arrays that need
not be sent again and the latest replies, by which a retry is answered without computing twice.
"""

from __future__ import annotations

import contextlib
import logging
import math
import secrets
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import zmq

from world import wire
from world.batching import Batch, FullError, Job, Key, Places, Queue
from world.endpoints import Endpoint
from world.listening import Listener
from world.metrics import Metrics
from world.replies import Answers, Replies
from world.types import WorldSpec
from world.values import Names, Store, UnknownArrayError
from world.wire import Buffer, Limits, WireError
from world.worker import Ended, Finished, Loaded, Loader, Previewed, Stage, Worker

GRACE = 1.0  # s after its deadline until a request that runs is given up: clients who live do that themselves
TICK = 250  # ms, after which deadlines and signals are looked at even where nothing comes in
ANSWER_BYTES = 64 * 2**20  # of replies kept for retries
MOST_WORDS = 4096  # characters of a refusal, which may quote what was sent

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ServerOptions:
    """How a server batches and what it takes."""

    max_batch: int = 8  # rows
    max_wait_ms: float = 0.0  # that rows may wait for company while the model is free
    max_waiting: int = 256  # requests
    memo_bytes: int = 512 * 2**20  # of arrays that need not be sent again
    limits: Limits = field(default_factory=Limits)


class Server:
    """Serves what `load` gives until `leave` is called; everything runs in the thread that calls `run`."""

    def __init__(self, load: Loader, bind: Endpoint, options: ServerOptions, keys: Path | None = None) -> None:
        """Listens at once; `keys` is a folder that keygen made. Raises ValueError or WorldError where it cannot."""
        self.options = options
        self.metrics = Metrics()
        self._id = secrets.token_bytes(16)
        self._queue = Queue(options.max_waiting, options.limits)
        self._places = Places(options.limits.sessions)
        self._jobs: dict[Key, Job] = {}
        self._answers = Answers(ANSWER_BYTES)
        self._store = Store(options.memo_bytes)
        self._replies = Replies(self._id, Names(), self._store, options.limits)
        self._spec: WorldSpec | None = None
        self._stage = "starting"
        self._running: Batch | None = None
        self._leaving = False
        self._failure: BaseException | None = None
        self._listener = Listener(bind, options.limits.message_bytes, keys)
        self._bell = self._listener.context.socket(zmq.PULL)
        self._bell.bind("inproc://bell")
        self._worker = Worker(load, self._ring)
        self._ringing: zmq.Socket[bytes] | None = None

    @property
    def endpoint(self) -> str:
        """Where it listens, with the port that tcp://…:* was given."""
        return self._listener.endpoint

    def leave(self) -> None:
        """No further requests; what waits is still done. May be called from a signal handler."""
        self._leaving = True

    def close(self) -> None:
        """Stops to listen, for a server that is not run; `run` does it by itself."""
        self._listener.close()

    def run(self) -> None:
        """Until `leave`. Raises what `load` raised."""
        self._worker.start()
        poller = zmq.Poller()
        poller.register(self._listener.socket, zmq.POLLIN)
        poller.register(self._bell, zmq.POLLIN)
        try:
            while not (self._failure or (self._leaving and not self._jobs and not self._running)):
                ready = dict(poller.poll(self._patience()))
                if self._bell in ready:
                    self._on_events()
                if self._listener.socket in ready:
                    for route, parts in self._listener.read():
                        self._on_message(route, parts)
                self._drop_late()
                self._feed()
        finally:
            self._worker.close(timeout=1.0)
            self._listener.close()
        if self._failure:
            raise self._failure

    def _ring(self) -> None:
        """Wakes the loop; called in the model's thread, whose socket this is."""
        with contextlib.suppress(zmq.ZMQError):  # the loop is gone already
            if self._ringing is None:
                self._ringing = self._listener.context.socket(zmq.PUSH)
                self._ringing.connect("inproc://bell")
            self._ringing.send(b"")

    def _patience(self) -> int:
        """ms until the loop has something to do by itself."""
        if self._running is None and self._spec is not None and len(self._queue):
            waited = 1000 * (time.monotonic() - self._queue.oldest)
            return min(TICK, max(0, math.ceil(self.options.max_wait_ms - waited)))
        return TICK

    def _on_events(self) -> None:
        while self._bell.poll(0):
            self._bell.recv()
        while not self._worker.events.empty():
            match self._worker.events.get():
                case Stage(words):
                    self._stage = words
                case Loaded(spec):
                    self._spec, self._stage = spec, "ready"
                case Ended(error):
                    self._failure = error
                case Previewed() as previewed:
                    for route, parts in self._replies.previews(previewed):
                        self._listener.send(route, parts)
                case Finished() as finished:
                    self._running = None
                    self._feed()  # first, so that the model does not wait while replies are written
                    self._on_finished(finished)

    def _feed(self) -> None:
        """Hands the next batch to the model, where it is free and nothing more is worth waiting for."""
        if self._running is not None or self._spec is None or not len(self._queue):
            return
        now = time.monotonic()
        waited = 1000 * (now - self._queue.oldest)
        if waited < self.options.max_wait_ms and self._queue.num_rows < self.options.max_batch:
            return
        self._running = self._queue.next_batch(self.options.max_batch)
        if self._running is None:
            return
        for job, start, _ in self._running.parts:
            if start == 0:
                job.started = now
                self.metrics.took("queue", now - job.arrived)
        self.metrics.batch(self._running.num_rows)
        self._worker.run(self._running)

    def _on_finished(self, finished: Finished) -> None:
        self.metrics.took("compute", finished.seconds)
        results = iter(finished.results)
        for job, start, stop in finished.batch.parts:
            job.results += [next(results) for _ in range(start, stop)]
            job.compute += finished.seconds
            if not job.cancelled and len(job.results) == len(job.rows):
                self._finish(job)

    def _finish(self, job: Job) -> None:
        begun = time.monotonic()
        del self._jobs[job.key]
        failure = next((result for result in job.results if isinstance(result, Exception)), None)
        self.metrics.count("requests", job.verb if failure is None else "failed")
        if failure is None:
            try:
                parts = self._replies.done(job)
            except (ValueError, OverflowError, TypeError) as error:
                parts = self._replies.failed(job, error)
        else:
            parts = self._replies.failed(job, failure)
        self._answers.keep(job.key, parts)
        self._listener.send(job.route, parts)
        self.metrics.took("transfer", time.monotonic() - begun)

    def _drop_late(self) -> None:
        now = time.monotonic()
        for job in [j for j in self._jobs.values() if j.deadline + (GRACE if j.taken else 0) < now]:
            self._drop(job, job.route, "late", "its time was over before it was done: allow a longer timeout")

    def _drop(self, job: Job, route: bytes, reason: Literal["late", "cancelled"], words: str) -> None:
        """Of a job that runs, the rows leave their batch at the next evaluation."""
        del self._jobs[job.key]
        job.cancelled = True
        self._queue.remove(job)
        self.metrics.count("requests", reason)
        self._refuse(route, job.key, reason, words)

    def _on_message(self, route: bytes, parts: Sequence[Buffer]) -> None:
        begun = time.monotonic()
        key: Key = (bytes(16), 0)
        try:
            message = wire.decode_request(parts, self.options.limits)
            key = (message.session, message.number)
            match message:
                case wire.Call():
                    self._on_call(route, message, parts)
                case wire.Cancel():
                    self._on_cancel(route, key)
                case wire.Metrics():
                    self._listener.send(
                        route, [wire.encode(wire.Figures(session=key[0], number=key[1], text=self.figures()))]
                    )
                case wire.Hello(version=version) if version != wire.VERSION:
                    words = f"this server speaks version {wire.VERSION} of the link, you speak {version}: update one"
                    self._refuse(route, key, "version", words)
                case _:
                    self._listener.send(route, [wire.encode(self._welcome(key))])
        except Exception as error:  # noqa: BLE001 (whatever is wrong with a message costs its sender alone)
            _log.debug("a message was refused", exc_info=error)
            self.metrics.count("refused", "bad")
            words = str(error) if isinstance(error, WireError) else f"{type(error).__name__}: {error}"
            self._refuse(route, key, "bad", words)
        self.metrics.took("transfer", time.monotonic() - begun)

    def _on_call(self, route: bytes, call: wire.Call, parts: Sequence[Buffer]) -> None:
        key = (call.session, call.number)
        if (answer := self._answers.find(key)) is not None:
            self.metrics.count("retries", "answered")
            self._listener.send(route, answer)
            return
        if (job := self._jobs.get(key)) is not None:
            self.metrics.count("retries", "waiting")
            job.route, job.deadline = route, max(job.deadline, time.monotonic() + call.timeout_ms / 1000)
            self._tell_position(route, job)
            return
        if self._leaving:
            self._refuse(route, key, "leaving", "this server is ending", 200)
        elif self._spec is None:
            self._refuse(route, key, "loading", self._stage, 200)
        elif call.model != self._spec.model:
            self._refuse(route, key, "model", f"this server has {self._spec.model!r} now, and no longer {call.model!r}")
        else:
            self._take(route, key, call, parts)

    def _take(self, route: bytes, key: Key, call: wire.Call, parts: Sequence[Buffer]) -> None:
        try:
            job = self._replies.job(route, call, wire.buffers_of(call, parts))
            self._places.take(job.key[0], job.arrived)
            self._queue.add(job)
        except UnknownArrayError:
            self.metrics.count("refused", "need")
            self._listener.send(route, [wire.encode(wire.Need(session=key[0], number=key[1]))])
        except FullError as error:
            self.metrics.count("refused", "busy")
            self._refuse(route, key, "busy", str(error), self._retry_after())
        else:
            self._jobs[key] = job
            if self._running is not None or len(self._queue) > 1:
                self._tell_position(route, job)

    def _tell_position(self, route: bytes, job: Job) -> None:
        position = 0
        if not job.taken:
            running = self._running.parts if self._running is not None else ()
            position = sum(not other.cancelled for other, _, _ in running) + self._queue.position(job)
        self._listener.send(route, [wire.encode(wire.Queued(session=job.key[0], number=job.key[1], position=position))])

    def _on_cancel(self, route: bytes, key: Key) -> None:
        if (job := self._jobs.get(key)) is not None:
            self._drop(job, route, "cancelled", "given up, as you asked")

    def _welcome(self, key: Key) -> wire.Welcome:
        spec = self._spec or WorldSpec("", frozenset(), "", "")
        return wire.Welcome(
            session=key[0],
            number=key[1],
            version=wire.VERSION,
            server=self._id,
            ready=self._spec is not None and not self._leaving,
            stage="ending" if self._leaving else self._stage,
            model=spec.model,
            supports=tuple(sorted(spec.supports)),
            device=spec.device,
            dtype=spec.dtype,
            frame_size=spec.frame_size,
            max_batch=self.options.max_batch,
            limits=asdict(self.options.limits),
            num_open=len(self._jobs),
        )

    def figures(self) -> str:
        """The metrics, as Prometheus reads them."""
        store = self._store
        gauges = {"memo_bytes": store.num_bytes, "memo_hits": store.hits, "memo_misses": store.misses}
        return self.metrics.text({"waiting": len(self._queue), "sessions": len(self._places), **gauges})

    def _retry_after(self) -> int:
        """ms in which a quarter of what waits should be done."""
        batches = self._queue.num_rows / self.options.max_batch
        return round(min(5000.0, max(20.0, 250 * batches * self.metrics.median("compute", 0.1))))

    def _refuse(self, route: bytes, key: Key, reason: wire.Reason, words: str, retry_after_ms: int = 0) -> None:
        words = words[:MOST_WORDS]
        refused = wire.Refused(session=key[0], number=key[1], reason=reason, words=words, retry_after_ms=retry_after_ms)
        self._listener.send(route, [wire.encode(refused)])
