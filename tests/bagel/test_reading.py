"""Reading in buffers of few shapes gives the plain model's contexts, and a walk soon needs no further buffer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch._dynamo.utils import counters

from bagel import reading, world_model
from bagel.compiled import use_compiled
from bagel.config import WalkConfig
from bagel.context import EMPTY, Context
from bagel.generate import encode_picture, see_picture
from bagel.graphs import MIN_COLUMNS
from bagel.prefill import Block, Words, prefill
from bagel.reading import Readings, padded
from bagel.transforms import resize, to_pixels
from bagel.weights import Checkpoint, load
from bagel.world_model import BagelWorldModel
from world.settings import PRESETS, SamplerConfig
from world.types import Action, Pose, Scene, Start, State

TWO_BRANCHES = SamplerConfig(num_timesteps=3, cfg_image_scale=1.0)


@pytest.fixture
def buffered(fast: Checkpoint) -> Checkpoint:
    """As `Loading.compile` makes it."""
    fast.model.readings = Readings(fast.model)
    return fast


@pytest.fixture(scope="module")
def shown(checkpoint: Checkpoint, pictures: list[Image.Image]) -> list[list[Block]]:
    """Pictures of several sizes, each as latents and as what the ViT sees."""
    made: list[list[Block]] = []
    for picture in pictures:
        small = resize(picture, checkpoint.config.vae_transform)
        seen = see_picture(checkpoint, to_pixels(resize(small, checkpoint.config.vit_transform)))
        made.append([encode_picture(checkpoint, to_pixels(small)), seen])
    return made


@pytest.fixture
def scene() -> Scene:
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    return Scene("", "", (Start("start", Pose(), frame),), (Action("turn left"), Action("walk to the blue door")))


def words(count: int) -> Words:
    return Words([5 + i % 7 for i in range(count)])


def read(checkpoint: Checkpoint, contexts: Sequence[Context], blocks: Sequence[Sequence[Block]]) -> list[Context]:
    return prefill(checkpoint.model, checkpoint.tokenizer.image_markers, contexts, blocks)


def assert_near(got: Sequence[Context], expected: Sequence[Context]) -> None:
    assert [c.position for c in got] == [c.position for c in expected]
    for one, other in zip(got, expected, strict=True):
        for a, b in zip(one.segments, other.segments, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def readings_of(checkpoint: Checkpoint) -> Readings:
    assert checkpoint.model.readings is not None
    return checkpoint.model.readings


@pytest.mark.parametrize("inference", [False, True])
def test_a_picture_and_words_of_any_number_are_read_as_by_the_plain_model(
    buffered: Checkpoint, checkpoint: Checkpoint, shown: list[list[Block]], inference: bool
) -> None:
    with torch.inference_mode(inference):
        for count in (1, 15, 16, 17, 32, 33):
            for picture in ([], *shown):
                blocks = [[*picture, words(count)]]
                assert_near(read(buffered, [EMPTY], blocks), read(checkpoint, [EMPTY], blocks))
        assert_near(read(buffered, [EMPTY], [shown[0][:1]]), read(checkpoint, [EMPTY], [shown[0][:1]]))


def test_rows_that_differ_in_past_and_blocks_are_read_together(
    buffered: Checkpoint, checkpoint: Checkpoint, shown: list[list[Block]]
) -> None:
    pasts = [EMPTY, *read(checkpoint, [EMPTY], [[*shown[1], words(3)]]), *read(checkpoint, [EMPTY], [[words(9)]])]
    plans = [[*shown[0], words(4)], [words(20)], []]
    for order in ([0, 1, 2], [2, 0, 1], [1, 2, 0]):  # all in the same buffer
        contexts, blocks = [pasts[i] for i in order], [plans[i] for i in order]
        assert_near(read(buffered, contexts, blocks), read(checkpoint, contexts, blocks))
    assert sum(isinstance(kept, reading.Reading) for kept in readings_of(buffered)._readings.values()) == 1


def test_walks_in_turn_and_side_by_side_grow_as_with_the_plain_model(
    buffered: Checkpoint, checkpoint: Checkpoint, shown: list[list[Block]]
) -> None:
    starts = read(checkpoint, [EMPTY] * 2, [[words(MIN_COLUMNS - 40)], [words(5)]])  # one is near a buffer's edge
    plain, ours = list(starts), list(starts)
    for step in range(6):
        for rows in ([0], [1], [0, 1]):
            blocks: list[list[Block]] = [[*shown[0], words(6 + step)] for _ in rows]
            for walks, model in ((plain, checkpoint), (ours, buffered)):
                for row, after in zip(rows, read(model, [walks[row] for row in rows], blocks), strict=True):
                    walks[row] = after
        assert_near(ours, plain)


def test_a_context_that_has_grown_brings_only_its_newest_blocks(buffered: Checkpoint, checkpoint: Checkpoint) -> None:
    grown = read(checkpoint, [EMPTY], [[words(20)]])
    for count in (5, 6, 7):
        past, expected = grown, read(checkpoint, grown, [[words(count)]])
        got = read(buffered, past, [[words(count)]])
        torch.testing.assert_close(got[0].segments[-1], expected[0].segments[-1], rtol=1e-5, atol=1e-5)
        following = read(checkpoint, got, [[words(8)]])
        past[0].segments[0].add_(1)  # nobody does that: here it shows that it is not looked at again
        again = read(buffered, got, [[words(8)]])
        torch.testing.assert_close(again[0].segments[-1], following[0].segments[-1], rtol=1e-5, atol=1e-5)
        past[0].segments[0].sub_(1)
        grown = got


def test_what_a_buffer_held_before_never_shows(buffered: Checkpoint, checkpoint: Checkpoint) -> None:
    [long] = read(checkpoint, [EMPTY], [[words(30)]])
    wrong = replace(long, segments=(torch.full_like(long.segments[0], float("nan")),))
    assert read(buffered, [wrong], [[words(14)]])[0].segments[1].isnan().any()
    [short] = read(checkpoint, [EMPTY], [[words(4)]])
    assert_near(read(buffered, [short], [[words(3)]]), read(checkpoint, [short], [[words(3)]]))
    assert_near(read(buffered, [long], [[words(3)]]), read(checkpoint, [long], [[words(3)]]))


def test_contexts_own_their_memory_and_outlive_what_is_read_next(
    buffered: Checkpoint, shown: list[list[Block]]
) -> None:
    [context] = read(buffered, [EMPTY], [[*shown[0], words(4)]])
    kept = [segment.clone() for segment in context.segments]
    read(buffered, [EMPTY], [[*shown[0], Words([9] * 4)]])
    for segment, before in zip(context.segments, kept, strict=True):
        assert torch.equal(segment, before)
        assert segment.untyped_storage().nbytes() == segment.numel() * segment.element_size()


def test_two_hundred_steps_of_a_walk_make_no_buffer_and_compile_nothing_after_the_tenth(
    buffered: Checkpoint, shown: list[list[Block]]
) -> None:
    context, readings, made, forms = EMPTY, readings_of(buffered), 0, 0
    for step, length in zip(range(200), cycle(range(5, 12)), strict=False):
        if step % 3 == 0:  # the history is full
            context = EMPTY
        [context] = read(buffered, [context], [[*shown[0], words(length)]])
        if step == 9:
            made, forms = readings.made, counters["stats"]["unique_graphs"]
    assert readings.made == made <= 4  # without a past and with one, and the vision encoder's
    assert counters["stats"]["unique_graphs"] == forms > 0


def test_many_rows_are_read_by_the_plain_model(
    buffered: Checkpoint, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MAX_NEW", 31)
    for count in (16, 17):
        assert_near(read(buffered, [EMPTY], [[words(count)]]), read(checkpoint, [EMPTY], [[words(count)]]))
    assert readings_of(buffered).made == 1
    assert readings_of(buffered).of([EMPTY], 1, 0) is not None
    monkeypatch.setattr(reading, "MAX_COLUMNS", MIN_COLUMNS)
    [past] = read(checkpoint, [EMPTY], [[words(2)]])
    assert readings_of(buffered).of([past], 1, 0) is None


def test_only_the_latest_used_buffers_are_kept(buffered: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "KEPT", 2)
    readings = readings_of(buffered)
    for rows in (1, 2, 1, 3, 1, 2):
        readings.of([EMPTY] * rows, 5, 0)
    assert readings.made == 4
    assert [shape[0] for shape in readings._readings] == [1, 2]


def test_buffers_have_few_numbers_of_rows() -> None:
    assert [padded(n, 0) for n in (1, 16, 17, 32, 33, 342)] == [16, 16, 32, 32, 64, 352]
    assert (padded(342, 15 * 17) + 15 * 17) % 8 == 0


@pytest.mark.parametrize("history", [1, 3])
def test_a_walk_reads_the_same_frames_in_buffers(
    buffered: Checkpoint, golden: Path, scene: Scene, history: int
) -> None:
    plain = load(golden, "cpu")  # one of its own: a walk lays the autoencoder out anew
    for a, b in zip(*(walked(c, scene, history, TWO_BRANCHES) for c in (buffered, plain)), strict=True):
        assert np.abs(a.frame.astype(int) - b.frame).max() <= 2


def walked(checkpoint: Checkpoint, scene: Scene, history: int, sampler: SamplerConfig) -> list[State]:
    """All states of two walks of five steps in one batch."""
    walk = WalkConfig(history=history, preset="walk")
    model = BagelWorldModel(replace(checkpoint, config=replace(checkpoint.config, walk=walk)), "golden", sampler)
    states, passed = model.reset([scene] * 2, [1, 2]), []
    for step in range(5):
        states = model.step(states, [scene.actions[step % 2], scene.actions[0]])
        passed += states
    return passed


@pytest.mark.parametrize("history", [1, 3])
def test_words_alone_are_read_only_where_guidance_asks_for_pictures(
    golden: Path, scene: Scene, history: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint, calls = load(golden, "cpu"), list[bool]()

    def counted(*args: object) -> list[Context]:
        blocks = args[-1]
        assert isinstance(blocks, list)
        calls.append(all(isinstance(block, Words) for row in blocks for block in row))
        return prefill(*args)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(world_model, "prefill", counted)
    few = walked(checkpoint, scene, history, TWO_BRANCHES)
    assert calls
    assert not any(calls)
    monkeypatch.setattr(world_model, "num_branches", lambda sampler: 3)  # as if it did
    for a, b in zip(few, walked(checkpoint, scene, history, TWO_BRANCHES), strict=True):
        assert np.array_equal(a.frame, b.frame)
    assert any(calls)


def test_the_third_branch_takes_both_scales() -> None:
    assert [world_model.num_branches(PRESETS[name]) for name in ("fast", "fast_edit", "edit")] == [1, 2, 3]


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore:TensorFloat32")  # the compiler's advice for float32
@pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, 1e-4), (torch.bfloat16, 5e-2)])
def test_on_cuda_graphs_read_what_the_plain_model_reads(
    golden: Path, shown: list[list[Block]], dtype: torch.dtype, limit: float
) -> None:
    torch._dynamo.reset()  # there is room for few compiled forms
    plain, fast = load(golden, "cuda", dtype), load(golden, "cuda", dtype)
    use_compiled(fast.model, one_device=True)
    for rows in (1, 2):
        a, b = [EMPTY] * rows, [EMPTY] * rows
        for step in range(4):
            blocks = [[*shown[0], words(5 + step)], [words(20)]][:rows]
            a, b = read(fast, a, blocks), read(plain, b, blocks)
            for one, other in zip(a, b, strict=True):
                assert one.position == other.position
                for x, y in zip(one.segments, other.segments, strict=True):
                    assert (x - y).float().norm() <= limit * y.float().norm()


@pytest.mark.gpu
@pytest.mark.parametrize("history", [1, 3])
def test_on_cuda_a_walk_captures_nothing_after_its_first_steps(golden: Path, scene: Scene, history: int) -> None:
    torch._dynamo.reset()
    plain, fast = load(golden, "cuda", torch.float32), load(golden, "cuda", torch.float32)
    use_compiled(fast.model, one_device=True)
    for a, b in zip(*(walked(c, scene, history, TWO_BRANCHES) for c in (fast, plain)), strict=True):
        assert np.abs(a.frame.astype(int) - b.frame).mean() <= 1
    made = readings_of(fast).made
    walked(fast, scene, history, TWO_BRANCHES)
    assert readings_of(fast).made == made
