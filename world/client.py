"""A world model that lives in another process, as a WorldModel like any other."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from world import wire
from world.endpoints import read_endpoint
from world.errors import CancelledError, LinkError, ModelError, RenderError, SceneError
from world.link import Link
from world.previews import OnPreview, Progress
from world.settings import SamplerConfig
from world.types import Action, Frame, Pose, Scene, Start, State, WorldSpec
from world.values import Names, Packer, UnknownArrayError, Unpacker, finder
from world.wire import Buffer, Digest, Limits, Refused, Verb, Welcome, WireError

_log = logging.getLogger(__name__)

CONNECT_TIME = 10.0  # s until a server must have answered once
STEP_TIME = 300.0  # s for one request, the deaths of servers included
KNOWN = 4096  # arrays that the server is believed to know

_ERRORS: dict[str, type[Exception]] = {
    "bad": ValueError,
    "ValueError": ValueError,
    "ModelError": ModelError,
    "SceneError": SceneError,
    "RenderError": RenderError,
    "cancelled": CancelledError,
}


def load(
    address: str, *, sampler: SamplerConfig | None = None, device: str | None = None
) -> RemoteWorldModel | RemoteTrueWorld:
    """The model that is served at `address`, under the protocol of world.models."""
    if sampler is not None or device is not None:
        raise ModelError(f"{address} samples as it was started: give these flags to python -m world serve")
    model = RemoteWorldModel(address, on_stage=lambda stage: _log.info("%s", stage))
    if "pose" not in model.spec.supports:
        return model
    model.close()
    return RemoteTrueWorld(address)


@dataclass(frozen=True)
class Timings:
    """Where the time of the last request went, in ms."""

    queue: float
    compute: float


class RemoteWorldModel:
    """The verbs of the model at `address`: ipc://PATH or tcp://HOST:PORT, and ?key=FILE where it wants a key.

    A request is sent again until it is answered, so the server may die and come back meanwhile. Frames are read-only.
    Every verb raises LinkError with what is known when `timeout` s are over, and else what the model itself raises.
    """

    def __init__(
        self,
        address: str,
        timeout: float = STEP_TIME,
        connect_timeout: float = CONNECT_TIME,
        on_stage: Callable[[str], None] = lambda stage: None,
        watch: Callable[[], None] = lambda: None,
    ) -> None:
        """Waits until the model is loaded, telling `on_stage` how far it is; `watch` may raise what ends the waiting.

        Raises ValueError for a wrong address, LinkError where nobody answers within `connect_timeout` s.
        """
        self.address = address
        self.timeout = timeout
        self.last_timings = Timings(0.0, 0.0)
        self._link = Link(read_endpoint(address))
        self._link.watch = watch
        self._names = Names()
        self._known = _Known()
        try:
            self._welcome = self._shake_hands(connect_timeout, on_stage)
        except BaseException:
            self._link.close()
            raise
        w = self._welcome
        self._spec = WorldSpec(w.model, frozenset(w.supports), w.device, w.dtype, w.frame_size)
        known_limits = {name: w.limits[name] for name in Limits.__dataclass_fields__ if name in w.limits}
        self._limits = replace(Limits(), **known_limits)

    @property
    def spec(self) -> WorldSpec:
        return self._spec

    @property
    def lost(self) -> str:
        """What is known of a server that has gone, for a person; "" while one is there."""
        return self._link.state if "nobody listens" in self._link.state else ""

    def bear(self, patience: float) -> None:
        """From now on a verb raises LinkError as soon as nobody has listened for `patience` s, not only at `timeout`:
        for those who have another server to go to."""
        self._link.patience = patience

    def reset(self, scenes: Sequence[Scene], seeds: Sequence[int]) -> list[State]:
        """States at the scenes' first starts. Equal arguments give equal states."""
        if len(scenes) != len(seeds):
            raise ValueError(f"one seed for each scene: got {len(scenes)} scenes and {len(seeds)} seeds")
        return self._call("reset", scenes=scenes, seeds=tuple(seeds)).states if scenes else []

    def step(
        self, states: Sequence[State], actions: Sequence[Action], on_preview: OnPreview | None = None
    ) -> list[State]:
        """The states after one action each. `on_preview` as in world.previews, but now and then a call is left out."""
        if len(states) != len(actions):
            raise ValueError(f"one action for each state: got {len(states)} states and {len(actions)} actions")
        return self._call("step", states=states, on_preview=on_preview, actions=tuple(actions)).states if states else []

    def ask(self, states: Sequence[State], question: str) -> list[str]:
        """Answers about what is seen now; raises ModelError where `spec.supports` lacks "ask"."""
        return self._call("ask", states=states, question=question).answers if states else []

    def reconstruct(self, frames: Sequence[Frame]) -> list[Frame]:
        """Frames through the autoencoder and back, where `spec.supports` has "reconstruct"; else ModelError."""
        return self._call("reconstruct", frames=frames).frames if frames else []

    def cancel(self) -> None:
        """Gives up the verb that runs in another thread, if any: there it raises CancelledError."""
        self._link.cancel()

    def health(self) -> Welcome:
        """What the server tells about itself now."""
        number = self._link.next_number()
        hello = wire.encode(wire.Health(session=self._link.session, number=number))
        reply, _ = self._link.exchange(number, lambda whole, left: [hello], self.timeout)
        if not isinstance(reply, Welcome):
            raise self._error(reply)
        return reply

    def metrics(self) -> str:
        """The server's figures, in Prometheus' text format."""
        number = self._link.next_number()
        please = wire.encode(wire.Metrics(session=self._link.session, number=number))
        reply, _ = self._link.exchange(number, lambda whole, left: [please], self.timeout)
        if not isinstance(reply, wire.Figures):
            raise self._error(reply)
        return reply.text

    def close(self) -> None:
        """Closes the connection; the server goes on. May be called twice."""
        self._link.close()

    def _shake_hands(self, timeout: float, on_stage: Callable[[str], None]) -> Welcome:
        pause = threading.Event()
        while True:
            number = self._link.next_number()
            hello = wire.encode(wire.Hello(session=self._link.session, number=number, version=wire.VERSION))
            try:
                reply, _ = self._link.exchange(number, lambda whole, left, hello=hello: [hello], timeout)
            except LinkError as error:
                if "nobody listens" not in str(error):
                    raise
                start = f"python -m world serve --model tiny --bind {self._link.endpoint.url}"
                raise LinkError(f"{error}: start a server with {start}, or mend the address") from error
            if not isinstance(reply, Welcome):
                raise self._error(reply)
            if reply.version != wire.VERSION:
                raise LinkError(f"{self.address} speaks version {reply.version} of the link, not {wire.VERSION}")
            if reply.ready:
                return reply
            on_stage(reply.stage)
            pause.wait(0.1)

    def _call(
        self,
        verb: Verb,
        scenes: Sequence[Scene] = (),
        states: Sequence[State] = (),
        frames: Sequence[Frame] = (),
        on_preview: OnPreview | None = None,
        **others: Any,
    ) -> _Results:
        """Makes the request anew each time that it is sent: whole, or naming what the server is believed to know."""
        number = self._link.next_number()
        packed: list[Packer] = []

        def make(whole: bool, left_ms: int) -> list[Buffer]:
            if whole:
                self._known.clear()
            packer = Packer(self._names, self._known)
            packed[:] = [packer]
            for scene in scenes:
                packer.add_scene(scene)
            call = wire.Call(
                session=self._link.session,
                number=number,
                verb=verb,
                model=self._spec.model,
                timeout_ms=min(left_ms, 86_400_000),
                states=tuple(packer.state(state) for state in states),
                frames=tuple(packer.array(frame) for frame in frames),
                scenes=packer.scenes,
                previews=on_preview is not None,
                attached=tuple(packer.attached),
                **others,
            )
            parts = [_encoded(call), *packer.buffers()]
            wire.check_size(parts, self._limits)  # a longer part would cost the connection, and nobody would say why
            return parts

        def show(preview: wire.Preview, parts: Sequence[Buffer]) -> None:
            if on_preview is not None:
                find = finder(wire.buffers_of(preview, parts), self._names, packed[0].sent.get, verify=False)
                frames = [Unpacker(find, self._limits).frame(name) for name in preview.frames]
                on_preview(Progress(preview.rows, preview.evaluation, preview.num_evaluations, lambda: frames))

        reply, parts = self._link.exchange(number, make, self.timeout, show)
        if not isinstance(reply, wire.Done):
            raise self._error(reply)
        return self._results(reply, parts, packed[0])

    def _results(self, done: wire.Done, parts: Sequence[Buffer], packer: Packer) -> _Results:
        if done.server != self._known.server:
            self._known.clear()
            self._known.server = done.server
        self.last_timings = Timings(done.queue_ms, done.compute_ms)
        try:
            find = finder(wire.buffers_of(done, parts), self._names, packer.sent.get, verify=False)
            reader = Unpacker(find, self._limits, packer.all_scenes)
            reader.read_scenes(done.scenes)
            results = _Results(
                [reader.state(state) for state in done.states],
                [reader.frame(frame) for frame in done.frames],
                [reader.start(start) for start in done.starts],
                list(done.answers),
            )
        except (WireError, UnknownArrayError) as error:
            raise LinkError(f"{self.address} sent a result that cannot be read: {error}") from error
        self._known.add(name.digest for name in packer.sent)
        self._known.add(done.attached)
        return results

    def _error(self, reply: object) -> Exception:
        if not isinstance(reply, Refused):
            return LinkError(f"{self.address} answered with a {type(reply).__name__}, out of turn")
        kind = _ERRORS.get(reply.reason, LinkError)
        return kind(reply.words if kind is not LinkError else f"{self.address} refused: {reply.words}")


