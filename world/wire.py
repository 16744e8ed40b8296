"""The link's messages: a msgpack header and raw buffers beside it. `world/LINK.md` tells them for any language.

Nothing here is evaluated or unpickled: a header is decoded into one of the few types below or refused with a reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import Meta, Struct

from world.types import Action, Pose

VERSION = 1

Buffer: TypeAlias = bytes | bytearray | memoryview
Digest: TypeAlias = Annotated[
    bytes, Meta(min_length=16, max_length=16)
]  # of SHA-256 over an array's bytes, the first 16
Session: TypeAlias = Annotated[bytes, Meta(min_length=16, max_length=16)]  # random, one a client
Number: TypeAlias = Annotated[int, Meta(ge=0, le=2**63 - 1)]  # of a request within its session
Verb: TypeAlias = Literal["reset", "step", "ask", "view", "random_start", "reconstruct"]
Reason: TypeAlias = Literal[
    "bad",  # not a message of this protocol, or beyond a limit, which the words name
    "version",  # another version of this protocol
    "model",  # the server hosts another model than the request was made for
    "busy",  # the queue is full: again after retry_after_ms
    "loading",  # the model is not there yet: again after retry_after_ms
    "leaving",  # the server drains: again elsewhere, or when it is back
    "late",  # the deadline passed before it was its turn
    "cancelled",
    "ValueError",  # raised by the model, as all that follow
    "ModelError",
    "SceneError",
    "RenderError",
    "Exception",
]


@dataclass(frozen=True)
class Limits:
    """What a server takes; each refusal names the limit it stands for."""

    message_bytes: int = 256 * 2**20  # of all parts together
    header_bytes: int = 8 * 2**20
    buffers: int = 32_768  # behind a header
    rows: int = 256  # states, scenes, poses or frames of a request
    frames: int = 64  # of a state, and so many places
    text: int = 4096  # characters of an action, a question, a name, a caption
    side: int = 8192  # pixels of a frame
    sessions: int = 1024  # clients that are served at once
    per_session: int = 32  # requests of one client that wait
    waiting_bytes: int = 2 * 2**30  # of the arrays of all requests that wait


T = TypeVar("T")
Few: TypeAlias = Annotated[tuple[T, ...], Meta(max_length=4096)]  # a pose may take a byte: longer ones are not read


class Array(Struct, frozen=True, array_like=True):
    """An array by its content: the bytes travel once, C order, little-endian; `dtype` as numpy spells it."""

    digest: Digest
    dtype: str
    shape: Few[int]


class WireStart(Struct, frozen=True):
    name: str
    pose: Pose
    frame: Array


class WireScene(Struct, frozen=True):
    name: str
    caption: str
    starts: Few[WireStart]
    actions: Few[Action]
    fov: float
    eye_height: float
    simulated: bool


class WireState(Struct, frozen=True, omit_defaults=True):
    """`scene` is an index into the scenes of the request and then those of the reply."""

    scene: int
    frames: Few[Array]
    actions: Few[Action]
    pose: Pose
    seed: int
    step: int
    memory: Few[Array]
    whole: bool = False
    places: Few[WireStart] = ()
    origins: Few[Pose] = ()


class _Message(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag=str.lower):
    session: Session
    number: Number


class Hello(_Message, frozen=True):
    """The handshake; with a higher `version` than the server's it is refused."""

    version: int


class Call(_Message, frozen=True):
    """One verb of a world with all that it needs. (session, number) is its key: asked twice, it is computed once.

    `attached` names the buffers that follow the header, in their order; arrays that are not among them are those that
    the server is believed to know.
    """

    verb: Verb
    model: Annotated[str, Meta(max_length=4096)]  # as the handshake told it
    timeout_ms: Annotated[int, Meta(gt=0, le=86_400_000)]  # from its arrival on
    scenes: Few[WireScene] = ()
    states: Few[WireState] = ()
    actions: Few[Action] = ()
    seeds: Few[int] = ()
    poses: Few[Pose] = ()
    frames: Few[Array] = ()
    question: str = ""
    previews: bool = False
    attached: tuple[Digest, ...] = ()


class Cancel(_Message, frozen=True):
    """Gives the request of that number up: what waits is dropped, what runs stops as soon as it can."""


