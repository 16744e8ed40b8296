"""The small byte-level BPE of the shipped model, what it is learnt on, and words for where one stands."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import Tensor

from bagel.model import Bagel
from bagel.pose_words import PARTS, Part
from bagel.tokenizer import PIECES, REQUIRED
from bagel.tokenizer import Tokenizer as Reader
from bagel.weights import Checkpoint
from world.phrases import PHRASES

# Qwen2.5's added tokens, in its order; the first fourteen are special.
ADDED = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>",
    "<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>",
    "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>", "<tool_call>",
    "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>",
    "<|repo_name|>", "<|file_sep|>",
)  # fmt: skip
NUM_SPECIAL = 14

# What else the tokenizer should know in few pieces: places, things, numbers, and how one asks and answers.
CORPUS = (
    "studio gallery garden tabletop room corridor kitchen street forest maze picture photo world "
    "rotate turn move look step the object by degrees to the left right up down forward back and then again twice "
    "one two three four five six seven eight nine ten half a little far near next to in front of behind beside between "
    "what where which how many is are there do you see can it this that here not no yes on under above below of with "
    "red green blue yellow orange purple white black grey brown pink dark light striped dotted round small large "
    "wall floor door window table chair sofa desk lamp shelf globe rug plant tree hedge pond path bench fence flower "
    "statue column picture painting car house vase teapot robot cup ball cube box north south east west reached goal "
    "in the middle straight ahead level walk go stay wait stop face facing looking standing close open visible"
)

_COARSEST, _FINEST = 16.0, 0.25  # m, of the waves that tell a distance
_TURNS = 24  # in a turn, of the finest wave that tells an angle
_MULTIPLE = 32  # rows of a vocabulary


def train_tokenizer(corpus: Iterable[str], directory: Path, vocab_size: int = 512) -> None:
    """Writes vocab.json, merges.txt, tokenizer.json and tokenizer_config.json of Qwen2's form, learnt on `corpus`."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()  # pyright: ignore[reportAttributeAccessIssue]
    split = pre_tokenizers.Split(Regex(PIECES), "isolated")
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, byte_level])  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.decoder = decoders.ByteLevel()  # pyright: ignore[reportAttributeAccessIssue]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(corpus, trainer)
    base = tokenizer.get_vocab_size()
    for i, token in enumerate(ADDED):
        add = tokenizer.add_special_tokens if i < NUM_SPECIAL else tokenizer.add_tokens
        add([token])
    directory.mkdir(parents=True, exist_ok=True)
    tokenizer.model.save(str(directory))
    tokenizer.save(str(directory / "tokenizer.json"))
    added = {
        str(base + i): {
            "content": token, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False,
            "special": i < NUM_SPECIAL,
        }
        for i, token in enumerate(ADDED)
    }  # fmt: skip
    config = {
        "add_bos_token": False,
        "add_prefix_space": False,
        "added_tokens_decoder": added,
        "additional_special_tokens": list(ADDED[1:NUM_SPECIAL]),
        "bos_token": None,
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>",
        "errors": "replace",
        "model_max_length": 131072,
        "pad_token": "<|endoftext|>",
        "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
    }
    (directory / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")


def corpus() -> list[str]:
    """What the shipped tokenizer is learnt on."""
    moves = [p for phrases in PHRASES.values() for p in phrases]
    places = [f"{place}: {phrases[0]}" for place in CORPUS.split()[:7] for phrases in PHRASES.values()]
    return moves + places + [" ".join(pair) for pair in pairwise(CORPUS.split())]


def with_pose_words(checkpoint: Checkpoint) -> Checkpoint:
    """The same model, to which each number of a pose is one token, blank before it included.

    Their embeddings begin as waves of the numbers: near places have near embeddings before anything is learnt.
    """
    tokenizer, model, c = checkpoint.tokenizer, checkpoint.model, checkpoint.config
    words = [word for part in PARTS for word in part.words]
    if len(tokenizer.encode(f" {words[0]}")) == 1:
        return checkpoint
    first, config = len(tokenizer), json.loads(tokenizer.files["tokenizer_config.json"])
    declared = {str(first + i): {"content": word, "lstrip": True} for i, word in enumerate(words)}
    config["added_tokens_decoder"] |= declared
    files = {name: content for name, content in tokenizer.files.items() if name in REQUIRED}
    files["tokenizer_config.json"] = (json.dumps(config, separators=(",", ":")) + "\n").encode()
    num_rows = max(c.language.vocab_size, -(-(first + len(words)) // _MULTIPLE) * _MULTIPLE)
    config = replace(c, language=replace(c.language, vocab_size=num_rows))
    larger, whole = Bagel(config).to(model.device, model.dtype), slice(c.language.vocab_size)
    state = model.state_dict()
    embed, head = (torch.zeros_like(m.weight) for m in (larger.transformer.embed, larger.transformer.head))
    embed[whole], head[whole] = state["transformer.embed.weight"], state["transformer.head.weight"]
    size = embed[:first].square().mean().sqrt()
    embed[first : first + len(words)] = size * torch.cat([_waves(part, embed.shape[1]) for part in PARTS]).to(embed)
    larger.load_state_dict(state | {"transformer.embed.weight": embed, "transformer.head.weight": head})
    return replace(checkpoint, model=larger.eval(), tokenizer=Reader(files), config=config)


def _waves(part: Part, width: int) -> Tensor:
    """Embeddings [words, width] of root mean square 1: sines and cosines of what each word means, mixed at random."""
    if part.per_unit == 1:
        turns = torch.arange(1, _TURNS + 1)
        rates, sizes = turns * math.pi / 180, turns**-0.5
    else:
        rates = 2 * math.pi / torch.logspace(math.log2(_COARSEST), math.log2(_FINEST), 2 * _TURNS, base=2)
        sizes = torch.ones_like(rates)
    phases = torch.tensor(part.values)[:, None] * rates
    waves = torch.cat((sizes * phases.sin(), sizes * phases.cos()), 1)
    mixed = waves @ torch.randn(waves.shape[1], width, generator=torch.Generator().manual_seed(PARTS.index(part)))
    return mixed / mixed.square().mean(1, keepdim=True).sqrt()
