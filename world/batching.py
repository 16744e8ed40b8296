"""What waits for the model, and which of it runs next: compatible rows together, people before bulk, nobody starved."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from typing import Any, TypeAlias

from world.types import Scene
from world.wire import Digest, Limits, Verb

BULK_AFTER = 4  # batches that interactive requests may lead while a bulk one waits
SILENCE = 60.0  # s without a request, after which a client's place is free

Key: TypeAlias = tuple[bytes, int]  # session and number


@dataclass(eq=False)
class Job:
    """One request on its way; rows are handed to the model one batch at a time."""

    key: Key
    route: bytes  # where the reply goes; a retry may come from elsewhere
    verb: Verb
    rows: Sequence[Any]  # what the verb takes, one entry a row
    compatible: Hashable  # jobs that agree in it may share a batch
    deadline: float  # s, monotonic
    arrived: float  # s, monotonic
    scenes: Sequence[Scene] = ()
    known: frozenset[Digest] = frozenset()  # arrays that whoever asked has
    num_bytes: int = 0  # of the arrays in it
    previews: bool = False
    taken: int = 0  # rows handed to the model
    results: list[Any] = field(default_factory=list)  # one a row: a value or an exception
    started: float = 0.0  # s, monotonic, when the first row was taken
    compute: float = 0.0  # s
    cancelled: bool = False

    @property
    def bulk(self) -> bool:
        """Whether nobody is sitting there and waiting for it: people walk one step at a time."""
        return len(self.rows) > 1


@dataclass(frozen=True)
class Batch:
    """Rows that the model takes at once: parts of jobs, each with its first row and the one after its last."""

    parts: tuple[tuple[Job, int, int], ...]

    @property
    def verb(self) -> Verb:
        return self.parts[0][0].verb

    @property
    def rows(self) -> list[Any]:
        return [row for job, start, stop in self.parts for row in job.rows[start:stop]]

    @property
    def num_rows(self) -> int:
        return sum(stop - start for _, start, stop in self.parts)


class FullError(Exception):
    """No room for another request; the words name the limit."""


class Places:
    """Who is served: a session has a place until it was silent for `SILENCE` s, and there are `limit` of them."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._heard: OrderedDict[bytes, float] = OrderedDict()  # when, s, the longest silent first

    def __len__(self) -> int:
        return len(self._heard)

    def take(self, session: bytes, now: float) -> None:
        """Raises FullError."""
        while self._heard and next(iter(self._heard.values())) < now - SILENCE:
            self._heard.popitem(last=False)
        if session not in self._heard and len(self) >= self.limit:
            raise FullError(f"{len(self)} clients are served already: the limit is sessions = {self.limit}")
        self._heard[session] = now
        self._heard.move_to_end(session)


class Queue:
    """Jobs by session. Sessions take turns, so that one with much to ask does not keep the others waiting."""

    def __init__(self, limit: int, limits: Limits) -> None:
        self.limit, self.limits = limit, limits
        self._sessions: dict[bytes, deque[Job]] = {}
        self._led = 0  # batches that interactive jobs led while bulk waited

    def __len__(self) -> int:
        return sum(map(len, self._sessions.values()))

    @property
    def num_rows(self) -> int:
        """Rows that wait."""
        return sum(len(job.rows) - job.taken for job in chain(*self._sessions.values()))

    @property
    def oldest(self) -> float:
        """When the job that waits longest arrived; infinite when none waits."""
        return min((job.arrived for job in chain(*self._sessions.values())), default=float("inf"))

    def add(self, job: Job) -> None:
        """Raises FullError."""
        if len(self) >= self.limit:
            raise FullError(f"{len(self)} requests wait already: the limit is max-waiting = {self.limit}")
        mine, limits = self._sessions.get(job.key[0], deque()), self.limits
        if len(mine) >= limits.per_session:
            raise FullError(f"{len(mine)} of your requests wait: the limit is per_session = {limits.per_session}")
        num_bytes = job.num_bytes + sum(other.num_bytes for other in chain(*self._sessions.values()))
        if num_bytes > limits.waiting_bytes and len(self):
            most = limits.waiting_bytes
            raise FullError(f"requests of {num_bytes} bytes would wait: the limit is waiting_bytes = {most}")
        self._sessions.setdefault(job.key[0], mine).append(job)

    def remove(self, job: Job) -> bool:
        """Takes a job out; False when it does not wait."""
        mine = self._sessions.get(job.key[0], deque())
        if job not in mine:
            return False
        mine.remove(job)
        if not mine:
            del self._sessions[job.key[0]]
        return True

    def position(self, job: Job) -> int:
        """Waiting jobs that go before it; 0 also for one that does not wait."""
        order = self._order()
        return order.index(job) if job in order else 0

    def next_batch(self, max_rows: int) -> Batch | None:
        """Up to `max_rows` compatible rows, whoever is first in turn leading; None when nothing waits."""
        order = self._order()
        if not order:
            return None
        leader, parts, room = order[0], [], max_rows
        self._led = self._led + 1 if not leader.bulk and any(job.bulk for job in order) else 0
        for job in order:
            if room and job.compatible == leader.compatible:
                start, job.taken = job.taken, min(job.taken + room, len(job.rows))
                room -= job.taken - start
                parts.append((job, start, job.taken))
        for job, _, _ in parts:
            turn = self._sessions.pop(job.key[0], None)
            if turn is not None:
                self._sessions[job.key[0]] = turn  # to the end of the round
            if job.taken == len(job.rows):
                self.remove(job)
        return Batch(tuple(parts))

    def _order(self) -> list[Job]:
        """Everything that waits, as it would lead: one job a session and round, interactive before bulk."""
        rounds = zip_longest(*self._sessions.values())
        jobs = [job for one in rounds for job in one if job is not None]
        first_bulk = self._led >= BULK_AFTER
        return sorted(jobs, key=lambda job: job.bulk != first_bulk)
