"""BAGEL as a judge: how likely its answer to a question about a picture begins with yes rather than no.

B pictures, V tokens of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from bagel.context import EMPTY
from bagel.prefill import SeenPicture, Words, prefill
from bagel.tokenizer import Tokenizer
from bagel.weights import Checkpoint
from bagel.write import write
from world.errors import ModelError

YES, NO = ("Yes", "yes", " Yes", " yes"), ("No", "no", " No", " no")


@torch.inference_mode()
def chances_of_yes(checkpoint: Checkpoint, pictures: Sequence[SeenPicture], question: str) -> Tensor:
    """P(yes) [B], float32: the share of the answers that begin with yes among those that begin with yes or no.

    All pictures are one batch; the model writes a single token. Raises ModelError where the tokenizer begins both
    answers alike.
    """
    c, tokenizer = checkpoint, checkpoint.tokenizer
    firsts, others = first_tokens(tokenizer, YES), first_tokens(tokenizer, NO)
    yes, no = [t for t in firsts if t not in others], [t for t in others if t not in firsts]  # a blank says nothing
    if not (yes and no):
        raise ModelError("this tokenizer begins yes and no with the same token: its model cannot judge")
    words = Words(tokenizer.prompt(question))
    contexts = prefill(c.model, tokenizer.image_markers, [EMPTY] * len(pictures), [[p, words] for p in pictures])
    logits: list[Tensor] = []
    write(c.model, contexts, tokenizer.start, tokenizer.end, 1, watch=logits.append)
    chances = torch.log_softmax(logits[0].float(), dim=-1)  # [B, V]
    return torch.sigmoid(chances[:, yes].logsumexp(dim=1) - chances[:, no].logsumexp(dim=1))


def first_tokens(tokenizer: Tokenizer, answers: Sequence[str]) -> list[int]:
    """The tokens with which the answers begin, each once."""
    return list(dict.fromkeys(tokenizer.encode(answer)[0] for answer in answers))
