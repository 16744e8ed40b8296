"""Conversations are values; painting and asking follow the published order."""

import hashlib

import pytest
from PIL import Image

from bagel.generate import THINK_TO_ANSWER, THINK_TO_PAINT, Conversation, ask, grid_of, imagine
from bagel.weights import Checkpoint
from bagel.write import write
from world.settings import SamplerConfig

SHORT = SamplerConfig(num_timesteps=3)


def test_the_thinking_prompts_are_the_published_ones() -> None:
    digests = [hashlib.sha256(prompt.encode()).hexdigest()[:16] for prompt in (THINK_TO_ANSWER, THINK_TO_PAINT)]
    assert digests == ["5eff00888fdf6b91", "837914a3f5f8ec1b"]
    assert (len(THINK_TO_ANSWER), len(THINK_TO_PAINT)) == (227, 209)


def test_each_branch_lacks_what_it_must(checkpoint: Checkpoint, pictures: list[Image.Image]) -> None:
    said = Conversation(checkpoint).system("plan").picture(pictures[0]).text("a").text("b")
    assert [len(c.segments) for c in (said.gen, said.cfg_text, said.cfg_image)] == [5, 4, 3]
    shown = said.picture(pictures[1])
    assert shown.cfg_text == shown.gen
    assert shown.cfg_image == said.cfg_image
    thought = said.thought("c")
    assert len(thought.gen.segments) == 6
    assert (thought.cfg_text, thought.cfg_image) == (said.cfg_text, said.cfg_image)


def test_a_conversation_shares_its_past(checkpoint: Checkpoint, pictures: list[Image.Image]) -> None:
    one = Conversation(checkpoint).picture(pictures[0])
    two = one.text("a")
    assert two.gen.segments[0] is one.gen.segments[0]
    assert len(one.gen.segments) == 2


def test_the_last_picture_gives_the_size(checkpoint: Checkpoint, pictures: list[Image.Image]) -> None:
    turns = [pictures[0], "turn left", pictures[1], "turn right"]
    image, thought = imagine(checkpoint, turns, SHORT, size=(32, 32))
    assert (image.size, thought) == ((64, 96), "")


def test_a_seed_repeats_its_picture_and_another_does_not(checkpoint: Checkpoint) -> None:
    first, again, other = (imagine(checkpoint, ["a cube"], SHORT, seed, (32, 48))[0] for seed in (1, 1, 2))
    assert first.size == (48, 32)
    assert first.tobytes() == again.tobytes() != other.tobytes()


def test_words_and_pictures_both_change_what_is_painted(checkpoint: Checkpoint, pictures: list[Image.Image]) -> None:
    flipped = pictures[0].transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    turns = ([pictures[0], "a"], [pictures[0], "b"], [flipped, "a"])
    assert len({imagine(checkpoint, turn, SHORT)[0].tobytes() for turn in turns}) == 3


def test_a_thought_is_told_and_changes_the_picture(checkpoint: Checkpoint) -> None:
    plain, _ = imagine(checkpoint, ["a cube"], SHORT, size=(32, 32))
    planned, thought = imagine(checkpoint, ["a cube"], SHORT, size=(32, 32), think_length=5)
    assert thought
    assert planned.tobytes() != plain.tobytes()


def test_a_size_that_the_model_cannot_paint_is_refused(checkpoint: Checkpoint) -> None:
    assert grid_of(checkpoint, (64, 128)) == (4, 8)
    for size in ((60, 64), (64, 144), (0, 16)):
        with pytest.raises(ValueError, match="multiples of 16 from 16 to 128"):
            grid_of(checkpoint, size)


def test_answers_repeat_greedily_and_by_seed(checkpoint: Checkpoint, pictures: list[Image.Image]) -> None:
    turns = [pictures[0], "what is this?"]
    assert ask(checkpoint, turns, 6) == ask(checkpoint, turns, 6, seed=9)
    assert ask(checkpoint, turns, 6, temperature=2.0, seed=1) == ask(checkpoint, turns, 6, temperature=2.0, seed=1)
    assert ask(checkpoint, turns, 6, temperature=9.0, seed=1) != ask(checkpoint, turns, 6, temperature=9.0, seed=2)


def test_contexts_written_together_say_what_each_says_alone(
    checkpoint: Checkpoint, pictures: list[Image.Image]
) -> None:
    t, empty = checkpoint.tokenizer, Conversation(checkpoint)
    contexts = [empty.picture(p, vae=False).text(words).gen for p, words in zip(pictures, ("a", "bb", ""), strict=True)]
    alone = [write(checkpoint.model, [context], t.start, 312, 9)[0] for context in contexts]
    assert write(checkpoint.model, contexts, t.start, 312, 9) == alone
    assert all(ids[0] == t.start and 312 not in ids and len(ids) <= 9 for ids in alone)


def test_chance_without_a_generator_is_refused(checkpoint: Checkpoint) -> None:
    with pytest.raises(ValueError, match="generator for each context"):
        write(checkpoint.model, [Conversation(checkpoint).text("a").gen], 1, 2, 3, temperature=1.0)
