"""A thread in which a model works, so that a window never waits for it; and its failures in words for a person."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from world.errors import WorldError

T = TypeVar("T")

LOOK = "look"  # the kind of a job that nobody asked for: its failure is nobody's business

_log = logging.getLogger(__name__)


class Worker:
    """A daemon thread, so that closing the window never waits for a model."""

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def run(self, job: Callable[[], T]) -> Future[T]:
        """Calls `job` after those before it; returns at once."""
        future: Future[T] = Future()
        self._jobs.put((job, future))
        return future

    def close(self, timeout: float) -> None:
        """No further jobs; waits at most `timeout` s for those that are there."""
        self._jobs.put(None)
        self._thread.join(timeout)

    def _work(self) -> None:
        while (item := self._jobs.get()) is not None:
            job, future = item
            try:
                result = job()
            except BaseException as error:  # noqa: BLE001 (handed to the one who asked, who shows it)
                future.set_exception(error)
            else:
                future.set_result(result)


def for_a_person(error: BaseException, address: str) -> str:
    """What happened to the model at `address` and what to do; the project's own errors say both already."""
    _log.debug("the model failed", exc_info=error)
    text = " ".join(str(error).split())
    if isinstance(error, WorldError | ValueError):
        return text
    if isinstance(error, MemoryError) or "out of memory" in text.lower():
        return f"There is not enough memory for this step ({text}): close what else uses it, or take a smaller picture"
    return f"{type(error).__name__}: {text}. What is wrong with the model: python -m world doctor --model {address}"


@dataclass(frozen=True)
class _Job:
    kind: str
    future: Future[Any]
    take: Callable[[Any], None]
    started_at: float
    wanted: bool = True


class Desk:
    """One job at a time for a worker, and at most one verb that waits for it. All verbs return at once."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._job: _Job | None = None
        self._next: Callable[[], None] | None = None
        self._firm = False  # whether what waits lets nothing lesser take its place

    @property
    def kind(self) -> str:
        """Of the running job; "" where there is none."""
        return self._job.kind if self._job else ""

    @property
    def wanted(self) -> bool:
        """Whether a job runs whose result will be taken."""
        return self._job is not None and self._job.wanted

    @property
    def running_for(self) -> float:
        """How long the running job has taken so far, in s."""
        return time.monotonic() - self._job.started_at if self._job else 0.0

    @property
    def waiting(self) -> bool:
        """Whether a verb waits for the running job."""
        return self._next is not None

    def run(self, kind: str, job: Callable[[], T], take: Callable[[T], None]) -> None:
        """Lets the worker do `job`; `take` gets the result in some later `poll`."""
        self._job = _Job(kind, self._worker.run(job), take, time.monotonic())

    def when_free(self, verb: Callable[[], None], *, firm: bool = False) -> None:
        """Calls `verb` now, or when the running job has ended, in the place of another one that waited.

        A firm one gives its place to firm ones alone: a step must not keep a person from the scene that was chosen.
        """
        if self._job is None:
            verb()
        elif firm or not self._firm:
            self._next, self._firm = verb, firm

    def forget_waiting(self) -> None:
        """The verb that waits is not wanted any more; a firm one stays."""
        if not self._firm:
            self._next = None

    def abandon(self) -> None:
        """Lets the running job, if any, end for nothing, and what waits as well."""
        self._next, self._firm = None, False
        if self._job is not None:
            self._job = replace(self._job, take=lambda result: None, wanted=False)

    def poll(self) -> BaseException | None:
        """Takes in a job that has ended, then does what waited; the error of a job that was wanted."""
        job = self._job
        if job is None or not job.future.done():
            return None
        self._job = None
        error = job.future.exception()
        if error is None:
            job.take(job.future.result())
        elif job.wanted and job.kind != LOOK:
            self.forget_waiting()
        if self._next is not None and self._job is None:
            waiting, self._next, self._firm = self._next, None, False
            waiting()
        return error if job.wanted and job.kind != LOOK else None
