"""The messages: LINK.md shows what is sent, values come back as they were, and what is not a message is told."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.world.toy_world import toy_scene
from world import wire
from world.types import Action, Pose, Scene, Start, State
from world.values import (
    DTYPES,
    OVERHEAD,
    Names,
    Packer,
    Store,
    UnknownArrayError,
    Unpacker,
    array_from,
    digest_of,
    finder,
)
from world.wire import Array, Limits, WireError

PAGE = (Path(wire.__file__).parent / "LINK.md").read_text(encoding="utf-8")
EXAMPLES = [bytes.fromhex(text) for text in re.findall(r"^```hex\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)]
SESSION = bytes(range(16))
PIXELS = bytes.fromhex("ff00000000ff")


def test_the_bytes_of_the_page_are_those_that_are_sent() -> None:
    frame = np.array([[[255, 0, 0], [0, 0, 255]]], np.uint8)
    scene = Scene("s", "c", (Start("d", Pose(), frame),), (Action("stay", "stay"),))
    packer = Packer(Names(), ())
    step = wire.Call(
        session=SESSION,
        number=2,
        verb="step",
        model="tiny",
        timeout_ms=5000,
        states=(packer.state(State(scene, (frame,), (), Pose(), 3)),),
        scenes=packer.scenes,
        actions=(Action("go on", forward=0.5),),
        attached=tuple(packer.attached),
    )
    words = "256 requests wait already: the limit is max-waiting = 256"
    messages = (
        wire.Hello(session=SESSION, number=1, version=wire.VERSION),
        step,
        wire.Refused(session=SESSION, number=2, reason="busy", words=words, retry_after_ms=40),
    )
    assert [wire.encode(message) for message in messages] == EXAMPLES
    assert [bytes(buffer) for buffer in packer.buffers()] == [PIXELS]


def test_the_bytes_of_the_page_are_understood() -> None:
    hello, call = wire.decode_request(EXAMPLES[:1], Limits()), wire.decode_request([EXAMPLES[1], PIXELS], Limits())
    assert isinstance(hello, wire.Hello)
    assert isinstance(call, wire.Call)
    find = finder(wire.buffers_of(call, [EXAMPLES[1], PIXELS]), Names(), lambda name: None, verify=True)
    reader = Unpacker(find, Limits())
    reader.read_scenes(call.scenes)
    state = reader.state(call.states[0])
    assert state.frame.tolist() == [[[255, 0, 0], [0, 0, 255]]]
    assert (state.scene.name, state.seed, call.actions[0].forward) == ("s", 3, 0.5)


def test_the_page_names_every_message_and_every_key() -> None:
    for union in (wire.Request, wire.Reply):
        for message in union.__args__:
            assert f"`{message.__name__.lower()}`" in PAGE
            for key in message.__struct_fields__:
                assert f"`{key}`" in PAGE, f"{message.__name__}.{key}"
    for reason in wire.Reason.__args__:
        assert f"`{reason}`" in PAGE, reason


texts = st.text(max_size=12)
numbers = st.floats(allow_nan=False, allow_infinity=False)
actions = st.builds(Action, texts, texts, numbers, numbers, numbers, numbers, numbers)
poses = st.builds(Pose, numbers, numbers, numbers, numbers, numbers)
frames = hnp.arrays(np.uint8, st.tuples(st.integers(1, 5), st.integers(1, 5), st.just(3)))
memories = st.sampled_from(sorted(DTYPES)).flatmap(lambda d: hnp.arrays(np.dtype(d), hnp.array_shapes(max_dims=3)))


@st.composite
def states(draw: Any) -> State:
    num_frames = draw(st.integers(1, 3))
    several = {"min_size": num_frames, "max_size": num_frames}
    return State(
        toy_scene(draw(texts), size=12),
        tuple(draw(st.lists(frames, **several))),
        tuple(draw(actions) for _ in range(num_frames - 1)),
        draw(poses),
        draw(st.integers(0, 2**63 - 1)),
        draw(st.integers(0, 2**40)),
        tuple(draw(st.one_of(st.just([]), st.lists(memories, **several)))),
        draw(st.booleans()),
        tuple(Start(draw(texts), draw(poses), draw(frames)) for _ in range(draw(st.integers(0, 2)))),
        tuple(draw(poses) for _ in range(draw(st.sampled_from((0, num_frames - 1))))),
    )


@settings(max_examples=60, deadline=None)
@given(states())
def test_a_state_comes_back_as_it_was(state: State) -> None:
    packer = Packer(Names(), ())
    call = wire.Call(
        session=SESSION,
        number=0,
        verb="step",
        model="",
        timeout_ms=1,
        states=(packer.state(state),),
        scenes=packer.scenes,
        attached=tuple(packer.attached),
    )
    parts = [wire.encode(call), *packer.buffers()]
    again = wire.decode_request(parts, Limits())
    assert isinstance(again, wire.Call)
    reader = Unpacker(finder(wire.buffers_of(again, parts), Names(), lambda name: None, verify=True), Limits())
    reader.read_scenes(again.scenes)
    read = reader.state(again.states[0])
    assert (read.digest(), read.origins) == (state.digest(), state.origins)


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"\xc1",
        b"\x81",
        b"\x93\x01\x02\x03",
        b"\x81\xa4kind\xa4evil",
        b"\x80",
        b"\xdf\xff\xff\xff\xff",
        b"\x91" * 5000,
        wire.encode(wire.Need(session=SESSION, number=0)),
        EXAMPLES[0][:-1] + b"\xff",
    ],
)
def test_what_is_not_a_request_is_told(header: bytes) -> None:
    with pytest.raises(WireError):
        wire.decode_request([header], Limits())


@pytest.mark.parametrize(
    ("name", "num_bytes", "words"),
    [
        (Array(bytes(16), "|O8", (1,)), 8, "do not travel"),
        (Array(bytes(16), "<f4", (-1, -4)), 16, "none below 0"),
        (Array(bytes(16), "<f4", (1, 1, 1, 1, 4)), 16, "up to 4 sides"),
        (Array(bytes(16), "<f4", (5,)), 16, "takes 20 bytes, 16 came"),
        (Array(bytes(16), "|u1", (2**40, 2**40)), 16, "16 came"),
    ],
)
def test_an_array_that_cannot_be_is_told(name: Array, num_bytes: int, words: str) -> None:
    with pytest.raises(WireError, match=words):
        array_from(name, bytes(num_bytes))


def test_a_buffer_that_is_not_what_it_says_is_told() -> None:
    name = Array(digest_of(b"good"), "|u1", (4,))
    with pytest.raises(WireError, match="not what its digest says"):
        finder({name.digest: b"evil"}, Names(), lambda name: None, verify=True)(name)
    with pytest.raises(UnknownArrayError):
        finder({}, Names(), lambda name: None, verify=True)(name)


def test_a_header_of_many_small_values_is_not_read() -> None:
    call = {"kind": "call", "session": SESSION, "number": 1, "poses": [{}] * 10_000}  # each takes a byte
    with pytest.raises(WireError, match="length <= 4096"):
        wire.decode_request([msgspec.msgpack.encode(call)], Limits())


def test_a_memory_that_is_named_often_is_copied_once() -> None:
    memory = np.zeros(4)
    name, frame = Names().array(memory), Array(SESSION, "|u1", (1, 1, 3))
    still = wire.WireState(0, (frame,) * 3, (Action("x"),) * 2, Pose(), 0, 0, (name,) * 3)
    reader = Unpacker({name: memory, frame: np.zeros((1, 1, 3), np.uint8)}.__getitem__, Limits(), [toy_scene(size=12)])
    states = [reader.state(still) for _ in range(2)]
    assert len({id(copied) for state in states for copied in state.memory}) == 1
    assert states[0].memory[0] is not memory


def test_origins_are_as_many_as_actions_or_none_and_old_messages_have_none() -> None:
    frame = Array(SESSION, "|u1", (1, 1, 3))
    reader = Unpacker({frame: np.zeros((1, 1, 3), np.uint8)}.__getitem__, Limits(), [toy_scene(size=12)])
    still = wire.WireState(0, (frame,) * 3, (Action("x"),) * 2, Pose(), 0, 0, ())
    assert b"origins" not in msgspec.msgpack.encode(still)
    assert reader.state(still).origins == ()
    with pytest.raises(WireError, match="a state of 2 actions has 1 origins: as many, or none"):
        reader.state(msgspec.structs.replace(still, origins=(Pose(),)))
    with pytest.raises(WireError, match="numbers are finite here"):
        reader.state(msgspec.structs.replace(still, origins=(Pose(), Pose(x=float("nan")))))


def test_a_store_forgets_what_was_not_used_for_longest() -> None:
    store, arrays = Store(limit=2 * (8 + OVERHEAD)), [np.full(8, i, np.uint8) for i in range(3)]
    names = [Names().array(array) for array in arrays]
    for name, array in zip(names[:2], arrays[:2], strict=True):
        store.add(name, array)
    store.find(names[0])
    store.add(names[2], arrays[2])
    assert [name in store for name in names] == [True, False, True]
    assert store.num_bytes == store.limit


def test_read_only_arrays_are_hashed_once_and_others_each_time() -> None:
    names, array = Names(), np.zeros(4, np.uint8)
    before = names.array(array)
    array[0] = 1
    assert names.array(array) != before
    array.flags.writeable = False
    assert names.array(array) is names.array(array)
