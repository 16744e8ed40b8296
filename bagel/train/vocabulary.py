"""The small byte-level BPE of the shipped model, and what it is learnt on."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from bagel.tokenizer import PIECES
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
