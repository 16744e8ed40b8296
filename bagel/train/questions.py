"""Questions about what is seen, their true answers, and the loss of answering them.

A row is one picture with one question and its answer, in BAGEL's own order for understanding:

    [image start] [ViT rows] [image end] [question] [answer]

The picture takes one position and sees itself whole, words see all before them; question and answer have fixed slots.

B rows, T things, K kinds of question, M patches, Q and A slots of question and answer, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from bagel.embed import grid_positions
from bagel.model import Bagel
from bagel.tokenizer import Tokenizer
from bagel.train.data import ASKED, Walks
from bagel.transformer import rotary
from bagel.vit import cut_patches
from world.questions import AHEAD, FARTHEST, QUESTIONS, REACHED, SEEN, SEVERAL, THINGS, far_words

SHARE, X, DISTANCE, FOUND = range(4)  # of a sight, as numbers (found: 1 yes, 0 no, -1 unknown)
KINDS = tuple(QUESTIONS)
_WORDS = ("yes", "no", "left", "middle", "right", *(far_words(n) for n in range(1, FARTHEST + 1)), "far")


@dataclass(frozen=True)
class Asked:
    """B questions with their answers: ids [B, Q] and [B, A], rows [B] each; weight 0 where the truth is unclear."""

    question: Tensor
    question_rows: Tensor
    answer: Tensor
    answer_rows: Tensor
    weight: Tensor
    kind: Tensor  # into KINDS


class Questions:
    """All questions and answers as tables on the device, and how they are drawn."""

    def __init__(self, tokenizer: Tokenizer, scenes: tuple[str, ...], present: Tensor) -> None:
        """present: bool [S, T], which things a scene ever shows."""
        device = present.device
        most = max(map(len, QUESTIONS.values()))
        questions = [
            tokenizer.prompt(phrases[k % len(phrases)].format(thing=thing))
            for phrases in QUESTIONS.values()
            for k in range(most)
            for thing in THINGS
        ]
        answers = [tokenizer.prompt(words) for words in (*_WORDS, *scenes)]
        self.questions, self.question_rows = _table(questions, device)
        self.answers, self.answer_rows = _table(answers, device)
        self.most, self.present = most, present
        self.several = torch.tensor([thing in SEVERAL for thing in THINGS], device=device)

    def draw(self, sights: Tensor, scenes: Tensor) -> Asked:
        """One question for each of B pictures with sights [B, T, 4] of scenes [B]; half of the yes-or-no are yes."""
        b, device = len(sights), sights.device
        kind = torch.randint(len(KINDS), (b,), device=device)
        yes = torch.rand(b, device=device) < 0.5
        thing = self._thing(sights, scenes, kind, yes)
        answer, clear = _truth(kind, *sights[torch.arange(b, device=device), thing].unbind(-1))
        clear &= ~self.several[thing] | (kind != KINDS.index("where"))
        answer = torch.where(kind == KINDS.index("place"), len(_WORDS) + scenes, answer)
        wording = torch.randint(self.most, (b,), device=device)
        row = (kind * self.most + wording) * len(THINGS) + thing
        return Asked(
            self.questions[row],
            self.question_rows[row],
            self.answers[answer],
            self.answer_rows[answer],
            clear.float(),
            kind,
        )

    def _thing(self, sights: Tensor, scenes: Tensor, kind: Tensor, yes: Tensor) -> Tensor:
        """What is asked about: seen where that is needed; to ask whether it is reached, what is, or what is nearest and
        most ahead, and else mostly what is seen and is not.
        """
        seen, found = sights[..., SHARE] >= SEEN, sights[..., FOUND]
        chance = torch.rand(seen.shape, device=seen.device)
        absent = ~seen & (self.present[scenes] | (torch.rand_like(chance) < 0.2))
        reached = kind == KINDS.index("reached")
        doubtful = (kind == KINDS.index("see")) | reached
        wanted = torch.where((yes | ~doubtful)[:, None], seen, absent)
        aside = (sights[..., X] - 0.5).abs() / AHEAD[0]
        nearest = torch.where(found > 0, 1 + chance, 1 / (1 + sights[..., DISTANCE] + aside))
        missed = (reached & ~yes & (torch.rand_like(chance[:, 0]) < 0.7))[:, None] & seen & (found == 0)
        chance = torch.where((reached & yes)[:, None], nearest, chance)
        return torch.where(wanted, 1 + chance, torch.where(missed, 3 + chance, chance)).argmax(-1)


def _truth(kind: Tensor, share: Tensor, x: Tensor, distance: Tensor, found: Tensor) -> tuple[Tensor, Tensor]:
    """world.questions.truth for B sights: the answer, into _WORDS, and whether there is one."""
    seen, hidden = share >= SEEN, share == 0
    off = (x - 0.5).abs()
    side = torch.where(x < 0.5, _WORDS.index("left"), _WORDS.index("right"))
    side = torch.where(off < 0.1, _WORDS.index("middle"), side)
    meters = distance.round().clamp(1, FARTHEST + 1).long() - 1 + _WORDS.index("1 meter")
    yes, no = _WORDS.index("yes"), _WORDS.index("no")
    known = found >= 0
    reached = seen & torch.where(known, found > 0, (distance < REACHED[0]) & (off < AHEAD[0]))
    elsewhere = hidden | torch.where(known, found == 0, (distance > REACHED[1]) | (seen & (off > AHEAD[1])))
    by_kind = {
        "see": (torch.where(seen, yes, no), seen | hidden),
        "where": (side, seen & ((off - 0.1).abs() > 0.03)),
        "far": (meters, seen & ((distance - distance.floor() - 0.5).abs() > 0.1)),
        "near": (torch.where(distance < 2.0, yes, no), seen & ((distance - 2.0).abs() > 0.2)),
        "reached": (torch.where(reached, yes, no), reached | elsewhere),
        "place": (torch.zeros_like(side), torch.ones_like(seen)),
    }
    answers, clear = (torch.stack([by_kind[k][i] for k in KINDS], -1) for i in range(2))  # [B, K]
    return answers.gather(-1, kind[:, None])[:, 0], clear.gather(-1, kind[:, None])[:, 0]


def seeing(mask: Tensor) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Attention where mask [B, T, T] says so. Plainly: on an H100 a run with torch's choice of kernel for so few masked
    rows turned to nan."""

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], 1) for x in (k, v))
        scores = (q @ k.mT).float() * q.shape[-1] ** -0.5
        return scores.masked_fill(~mask[:, None], float("-inf")).softmax(-1).to(v.dtype) @ v

    return attend


