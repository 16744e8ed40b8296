"""BAGEL as a judge: how likely its answer to a question about a picture is one of a few words, each against the others.

A answers, B pictures, V tokens of the vocabulary.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor

from bagel.context import EMPTY
from bagel.prefill import SeenPicture, Words, prefill
from bagel.tokenizer import Tokenizer
from bagel.weights import Checkpoint
from bagel.write import write
from world.errors import ModelError


@torch.inference_mode()
def chances(checkpoint: Checkpoint, pictures: Sequence[SeenPicture], question: str, answers: Sequence[str]) -> Tensor:
    """P(answer) [B, A], float32, rows of sum 1: the share of what begins with each answer in what begins with any.

    All pictures are one batch; the model writes a single token. Raises ModelError where the tokenizer begins an answer
    like the others.
    """
    c, tokenizer = checkpoint, checkpoint.tokenizer
    firsts = [first_tokens(tokenizer, spellings(answer)) for answer in answers]
    count = Counter(token for tokens in firsts for token in tokens)
    own = [[token for token in tokens if count[token] == 1] for tokens in firsts]  # a blank says nothing
    if not all(own):
        raise ModelError(f"this tokenizer begins {' and '.join(answers)} with the same token: its model cannot judge")
    words = Words(tokenizer.prompt(question))
    contexts = prefill(c.model, tokenizer.image_markers, [EMPTY] * len(pictures), [[p, words] for p in pictures])
    logits: list[Tensor] = []
    write(c.model, contexts, tokenizer.start, tokenizer.end, 1, watch=logits.append)
    weights = torch.stack([logits[0].float()[:, tokens].logsumexp(dim=1) for tokens in own], dim=1)  # [B, A]
    return weights.softmax(dim=1)


def spellings(answer: str) -> tuple[str, ...]:
    """How a model may begin to write it."""
    return tuple(blank + word for blank in ("", " ") for word in (answer.capitalize(), answer))


def first_tokens(tokenizer: Tokenizer, answers: Sequence[str]) -> list[int]:
    """The tokens with which the answers begin, each once."""
    return list(dict.fromkeys(tokenizer.encode(answer)[0] for answer in answers))