class RemoteTrueWorld(RemoteWorldModel):
    """A served world that knows every pose, e.g. the simulator."""

    def random_start(self, scene: Scene, seed: int) -> Start:
        """A free place of the scene, the same for the same seed."""
        return self._call("random_start", scenes=[scene], seeds=(seed,)).starts[0]

    def view(self, scene: Scene, poses: Sequence[Pose]) -> list[Frame]:
        """What is seen from the poses, without moving there."""
        return self._call("view", scenes=[scene], poses=tuple(poses)).frames if poses else []


@dataclass(frozen=True)
class _Results:
    states: list[State]
    frames: list[Frame]
    starts: list[Start]
    answers: list[str]


class _Known:
    """Digests that the server is believed to know: it has sent or been sent them; the newest `KNOWN` of them."""

    def __init__(self) -> None:
        self.server = b""
        self._digests: OrderedDict[Digest, None] = OrderedDict()

    def __contains__(self, digest: object) -> bool:
        return digest in self._digests

    def add(self, digests: Any) -> None:
        for digest in digests:
            self._digests[digest] = None
            self._digests.move_to_end(digest)
        while len(self._digests) > KNOWN:
            self._digests.popitem(last=False)

    def clear(self) -> None:
        self._digests.clear()


def _encoded(call: wire.Call) -> bytes:
    try:
        return wire.encode(call)
    except (msgspec.MsgspecError, OverflowError, TypeError) as error:
        raise ValueError(f"this request cannot be sent: {error}") from error
