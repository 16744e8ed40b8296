"""From calls to jobs and from jobs to replies: where a server's arrays get their names."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from world import wire
from world.batching import Job, Key
from world.errors import CancelledError, ModelError, RenderError, SceneError
from world.types import Start, State
from world.values import OVERHEAD, AnyArray, Names, Packer, Store, Unpacker, finder
from world.wire import Array, Buffer, Digest, Limits, Reason, WireError
from world.worker import Previewed

ANSWERS_PER_SESSION = 4

_REASONS: tuple[tuple[type[Exception], Reason], ...] = (
    (CancelledError, "cancelled"),
    (ModelError, "ModelError"),
    (SceneError, "SceneError"),
    (RenderError, "RenderError"),
    (ValueError, "ValueError"),
)


class Replies:
    """Reads and writes what a server is asked; keeps every array that passes in `store`."""

    def __init__(self, server: bytes, names: Names, store: Store, limits: Limits) -> None:
        self._server, self._names, self._store, self._limits = server, names, store, limits

    def job(self, route: bytes, call: wire.Call, buffers: Mapping[Digest, Buffer]) -> Job:
        """Raises WireError, and UnknownArrayError where an array must be sent along."""
        used: dict[Array, AnyArray] = {}
        find = finder(buffers, self._names, self._store.find, verify=True)

        def remember(name: Array) -> AnyArray:
            used[name] = find(name)
            return used[name]

        reader = Unpacker(remember, self._limits)
        reader.read_scenes(call.scenes)
        rows, compatible = _rows(call, reader)
        reader.rows(rows)
        if not rows:
            raise WireError(f"{call.verb} of nothing: a request has at least one row")
        for name, array in used.items():
            self._store.add(name, array)
        now = time.monotonic()
        return Job(
            (call.session, call.number),
            route,
            call.verb,
            rows,
            compatible,
            deadline=now + call.timeout_ms / 1000,
            arrived=now,
            scenes=reader.scenes,
            known=frozenset(name.digest for name in used),
            num_bytes=sum(array.nbytes for array in used.values()),
            previews=call.previews,
        )

    def done(self, job: Job) -> list[Buffer]:
        """The reply with a job's results; only arrays that the request did not hold travel."""
        packer = Packer(self._names, job.known, job.scenes)
        states, frames, starts, answers = [], [], [], []
        for result in job.results:
            if isinstance(result, State):
                for array in (*result.frames, *result.memory, *(place.frame for place in result.places)):
                    self._keep(array)
                states.append(packer.state(result))
            elif isinstance(result, Start):
                self._keep(result.frame)
                starts.append(packer.start(result))
            elif isinstance(result, str):
                answers.append(result)
            else:
                frames.append(packer.array(result))
        done = wire.Done(
            session=job.key[0],
            number=job.key[1],
            server=self._server,
            scenes=packer.scenes,
            states=tuple(states),
            frames=tuple(frames),
            starts=tuple(starts),
            answers=tuple(answers),
            queue_ms=1000 * (job.started - job.arrived),
            compute_ms=1000 * job.compute,
            attached=tuple(packer.attached),
        )
        return [wire.encode(done), *packer.buffers()]

    def failed(self, job: Job, error: Exception) -> list[Buffer]:
        """The reply with what the model raised."""
        reasons: list[Reason] = [reason for kind, reason in _REASONS if isinstance(error, kind)]
        reason = reasons[0] if reasons else "Exception"
        words = str(error) if reason != "Exception" else f"{type(error).__name__}: {error}"
        return [wire.encode(wire.Refused(session=job.key[0], number=job.key[1], reason=reason, words=words))]

    def previews(self, previewed: Previewed) -> Iterator[tuple[bytes, list[Buffer]]]:
        """For each job of the batch that wants them: where they go, and the message."""
        begin = 0
        for job, start, stop in previewed.batch.parts:
            frames = {i - begin + start: f for i, f in previewed.frames.items() if begin <= i < begin + stop - start}
            begin += stop - start
            if frames and not job.cancelled:
                packer = Packer(self._names, job.known)
                preview = wire.Preview(
                    session=job.key[0],
                    number=job.key[1],
                    evaluation=previewed.evaluation,
                    num_evaluations=previewed.num_evaluations,
                    rows=tuple(frames),
                    frames=tuple(packer.array(frame) for frame in frames.values()),
                    attached=tuple(packer.attached),
                )
                yield job.route, [wire.encode(preview), *packer.buffers()]

    def _keep(self, array: AnyArray) -> None:
        """Names an array of the model's and keeps it for requests that name it."""
        name = self._names.array(array)
        self._names.learn(array, name)  # a state is a value: nobody writes there, and the digest is taken once
        if name not in self._store:
            view = np.ascontiguousarray(array).view()
            view.flags.writeable = False
            self._names.learn(view, name)
            self._store.add(name, view)


class Answers:
    """The latest replies of each session, which retries get.

    The sessions that were silent longest are forgotten first when all take more than `limit` bytes; the newest reply
    never is.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._num_bytes = 0
        self._sessions: OrderedDict[bytes, OrderedDict[int, list[Buffer]]] = OrderedDict()

    def keep(self, key: Key, parts: list[Buffer]) -> None:
        session, number = key
        mine = self._sessions.setdefault(session, OrderedDict())
        self._sessions.move_to_end(session)
        mine[number] = parts
        self._num_bytes += _num_bytes(parts)
        if len(mine) > ANSWERS_PER_SESSION:
            self._forget(mine)
        while self._num_bytes > max(self._limit, _num_bytes(parts)):
            oldest = next(iter(self._sessions))
            self._forget(self._sessions[oldest])
            if not self._sessions[oldest]:
                del self._sessions[oldest]

    def find(self, key: Key) -> list[Buffer] | None:
        return self._sessions.get(key[0], {}).get(key[1])

    def _forget(self, replies: OrderedDict[int, list[Buffer]]) -> None:
        _, parts = replies.popitem(last=False)
        self._num_bytes -= _num_bytes(parts)


def _num_bytes(parts: Sequence[Buffer]) -> int:
    return OVERHEAD + sum(map(len, parts))


def _rows(call: wire.Call, reader: Unpacker) -> tuple[Sequence[Any], Hashable]:
    """What the verb takes, one pair a row, and what must agree for rows of several calls to share a batch."""
    match call.verb:
        case "reset" | "random_start":
            return _pairs(reader.scenes, call.seeds, "scenes", "seeds"), call.verb
        case "step":
            states = [reader.state(state) for state in call.states]
            rows = _pairs(states, [reader.action(action) for action in call.actions], "states", "actions")
            sizes = {state.frame.shape for state in states}
            return rows, ("step", sizes.pop()) if len(sizes) == 1 else object()
        case "ask":
            question = reader.text(call.question)
            return [(reader.state(state), question) for state in call.states], ("ask", question)
        case "view":
            if len(reader.scenes) != 1:
                raise WireError(f"view is of one scene, got {len(reader.scenes)}")
            return [(reader.scenes[0], reader.pose(pose)) for pose in call.poses], object()
        case "reconstruct":
            frames = [reader.frame(name) for name in call.frames]
            return frames, ("reconstruct", *{frame.shape for frame in frames})


def _pairs(firsts: Sequence[Any], seconds: Sequence[Any], of: str, and_: str) -> list[tuple[Any, Any]]:
    if len(firsts) != len(seconds):
        raise WireError(f"{len(firsts)} {of} and {len(seconds)} {and_}: as many of one as of the other")
    return list(zip(firsts, seconds, strict=True))
