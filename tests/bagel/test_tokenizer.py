"""The tokenizer beyond the golden table: markers, special tokens inside texts, files that do not fit together."""

import json
from pathlib import Path

import pytest

from bagel.tokenizer import MARKERS, Tokenizer
from bagel.weights import Checkpoint
from world.errors import ModelError


@pytest.fixture(scope="module")
def tokenizer(checkpoint: Checkpoint) -> Tokenizer:
    return checkpoint.tokenizer


def test_a_prompt_is_a_text_between_its_markers_and_nothing_else(tokenizer: Tokenizer) -> None:
    assert tokenizer.prompt("") == [tokenizer.start, tokenizer.end]
    assert tokenizer.prompt("a cube")[1:-1] == tokenizer.encode("a cube")


def test_special_tokens_inside_a_text_are_read_as_such(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("a<|vision_start|>b")[1] == tokenizer.image_start


def test_texts_are_normalised(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("cafe\u0301") == tokenizer.encode("caf\u00e9")


@pytest.mark.parametrize(
    "text", ["turn left", "  two  blanks ", "naïve 42 Würfel 立方体 🥯\n\nend", "\t<think>x</think>"]
)
def test_texts_come_back(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_spare_embedding_rows_have_no_text(tokenizer: Tokenizer) -> None:
    assert tokenizer.decode([*tokenizer.encode("a"), len(tokenizer), len(tokenizer) + 30]) == "a"


def test_an_answer_stands_between_the_first_markers(tokenizer: Tokenizer) -> None:
    said = tokenizer.encode("yes")
    assert tokenizer.answer([tokenizer.start, *said]) == "yes"
    assert tokenizer.answer([tokenizer.start, *said, tokenizer.end, *said]) == "yes"
    assert tokenizer.answer([tokenizer.start, *said, tokenizer.start, *said]) == "yes"


def test_missing_markers_are_added_behind_the_vocabulary(copied: Path) -> None:
    config = json.loads((copied / "tokenizer_config.json").read_text())
    declared = config["added_tokens_decoder"]
    config["added_tokens_decoder"] = {n: t for n, t in declared.items() if t["content"] not in MARKERS and n == "512"}
    (copied / "tokenizer_config.json").write_text(json.dumps(config))
    made = Tokenizer.from_directory(copied)
    assert [made.start, made.end, *made.image_markers] == [513, 514, 515, 516]
    assert len(made) == 517


def test_files_of_different_models_are_refused(copied: Path) -> None:
    config = json.loads((copied / "tokenizer_config.json").read_text())
    config["added_tokens_decoder"] = {"600": config["added_tokens_decoder"]["512"]}
    (copied / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"gives '<\|endoftext\|>' the id 600"):
        Tokenizer.from_directory(copied)
    (copied / "merges.txt").write_text("Ġaa Ġbb\n", encoding="utf-8")
    with pytest.raises(ModelError, match=r"merges\.txt joins"):
        Tokenizer.from_directory(copied)


def test_all_missing_files_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"vocab\.json, merges\.txt, tokenizer_config\.json"):
        Tokenizer.from_directory(tmp_path)
