"""The words of moves, as many as a person may type, and the small byte-level BPE that reads them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from bagel.tokenizer import PIECES

# What people type, a row for each move: all phrases of a row mean the same (world.words says what, in m and degrees).
# The first rows are the vocabulary's moves in its order, each beginning with its own words.
PHRASES: dict[str, tuple[str, ...]] = {
    "stay": ("stay", "wait", "stand still", "do nothing", "stop", "stay here", "stay still", "hold still"),
    "forward": (
        "move forward", "go forward", "walk ahead", "step forward", "walk forward", "go ahead", "move ahead", "forward",
        "go straight ahead", "take one step forward", "move one step forward", "walk straight ahead",
    ),
    "back": (
        "move back", "go back", "walk backwards", "step back", "move backwards", "go backwards", "walk back", "back",
        "step backwards", "take one step back", "move one step back", "move backward",
    ),
    "left": (
        "turn left", "rotate left", "turn to the left", "look left", "left", "look to the left", "rotate to the left",
        "pan left", "turn left 15 degrees", "turn 15 degrees left", "turn left once", "turn your head left",
    ),
    "right": (
        "turn right", "rotate right", "turn to the right", "look right", "right", "look to the right",
        "rotate to the right", "pan right", "turn right 15 degrees", "turn 15 degrees right", "turn right once",
        "turn your head right",
    ),
    "strafe_left": (
        "step left", "strafe left", "move left", "sidestep to the left", "step to the left", "go left", "slide left",
        "move to the left", "strafe to the left", "take one step left", "one step to the left", "sidestep left",
    ),
    "strafe_right": (
        "step right", "strafe right", "move right", "sidestep to the right", "step to the right", "go right",
        "slide right", "move to the right", "strafe to the right", "take one step right", "one step to the right",
        "sidestep right",
    ),
    "up": (
        "look up", "tilt up", "raise your head", "look higher", "up", "tilt your head up", "tilt the view up",
        "look upwards", "look up 10 degrees", "tilt up 10 degrees", "look 10 degrees up", "look up once",
    ),
    "down": (
        "look down", "tilt down", "lower your head", "look lower", "down", "tilt your head down", "tilt the view down",
        "look downwards", "look down 10 degrees", "tilt down 10 degrees", "look 10 degrees down", "look down once",
    ),
    "object_left": (
        "rotate the object left", "rotate the object to the left", "turn the object left", "spin it left",
        "rotate it left", "turn it left", "turn it to the left", "spin the object left", "turn the object to the left",
        "rotate it leftwards", "rotate it 15 degrees left", "spin it to the left",
    ),
    "object_right": (
        "rotate the object right", "rotate the object to the right", "turn the object right", "spin it right",
        "rotate it right", "turn it right", "turn it to the right", "spin the object right",
        "turn the object to the right", "rotate it rightwards", "rotate it 15 degrees right", "spin it to the right",
    ),
    "left 30": ("turn left 30 degrees", "turn left twice", "rotate left 30 degrees", "turn 30 degrees left"),
    "right 30": ("turn right 30 degrees", "turn right twice", "rotate right 30 degrees", "turn 30 degrees right"),
    "left 45": ("turn left 45 degrees", "rotate left 45 degrees", "turn 45 degrees left", "look left 45 degrees"),
    "right 45": ("turn right 45 degrees", "rotate right 45 degrees", "turn 45 degrees right", "look right 45 degrees"),
    "left 60": ("turn left 60 degrees", "rotate left 60 degrees", "turn 60 degrees left", "look left 60 degrees"),
    "right 60": ("turn right 60 degrees", "rotate right 60 degrees", "turn 60 degrees right", "look right 60 degrees"),
    "left 90": ("turn left 90 degrees", "rotate left 90 degrees", "turn 90 degrees left", "look left 90 degrees"),
    "right 90": ("turn right 90 degrees", "rotate right 90 degrees", "turn 90 degrees right", "look right 90 degrees"),
    "around": ("turn around", "turn left 180 degrees", "rotate left 180 degrees", "spin around"),
    "left a little": ("turn left a little", "turn left slightly", "look left a bit", "rotate left a little"),
    "right a little": ("turn right a little", "turn right slightly", "look right a bit", "rotate right a little"),
    "forward 2": ("go forward two steps", "move forward twice", "walk ahead 2 steps", "two steps forward"),
    "forward 3": ("go forward three steps", "walk ahead 3 steps", "three steps forward", "go forward 3 steps"),
    "forward half": ("half a step forward", "go forward half a step", "move forward a little", "go ahead a bit"),
    "back 2": ("go back two steps", "move back twice", "walk back 2 steps", "two steps back"),
    "back half": ("half a step back", "go back half a step", "move back a little", "step back a bit"),
    "strafe_left 2": ("strafe left twice", "two steps left", "go left two steps", "move left 2 steps"),
    "strafe_right 2": ("strafe right twice", "two steps right", "go right two steps", "move right 2 steps"),
    "up 20": ("look up 20 degrees", "look up twice", "tilt up 20 degrees", "look 20 degrees up"),
    "down 20": ("look down 20 degrees", "look down twice", "tilt down 20 degrees", "look 20 degrees down"),
    "forward, up": ("forward and look up", "go forward and look up", "walk ahead, look up", "step forward, look up"),
    "forward, down": (
        "forward and look down", "go forward and look down", "walk ahead, look down", "step forward, look down",
    ),
    "forward, left": ("forward and turn left", "go forward, turn left", "walk ahead, turn left", "forward, left"),
    "forward, right": ("forward and turn right", "go forward, turn right", "walk ahead, turn right", "forward, right"),
    "left, forward": ("turn left and go forward", "turn left, go forward", "turn left, walk ahead", "left, forward"),
    "right, forward": (
        "turn right and go forward", "turn right, go forward", "turn right, walk ahead", "right, forward",
    ),
    "object_left 30": ("rotate it 30 degrees left", "turn it left twice", "spin it left twice", "rotate it left twice"),
    "object_right 30": (
        "rotate it 30 degrees right", "turn it right twice", "spin it right twice", "rotate it right twice",
    ),
    "object_left 90": (
        "rotate it 90 degrees left", "turn it 90 degrees left", "spin it 90 degrees left", "turn it left 90 degrees",
    ),
    "object_right 90": (
        "rotate it 90 degrees right", "turn it 90 degrees right", "spin it 90 degrees right",
        "turn it right 90 degrees",
    ),
}  # fmt: skip

# The things of the scenes that one may ask about (Builder.at names them), and how one asks.
THINGS = (
    "picture", "sofa", "desk", "chair", "lamp", "plant", "shelf", "clock", "globe", "door", "chest", "duck", "gate",
    "barn", "mill", "lighthouse", "pond", "gazebo", "statue", "flowers", "tree", "car", "house", "vase", "teapot",
    "robot", "head", "totem", "cactus", "cubes", "blocks", "column",
)  # fmt: skip
SEVERAL = frozenset({"picture", "tree", "flowers", "column"})  # often more than one, so that "where" has no answer
QUESTIONS: dict[str, tuple[str, ...]] = {
    "see": ("do you see the {thing}?", "can you see the {thing}?", "is the {thing} in view?"),
    "where": ("where is the {thing}?", "on which side is the {thing}?", "left, middle or right: the {thing}?"),
    "far": ("how far is the {thing}?", "how far away is the {thing}?"),
    "near": ("is the {thing} near?", "is the {thing} close?"),
    "reached": ("have you reached the {thing}?", "are you at the {thing}?"),
    "place": ("where are you?", "what place is this?", "which place do you see?"),
}

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
