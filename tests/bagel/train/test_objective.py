"""What is trained is what is used: one packed window predicts as the sampler does from contexts, one by one."""

import dataclasses

import pytest
import torch

from bagel.config import WalkConfig, read_config
from bagel.context import EMPTY
from bagel.prefill import LatentPicture, Words, prefill
from bagel.sampler import Velocity
from bagel.tiny import TINY
from bagel.tokenizer import Tokenizer
from bagel.train.layout import Layout
from bagel.train.places import Telling
from bagel.train.poses import NOWHERE, PoseWords
from bagel.train.world import Objective, Phrases, WorldTraining, draw_times, fade, with_room
from bagel.weights import Checkpoint
from world.phrases import PHRASES
from world.types import Action, Pose, vocabulary
from world.words import understand

GRID = (2, 2)
AIMS = "{scene} {aim}: {action}"
SCENES = ("studio", "gallery", "tabletop teapot")
TEXTS = ("turn left", "", "rotate the object right")


@pytest.fixture(scope="module")
def texts(checkpoint: Checkpoint) -> list[list[int]]:
    return [checkpoint.tokenizer.prompt(text) if text else [] for text in TEXTS]


def test_a_packed_window_predicts_what_the_sampler_would(checkpoint: Checkpoint, texts: list[list[int]]) -> None:
    model, markers = checkpoint.model, checkpoint.tokenizer.image_markers
    words = max(map(len, texts))
    layout = Layout(len(texts) + 1, GRID[0] * GRID[1], words)
    objective = Objective(model, checkpoint.tokenizer, layout, 1, "cpu")
    generator = torch.Generator().manual_seed(0)
    clean, noised = torch.randn(2, 1, 3, 4, model.config.latent_channels, generator=generator)
    t = torch.tensor([0.9, 0.5, 0.1])
    with torch.no_grad():
        times = torch.cat((torch.zeros(3), t))[None, :, None]
        rows = model.embed_latents(torch.cat((clean, noised), 1), times, objective.grid)
        ids = torch.tensor([[text + [0] * (words - len(text)) for text in texts]])
        packed = objective.forward(rows.flatten(1, 2), ids, torch.tensor([[len(text) for text in texts]]))
        context = EMPTY
        for i, text in enumerate(texts):
            blocks = [LatentPicture(clean[0, i], GRID), *([Words(text)] if text else [])]
            context = prefill(model, markers, [context], [blocks])[0]
            alone = Velocity(model, markers, [context], GRID)(noised[:, i], t[i])
            torch.testing.assert_close(packed.unflatten(1, (3, 4))[:, i], alone, atol=2e-5, rtol=1e-4)


def test_a_place_that_words_alone_tell_is_what_the_sampler_would_draw(
    checkpoint: Checkpoint, texts: list[list[int]]
) -> None:
    model, markers = checkpoint.model, checkpoint.tokenizer.image_markers
    words, texts = max(map(len, texts)), [text for text in texts if text]
    telling = Telling(model, markers, Objective(model, checkpoint.tokenizer, Layout(2, 4, 3), 1, "cpu").grid)
    noised = torch.randn(2, 4, model.config.latent_channels)
    t, lengths = torch.tensor([1.0, 0.3]), torch.tensor([len(text) for text in texts])
    ids = torch.tensor([text + [7] * (words - len(text)) for text in texts])
    with torch.no_grad():
        told = telling.velocity(noised, t, ids, lengths)
        for i, text in enumerate(texts):
            context = prefill(model, markers, [EMPTY], [[Words(text)]])[0]
            alone = Velocity(model, markers, [context], GRID)(noised[i : i + 1], t[i])
            torch.testing.assert_close(told[i : i + 1], alone, atol=2e-5, rtol=1e-4)
    pictures = torch.randn(2, 4, model.config.latent_channels)
    one = telling.loss(pictures, torch.zeros(2), ids, lengths, torch.tensor([1.0, 0.0]))
    both = telling.loss(pictures, torch.zeros(2), ids, lengths, torch.ones(2))
    assert one.requires_grad
    assert one != both
    assert telling.loss(pictures, t, ids, lengths, torch.zeros(2)) == 0