class Answering:
    """The cross entropy of answers, averaged over those beyond doubt."""

    def __init__(self, model: Bagel, tokenizer: Tokenizer) -> None:
        self.model = model
        self.marks = torch.tensor(tokenizer.image_markers, device=model.device)

    def loss(self, pictures: Tensor, asked: Asked) -> Tensor:
        """pictures uint8 [B, H, W, 3]."""
        logits, targets, there = self._read(pictures, asked)
        each = F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), reduction="none").unflatten(
            0, targets.shape
        )
        weight = there * asked.weight[:, None]
        return (each * weight).sum() / weight.sum().clamp(min=1)

    @torch.no_grad()
    def right(self, pictures: Tensor, asked: Asked) -> Tensor:
        """bool [B]: whether the whole answer would be written, word for word."""
        logits, targets, there = self._read(pictures, asked)
        return ((logits.argmax(-1) == targets) | ~there).all(-1)

    def _read(self, pictures: Tensor, asked: Asked) -> tuple[Tensor, Tensor, Tensor]:
        """Logits [B, A - 1, V], the ids that they should choose, and which of these are there."""
        model = self.model
        b, num_asked, size = len(pictures), asked.question.shape[1], model.config.vision.patch_size
        height, width = pictures.shape[1] // size, pictures.shape[2] // size
        grid = grid_positions(height, width, model.config.vit_max_num_patch_per_side, pictures.device)
        patches = cut_patches((pictures.float() / 255 * 2 - 1).permute(0, 3, 1, 2), size)
        seen = model.embed_patches(patches, grid.expand(b, -1))
        start, end = model.embed_ids(self.marks)[:, None].expand(-1, b, -1).unsqueeze(2)
        words = model.embed_ids(torch.cat((asked.question, asked.answer[:, :-1]), 1))
        und = torch.cat((start, seen, end, words), 1)
        num_picture, num_answer = len(grid) + 2, asked.answer.shape[1] - 1
        place = torch.arange(num_asked + num_answer, device=und.device)
        gap = num_asked - asked.question_rows[:, None]  # unused slots between question and answer
        position = torch.where(place < num_asked, 1 + place, 1 + place - gap)
        position = torch.cat((position.new_zeros(b, num_picture), position), 1)
        row = torch.arange(und.shape[1], device=und.device)
        empty = (row >= num_picture + asked.question_rows[:, None]) & (row < num_picture + num_asked)
        mask = ((row <= row[:, None]) | (row < num_picture)) & ~empty[:, None] | torch.eye(
            len(row), dtype=torch.bool, device=und.device
        )
        ropes = rotary(position, und.shape[1], model.config.language, und.dtype)
        gen, attend = und[:, :0], seeing(mask)
        for layer in model.transformer.layers:
            und, gen = layer(und, gen, ropes, attend)
        logits = model.transformer.head(model.transformer.norm_und(und[:, -num_answer:]))
        there = torch.arange(num_answer, device=und.device) < asked.answer_rows[:, None] - 1
        return logits, asked.answer[:, 1:], there


def asking_about(
    walks: Walks, pictures: Tensor, about: Tensor, model: Bagel, tokenizer: Tokenizer, num: int
) -> Callable[[], Tensor] | None:
    """The loss of answering questions about `num` of the pictures [W, L, H, W, 3], drawn at every call from
    the walks `about`, bool [W]; None where nobody knows what is seen."""
    if walks.sights is None:
        return None
    device, pictures = pictures.device, pictures[:, ::ASKED]
    sights, scenes = (torch.from_numpy(np.array(a)).to(device) for a in (walks.sights, walks.scenes))
    questions = Questions(tokenizer, walks.names, present(walks.sights, walks.scenes, str(device)))
    answering, about = Answering(model, tokenizer), about.nonzero()[:, 0]

    def loss() -> Tensor:
        w = about[torch.randint(len(about), (num,), device=device)]
        frame = torch.randint(pictures.shape[1], (num,), device=device)
        return answering.loss(pictures[w, frame], questions.draw(sights[w, frame], scenes[w]))

    return loss


def present(sights: NDArray[np.float32], scenes: NDArray[np.int64], device: str) -> Tensor:
    """bool [S, T]: which things the walks through each scene ever show, from [W, S, T, 4] and [W]."""
    ever = sights[..., SHARE].max(axis=1) > 0  # [W, T]
    rows = [ever[scenes == scene].any(axis=0) for scene in range(scenes.max() + 1)]
    return torch.from_numpy(np.stack(rows)).to(device)


def _table(rows: list[list[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Rows of ids padded with 0 to one length, and their lengths."""
    most = max(map(len, rows))
    return torch.tensor([r + [0] * (most - len(r)) for r in rows], device=device), torch.tensor(
        [len(r) for r in rows], device=device
    )
