"""Questions are true, and answering them in training is answering them in use."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from bagel.context import EMPTY
from bagel.prefill import SeenPicture, Words, prefill
from bagel.train.data import Walks
from bagel.train.questions import DISTANCE, FOUND, KINDS, SHARE, Answering, Asked, Questions, X
from bagel.train.validate import _answers
from bagel.vit import cut_patches
from bagel.weights import Checkpoint
from bagel.write import write
from world.questions import QUESTIONS, SEEN, THINGS, truth
from world.types import Sight

SCENES = ("studio", "garden")


@pytest.fixture(scope="module")
def questions(checkpoint: Checkpoint) -> Questions:
    return Questions(checkpoint.tokenizer, SCENES, torch.ones(2, len(THINGS), dtype=torch.bool))


def words(checkpoint: Checkpoint, ids: torch.Tensor, rows: torch.Tensor) -> list[str]:
    return [checkpoint.tokenizer.decode(row[1 : n - 1].tolist()) for row, n in zip(ids, rows, strict=True)]


def unseen() -> torch.Tensor:
    """Sights [1, T, 4] of things that are nowhere."""
    sights = torch.zeros(1, len(THINGS), 4)
    sights[..., FOUND] = -1
    return sights


def draw(questions: Questions, sights: torch.Tensor, num: int = 600) -> Asked:
    torch.manual_seed(0)
    return questions.draw(sights.expand(num, -1, -1), torch.arange(num) % 2)


def test_answers_are_what_the_sights_say(checkpoint: Checkpoint, questions: Questions) -> None:
    sights = unseen()
    sights[0, THINGS.index("duck")] = torch.tensor([0.1, 0.2, 1.2, -1])
    sights[0, THINGS.index("clock")] = torch.tensor([0.1, 0.45, 1.2, -1])
    sights[0, THINGS.index("sofa")] = torch.tensor([0.1, 0.5, 3.1, 0])
    sights[0, THINGS.index("globe")] = torch.tensor([0.1, 0.9, 4.1, 1])  # said by who knows
    sights[0, THINGS.index("lamp")] = torch.tensor([SEEN / 2, 0.9, 3.1, -1])  # hardly seen: nobody can say
    asked = draw(questions, sights, 3000)
    told = {}
    for kind, question, answer, weight in zip(
        asked.kind.tolist(),
        words(checkpoint, asked.question, asked.question_rows),
        words(checkpoint, asked.answer, asked.answer_rows),
        asked.weight.tolist(),
        strict=True,
    ):
        thing = next((t for t in THINGS if t in question), "")
        if weight:
            told.setdefault((KINDS[kind], thing), set()).add(answer)
    assert told["see", "duck"] == told["see", "sofa"] == {"yes"}
    assert told["see", "barn"] == {"no"}
    assert ("see", "lamp") not in told
    assert (told["where", "duck"], told["where", "sofa"]) == ({"left"}, {"middle"})
    assert (told["far", "duck"], told["far", "sofa"]) == ({"1 meter"}, {"3 meters"})
    assert (told["near", "duck"], told["near", "sofa"]) == ({"yes"}, {"no"})
    assert told["reached", "globe"] == {"yes"}
    assert told["reached", "sofa"] == {"no"}
    assert told["reached", "barn"] == {"no"}
    assert told["place", ""] == set(SCENES)


def test_many_answers_at_once_are_the_answers_one_by_one(checkpoint: Checkpoint, questions: Questions) -> None:
    generator = torch.Generator().manual_seed(0)
    share = torch.rand(600, len(THINGS), generator=generator) * 0.02 - 0.01
    x = torch.rand(600, len(THINGS), generator=generator)
    distance = 11 * torch.rand(600, len(THINGS), generator=generator)
    found = torch.randint(-1, 2, share.shape, generator=generator)
    sights = torch.stack((share.clamp(min=0), x, distance, found), -1)
    asked = questions.draw(sights, torch.zeros(600, dtype=torch.long))
    rows = zip(
        asked.kind.tolist(),
        words(checkpoint, asked.question, asked.question_rows),
        words(checkpoint, asked.answer, asked.answer_rows),
        asked.weight.tolist(),
        sights,
        strict=True,
    )
    for kind, question, answer, weight, seen in rows:
        if KINDS[kind] != "place":
            thing = next(t for t in THINGS if f"the {t}" in question)
            share, x, distance, found = seen[THINGS.index(thing)].tolist()
            sight = Sight(share, x, distance, None if found < 0 else bool(found))
            expected = truth(KINDS[kind], thing, sight if share else None)
            assert (answer if weight else None) == expected, question


def test_half_of_what_can_be_no_is_yes(checkpoint: Checkpoint, questions: Questions) -> None:
    sights = unseen()
    sights[0, :6] = torch.tensor([0.1, 0.5, 1.0, -1])
    asked = draw(questions, sights, 2000)
    answers = words(checkpoint, asked.answer, asked.answer_rows)
    for kind in ("see", "reached"):
        said = [a for a, k, w in zip(answers, asked.kind, asked.weight, strict=True) if KINDS[k] == kind and w]
        assert said.count("yes") / len(said) == pytest.approx(0.5, abs=0.08)


def test_a_packed_row_answers_as_the_model_does_in_use(checkpoint: Checkpoint, questions: Questions) -> None:
    model, tokenizer = checkpoint.model, checkpoint.tokenizer
    size = model.config.vision.patch_size
    pictures = torch.randint(256, (3, 2 * size, 3 * size, 3), generator=torch.Generator().manual_seed(0)).byte()
    sights = unseen()
    sights[..., (SHARE, X, DISTANCE)] = torch.tensor([0.1, 0.3, 2.6])
    asked = draw(questions, sights, 3)
    logits, targets, there = Answering(model, tokenizer)._read(pictures, asked)
    for i in range(3):
        patches = cut_patches((pictures[i].float() / 255 * 2 - 1).permute(2, 0, 1)[None], size)[0]
        ids = asked.question[i, : asked.question_rows[i]].tolist()
        blocks = [SeenPicture(patches, (2, 3)), Words(ids)]
        contexts = prefill(model, tokenizer.image_markers, [EMPTY], [blocks])
        seen: list[torch.Tensor] = []
        write(model, contexts, tokenizer.start, tokenizer.end, 1, watch=seen.append)
        torch.testing.assert_close(logits[i, 0], seen[0][0], atol=2e-4, rtol=1e-3)
        told = words(checkpoint, asked.answer, asked.answer_rows)[i]
        assert tokenizer.decode(targets[i][there[i]].tolist()).startswith(told)


def test_unclear_questions_weigh_nothing(checkpoint: Checkpoint, questions: Questions) -> None:
    answering = Answering(checkpoint.model, checkpoint.tokenizer)
    size = checkpoint.model.config.vision.patch_size
    pictures = torch.zeros(4, size, size, 3, dtype=torch.uint8)
    sights = torch.full((1, len(THINGS), 4), 0.5)
    asked = draw(questions, sights, 4)
    one = replace(asked, weight=torch.tensor([1.0, 0, 0, 0]))
    other = replace(one, answer=torch.cat((one.answer[:1], one.answer[:1].expand(3, -1))))
    torch.testing.assert_close(answering.loss(pictures, one), answering.loss(pictures, other))
    assert answering.loss(pictures, replace(asked, weight=torch.zeros(4))) == 0


def test_every_question_names_its_thing_or_none() -> None:
    for kind, phrases in QUESTIONS.items():
        assert all(("{thing}" in phrase) == (kind != "place") for phrase in phrases)
    assert len(set(THINGS)) == len(THINGS)


def test_measuring_answers_leaves_training_its_draws(checkpoint: Checkpoint) -> None:
    sights = np.full((1, 1, len(THINGS), 4), 0.5, np.float32)
    frames, actions = np.zeros((1, 2, 28, 28, 3), np.uint8), np.zeros((1, 1), np.int64)
    walks = Walks(SCENES[:1], (("stay",),), frames, actions, np.zeros(1, np.int64), sights=sights)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    assert "right" in _answers(checkpoint, walks, sights)
    assert torch.equal(torch.rand(3), expected)