def test_phrases_name_the_place_unless_dropped(checkpoint: Checkpoint) -> None:
    walk = dataclasses.replace(checkpoint.config.walk, prompt="{scene}: {action}")
    phrases = Phrases(checkpoint.tokenizer, walk, (("studio", "garden"), tuple(PHRASES.values())), 40, "cpu")
    plain = WorldTraining(drop_words=0, drop_scene=0, other_words=0)
    ids, lengths, _ = phrases.draw(torch.tensor([1]), torch.tensor([[3, 1]]), None, plain)
    read = [checkpoint.tokenizer.decode(row[1 : n - 1].tolist()) for row, n in zip(ids[0], lengths[0], strict=True)]
    assert read == ["garden: turn left", "garden: move forward"]
    nowhere = dataclasses.replace(plain, drop_scene=1.0)
    ids, lengths, _ = phrases.draw(torch.tensor([1]), torch.tensor([[3]]), None, nowhere)
    assert checkpoint.tokenizer.decode(ids[0, 0, 1 : lengths[0, 0] - 1].tolist()) == "turn left"
    silent = dataclasses.replace(plain, drop_words=1.0)
    assert phrases.draw(torch.tensor([1]), torch.tensor([[3]]), None, silent)[1].item() == 0


def spoken(prompt: str, c: WorldTraining) -> tuple[Tokenizer, WalkConfig, Phrases, WorldTraining]:
    """The shipped model's words, telling where moves lead as in `prompt`."""
    tokenizer, walk = (
        Tokenizer.from_directory(TINY),
        dataclasses.replace(read_config(TINY).walk, prompt=prompt, scenes=SCENES),
    )
    c = with_room(c, tokenizer, (SCENES, tuple(PHRASES.values())), walk)
    return tokenizer, walk, Phrases(tokenizer, walk, (SCENES, tuple(PHRASES.values())), c.words, "cpu"), c


@pytest.mark.parametrize("prompt", [AIMS, "{action} {aim}, {scene}", "{scene}: {action}"])
def test_what_is_drawn_is_what_a_walk_says_wherever_it_leads(prompt: str) -> None:
    plain = WorldTraining(words=20, drop_words=0, drop_scene=0, other_words=0, drop_aim=0)
    tokenizer, walk, phrases, c = spoken(prompt, plain)
    generator = torch.Generator().manual_seed(0)
    scenes = torch.randint(len(SCENES), (64,), generator=generator)
    moves = torch.randint(len(PHRASES), (64, 7), generator=generator)
    poses = (torch.rand(64, 7, 5, generator=generator) * 2 - 1) * torch.tensor([4.2, 4.0, 180.0, 50.0, 180.0])
    poses[::2] = (poses[::2] * 2).round() / 2  # many at a half
    poses[1::4, :, :2] = (poses[1::4, :, :2] * 200).round() / 200
    wordings = list(PHRASES.values())
    ids, lengths, _ = phrases.draw(scenes, moves, poses, c)
    for i in range(64):
        for j in range(7):
            action = understand(wordings[moves[i, j]][0], vocabulary())
            text = walk.words(SCENES[scenes[i]], action, Pose(*poses[i, j].tolist()))
            assert ids[i, j, : lengths[i, j]].tolist() == tokenizer.prompt(text)


def test_a_share_of_windows_and_what_has_no_place_do_not_tell_where_a_move_leads() -> None:
    c = WorldTraining(drop_words=0, drop_scene=0, other_words=0, drop_aim=0.5)
    tokenizer, _, phrases, c = spoken(AIMS, c)
    scenes, moves = torch.ones(40, dtype=torch.long), torch.full((40, 2), 3)
    poses = torch.tensor([1.25, -0.4, 90.0, -10.0, 45.0]).expand(40, 2, 5)

    def said(text: str) -> tuple[tuple[int, ...], ...]:
        return (tuple(tokenizer.prompt(text)),) * 2

    def read(c: WorldTraining) -> list[tuple[tuple[int, ...], ...]]:
        ids, lengths, told = phrases.draw(scenes, moves, poses, c)
        assert torch.equal(told, lengths > 10)
        rows = zip(ids.flatten(0, 1), lengths.flatten(), strict=True)
        texts = [tuple(row[:n].tolist()) for row, n in rows]
        return list(zip(texts[::2], texts[1::2], strict=True))

    whole, without = said("gallery x+126 y-040 yaw090 pitch-10 object045: turn left"), said("gallery: turn left")
    assert set(read(c)) == {whole, without}  # of a window all or none
    assert set(read(dataclasses.replace(c, drop_aim=1.0))) == {without}
    assert set(read(dataclasses.replace(c, drop_scene=1.0))) == {said("turn left")}
    ids, lengths, told = phrases.draw(scenes, moves, None, c)  # walks in no such scene
    assert not told.any()
    assert tokenizer.decode(ids[0, 0, 1 : lengths[0, 0] - 1].tolist()) == "gallery: turn left"


