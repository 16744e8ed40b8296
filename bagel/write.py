"""Writing: the model continues contexts with text, greedily or by chance.

B contexts, V vocabulary, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from bagel.context import Context
from bagel.model import Bagel


@torch.no_grad()
def write(
    model: Bagel,
    contexts: Sequence[Context],
    start: int,
    end: int,
    max_length: int,
    temperature: float = 0.0,
    generators: Sequence[torch.Generator] | None = None,
    watch: Callable[[Tensor], None] | None = None,
) -> list[list[int]]:
    """The ids that follow each context, `start` included and `end` not, at most max_length (bagel-spec 7.5).

    Temperature 0 takes the likeliest token; above it a token is drawn with the row's generator (on the CPU).
    `watch` receives the logits [B, V] of every step. The contexts stay as they are.
    """
    if temperature > 0 and generators is None:
        raise ValueError("a temperature above 0 needs a generator for each context")
    batch = model.batch(contexts, max_length)
    written: list[list[int]] = [[] for _ in contexts]
    tokens, done = [start] * len(contexts), [False] * len(contexts)
    for step in range(max_length):
        for ids, token, finished in zip(written, tokens, done, strict=True):
            if not finished:
                ids.append(token)
        und = model.embed_ids(torch.tensor(tokens, device=model.device))[:, None]  # [B, 1, D]
        und, _ = model.transformer(und, und[:, :0], batch.positions[:, None] + step, batch.attend)
        batch.keep()
        logits = model.transformer.head(und[:, 0])  # [B, V]
        if watch is not None:
            watch(logits)
        if temperature > 0 and generators is not None:
            chances = torch.softmax(logits.float() / temperature, dim=-1).cpu()
            tokens = [int(torch.multinomial(c, 1, generator=g)) for c, g in zip(chances, generators, strict=True)]
        else:
            tokens = logits.argmax(dim=-1).tolist()
        done = [finished or token == end for finished, token in zip(done, tokens, strict=True)]
        if all(done):
            break
    return written
