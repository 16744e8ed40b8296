from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bagel.judge import chances, first_tokens, spellings
from bagel.tiny import TINY
from bagel.weights import Checkpoint, load
from bagel.world_model import BagelWorldModel
from world import models
from world.errors import ModelError
from world.looks import YES_OR_NO, Judge, Looks, likeness
from world.types import Frame


@pytest.fixture
def checkpoint(golden: Path) -> Checkpoint:
    """One of its own: a world model lays the autoencoder's weights out anew."""
    return load(golden)


@pytest.fixture
def frames() -> list[Frame]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (64, 64, 3), dtype=np.uint8) for _ in range(3)]


def test_a_batch_of_pictures_is_judged_as_each_alone(checkpoint: Checkpoint, frames: list[Frame]) -> None:
    model = BagelWorldModel(checkpoint, "golden")
    together = model.chances(frames, "Is there a cactus?", YES_OR_NO)
    alone = [model.chances([frame], "Is there a cactus?", YES_OR_NO)[0] for frame in frames]
    assert together == pytest.approx(np.stack(alone), abs=1e-5)
    assert together.sum(axis=1) == pytest.approx(1.0, abs=1e-6)
    yes = together[:, 0]
    assert ((yes > 0) & (yes < 1)).all()
    assert len(set(yes.round(6))) == 3
    assert model.chances(frames[:1], "Is there a pond?", YES_OR_NO)[0, 0] != yes[0]


def test_yes_weighed_against_no_is_what_the_logits_say(checkpoint: Checkpoint, frames: list[Frame]) -> None:
    """The first token of an answer in the published order of a conversation: picture, question, answer."""
    import torch
    from PIL import Image

    from bagel.generate import Conversation
    from bagel.write import write

    model, tokenizer = BagelWorldModel(checkpoint, "golden"), checkpoint.tokenizer
    said = Conversation(checkpoint).picture(Image.fromarray(frames[0]), vae=False).text("Is there a cactus?")
    logits: list[torch.Tensor] = []
    write(checkpoint.model, [said.gen], tokenizer.start, tokenizer.end, 1, watch=logits.append)
    weights: NDArray[np.float64] = np.exp(logits[0][0].double().numpy())
    yes, no = {"Y", "y"}, {"N", "n"}
    shares = [sum(weights[t] for t in first_tokens(tokenizer, sorted(words))) for words in (yes, no)]
    assert {tokenizer.decode(first_tokens(tokenizer, [word])) for word in ("Yes", "yes")} == yes
    expected = shares[0] / sum(shares)
    found = model.chances(frames[:1], "Is there a cactus?", YES_OR_NO)
    assert found[0, 0] == pytest.approx(expected, abs=1e-4)


def test_a_tokenizer_that_begins_both_alike_cannot_judge(checkpoint: Checkpoint) -> None:
    with pytest.raises(ModelError, match="begins yes and yes with the same token: its model cannot judge"):
        chances(checkpoint, [], "?", ("yes", "yes"))


def test_an_answer_is_known_however_it_is_spelled() -> None:
    assert set(spellings("yes")) == {"yes", "Yes", " yes", " Yes"}


def test_a_model_that_has_not_learned_to_answer_says_so(mute: Path, frames: list[Frame]) -> None:
    model = BagelWorldModel(load(mute), "mute")
    with pytest.raises(ModelError, match="mute has not learned to answer"):
        model.chances(frames, "Is there a cactus?", YES_OR_NO)


def test_the_shipped_model_knows_where_it_is_and_what_is_there(frames: list[Frame]) -> None:
    model = BagelWorldModel(load(TINY), "tiny")
    assert isinstance(model, Looks)
    assert isinstance(model, Judge)
    scenes = [models.load_scene(name) for name in ("studio", "gallery", "garden", "tabletop:duck")]
    states = model.reset(scenes, [0] * len(scenes))
    assert model.ask(states, "where are you?") == ["studio", "gallery", "garden", "tabletop"]
    duck = model.chances([s.frame for s in states], "do you see the duck?", YES_OR_NO)[:, 0]
    assert duck[3] > 0.9
    assert max(duck[:2]) < 0.1
    features = model.features([*frames, frames[0]])
    same, other = likeness(features[[0, 0]], features[[3, 1]])
    assert same == pytest.approx(1.0, abs=1e-5)
    assert other < 0.9