def test_numbers_that_cannot_be_put_in_are_refused() -> None:
    with pytest.raises(ValueError, match="joins the numbers of"):
        spoken("{scene}, ({aim}): {action}", WorldTraining())
    tokenizer = Tokenizer.from_directory(TINY)
    encode = tokenizer.encode
    tokenizer.encode = lambda text: encode(text.replace("yaw100", "yaw1"))
    with pytest.raises(ValueError, match="must split digits"):
        PoseWords(tokenizer, dataclasses.replace(read_config(TINY).walk, prompt=AIMS), "cpu")


def test_a_text_that_does_not_fit_is_refused(checkpoint: Checkpoint) -> None:
    with pytest.raises(ValueError, match="raise `words`"):
        Phrases(checkpoint.tokenizer, checkpoint.config.walk, (("studio",), tuple(PHRASES.values())), 4, "cpu")


def test_every_move_has_phrases_of_its_own() -> None:
    phrases = [phrase for move in PHRASES.values() for phrase in move]
    assert len(set(phrases)) == len(phrases)


def test_the_first_moves_are_the_vocabulary() -> None:
    first = [(name, phrases[0]) for name, phrases in PHRASES.items()][: len(vocabulary())]
    assert first == [(action.name, action.text) for action in vocabulary()]


@pytest.mark.parametrize("move", PHRASES)
def test_all_phrases_of_a_move_mean_the_same(move: str) -> None:
    meant = {dataclasses.replace(understand(phrase, vocabulary()), text="", name="") for phrase in PHRASES[move]}
    assert len(meant) == 1
    assert (meant == {Action("")}) == (move == "stay")


def test_all_phrases_fit_the_windows_of_the_shipped_model() -> None:
    tokenizer, walk = Tokenizer.from_directory(TINY), read_config(TINY).walk
    said = (*walk.scenes, "maze"), tuple(PHRASES.values())
    phrases = Phrases(tokenizer, walk, said, with_room(WorldTraining(), tokenizer, said, walk).words, "cpu")
    told = phrases.places.view(phrases.shape) != NOWHERE
    assert told[:-2].float().mean() > 0.97  # a long sentence about a long name may leave the place out
    assert not told[-2:].any()  # a maze and nowhere


def test_times_lie_in_the_unit_interval_and_some_are_pure_noise() -> None:
    torch.manual_seed(0)
    t = draw_times((4000,), WorldTraining(), "cpu")
    assert t.min() >= 0
    assert t.max() <= 1
    assert (t == 1).float().mean() == pytest.approx(WorldTraining().pure, abs=0.03)


def test_what_is_kept_for_a_frame_is_what_the_loss_compares_with_it(checkpoint: Checkpoint) -> None:
    """From pure noise the velocity's error is the predicted latents' own error."""
    torch.manual_seed(0)
    layout = Layout(4, GRID[0] * GRID[1], 3)
    objective = Objective(checkpoint.model, checkpoint.tokenizer, layout, 2, "cpu")
    past, following = torch.randn(2, 2, 3, 4, checkpoint.model.config.latent_channels)
    ids, lengths = torch.ones(2, 3, 3, dtype=torch.long), torch.full((2, 3), 3)
    loss, predicted = objective.loss(past, following, ids, lengths, WorldTraining(pure=1.0))
    assert loss.requires_grad
    assert not predicted.requires_grad
    torch.testing.assert_close((predicted - following).square().mean(), loss.detach(), rtol=1e-4, atol=1e-5)


def test_clean_pictures_fade_a_little() -> None:
    torch.manual_seed(0)
    past = torch.full((2, 2000, 1, 8), 10.0)
    level = 1 - fade(past, WorldTraining(noisy=0.8, noise=0.15)).mean((2, 3)) / 10
    assert (level.abs() < 1e-6).float().mean() == pytest.approx(0.2, abs=0.05)
    assert level.max() < 0.3