class Health(_Message, frozen=True):
    """Is anybody there?"""


class Metrics(_Message, frozen=True):
    """The figures, please."""


class Welcome(_Message, frozen=True):
    """Answers Hello and Health. While `ready` is false the model is loading, and `stage` says how far it is."""

    version: int
    server: bytes  # another one after a restart: it knows no arrays
    ready: bool
    stage: str
    model: str = ""
    supports: tuple[str, ...] = ()
    device: str = ""
    dtype: str = ""
    frame_size: tuple[int, int] | None = None  # height, width
    max_batch: int = 1
    limits: dict[str, int] = {}
    num_open: int = 0  # requests that wait or run


class Queued(_Message, frozen=True):
    """The request is known; `position` requests go before it, 0 when it is being computed."""

    position: int


class Preview(_Message, frozen=True):
    """How far a step is, and small pictures of what some of its rows will be; may be lost."""

    evaluation: int
    num_evaluations: int
    rows: tuple[int, ...] = ()
    frames: tuple[Array, ...] = ()
    attached: tuple[Digest, ...] = ()


class Done(_Message, frozen=True):
    """The verb's result: states, frames, starts or answers, one a row."""

    server: bytes
    scenes: tuple[WireScene, ...] = ()
    states: tuple[WireState, ...] = ()
    frames: tuple[Array, ...] = ()
    starts: tuple[WireStart, ...] = ()
    answers: tuple[str, ...] = ()
    queue_ms: float = 0.0
    compute_ms: float = 0.0
    attached: tuple[Digest, ...] = ()


class Need(_Message, frozen=True):
    """Some array is not known here (any more): send the request again, whole."""


class Refused(_Message, frozen=True):
    reason: Reason
    words: str  # for a person
    retry_after_ms: int = 0


class Figures(_Message, frozen=True):
    """Answers Metrics, in Prometheus' text format."""

    text: str


Request: TypeAlias = Hello | Call | Cancel | Health | Metrics
Reply: TypeAlias = Welcome | Queued | Preview | Done | Need | Refused | Figures

_encoder = msgspec.msgpack.Encoder()
_requests = msgspec.msgpack.Decoder(Request)
_replies = msgspec.msgpack.Decoder(Reply)


class WireError(ValueError):
    """A message that is not one of this protocol; the words say what is wrong with it."""


def encode(message: Request | Reply) -> bytes:
    """The header of a message."""
    return _encoder.encode(message)


def decode_request(parts: Sequence[Buffer], limits: Limits) -> Request:
    """The header of what a client sent. Raises WireError, which names the limit where the message is too large."""
    check_size(parts, limits)
    return _decode(_requests, parts)


def check_size(parts: Sequence[Buffer], limits: Limits) -> None:
    """Raises WireError where a message is larger than a server takes."""
    if (num_bytes := sum(map(len, parts))) > limits.message_bytes:
        raise WireError(f"a message of {num_bytes} bytes: the limit is message_bytes = {limits.message_bytes}")
    if len(parts) - 1 > limits.buffers:
        raise WireError(f"a message of {len(parts) - 1} buffers: the limit is buffers = {limits.buffers}")
    if parts and len(parts[0]) > limits.header_bytes:
        raise WireError(f"a header of {len(parts[0])} bytes: the limit is header_bytes = {limits.header_bytes}")


def decode_reply(parts: Sequence[Buffer]) -> Reply:
    """The header of what a server sent. Raises WireError."""
    return _decode(_replies, parts)


def buffers_of(message: Call | Done | Preview, parts: Sequence[Buffer]) -> Mapping[Digest, Buffer]:
    """The buffers that came with a message, by their digests. Raises WireError where they do not fit."""
    if len(parts) - 1 != len(message.attached):
        raise WireError(f"the header names {len(message.attached)} buffers, {len(parts) - 1} came")
    return dict(zip(message.attached, parts[1:], strict=True))


def _decode(decoder: msgspec.msgpack.Decoder, parts: Sequence[Buffer]):
    if not parts:
        raise WireError("an empty message")
    try:
        return decoder.decode(parts[0])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"not a message of this protocol: {error}") from error
