"""Qwen2's byte-level BPE, read from vocab.json, merges.txt and tokenizer_config.json. A prompt has no template."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers
from tokenizers import Tokenizer as Backend

from world.errors import ModelError

REQUIRED = ("vocab.json", "merges.txt", "tokenizer_config.json")
OPTIONAL = ("tokenizer.json",)  # written on for others, never read here
MARKERS = ("<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>")

# Qwen2's split: contractions, words with one leading mark, single digits, marks, line ends, blanks.
PIECES = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


class Tokenizer:
    """Text to ids and back.

    `start` and `end` wrap every text, `image_start` and `image_end` every picture block. Special tokens written
    inside a text are read as such, as the published code does. `files` are the bytes it was read from.
    """

    def __init__(self, files: Mapping[str, bytes]) -> None:
        """Raises ModelError naming the file that is broken."""
        self.files = dict(files)
        vocabulary = self._json("vocab.json")
        merges = _merges(self.files["merges.txt"])
        strangers = [pair for pair in merges if not {*pair, "".join(pair)} <= vocabulary.keys()]
        if strangers:
            raise ModelError(
                f"merges.txt joins {strangers[0]}, which vocab.json does not know: copy both from one model"
            )
        self.backend = Backend(models.BPE(vocab=vocabulary, merges=merges))
        self.backend.normalizer = normalizers.NFC()
        split = pre_tokenizers.Split(Regex(PIECES), behavior="isolated")
        byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        self.backend.pre_tokenizer = pre_tokenizers.Sequence([split, byte_level])
        self.backend.decoder = decoders.ByteLevel()
        self._add_declared()
        self.backend.add_special_tokens([AddedToken(m, special=True, normalized=False) for m in MARKERS])
        self.start, self.end, self.image_start, self.image_end = (self.id(m) for m in MARKERS)

    @property
    def image_markers(self) -> tuple[int, int]:
        """The ids before and after a picture block."""
        return self.image_start, self.image_end

    @classmethod
    def from_directory(cls, directory: Path) -> Tokenizer:
        """Reads the tokenizer files of a checkpoint directory. Raises ModelError naming all that are missing."""
        missing = [name for name in REQUIRED if not (directory / name).is_file()]
        if missing:
            raise ModelError(f"{directory} lacks {', '.join(missing)}: copy the tokenizer files from the release")
        return cls({n: (directory / n).read_bytes() for n in REQUIRED + OPTIONAL if (directory / n).is_file()})

    def __len__(self) -> int:
        """Number of ids that have a text; the embedding may have more rows."""
        return self.backend.get_vocab_size()

    def id(self, token: str) -> int:
        """The id of one whole token; ValueError where there is none."""
        found = self.backend.token_to_id(token)
        if found is None:
            raise ValueError(f"the tokenizer has no token {token!r}")
        return found

    def encode(self, text: str) -> list[int]:
        """The ids of a text, without start and end."""
        return self.backend.encode(text, add_special_tokens=False).ids

    def prompt(self, text: str) -> list[int]:
        """The ids of a text block: start, text, end. No roles, no newline; an empty text gives two ids."""
        return [self.start, *self.encode(text), self.end]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, special tokens included; ids that have no text (spare embedding rows) are left out."""
        return self.backend.decode([i for i in ids if i < len(self)], skip_special_tokens=False)

    def answer(self, ids: Sequence[int]) -> str:
        """The text that a model wrote: what stands between the first start and the first end (bagel-spec 7.5)."""
        text = self.decode(ids).split(MARKERS[1])[0]
        return text.split(MARKERS[0])[1] if MARKERS[0] in text else text

    def _json(self, name: str) -> dict:
        try:
            content = json.loads(self.files[name])
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
            raise ModelError(f"{name} cannot be read as JSON ({error}): copy it again from the release") from None
        if not isinstance(content, dict):
            raise ModelError(f"{name} holds a {type(content).__name__}, expected an object: copy it again")
        return content

    def _add_declared(self) -> None:
        """The added tokens of tokenizer_config.json, in the order of their ids, which they must get."""
        declared = self._json("tokenizer_config.json").get("added_tokens_decoder", {})
        for number, token in sorted((int(number), token) for number, token in declared.items()):
            flags = {k: bool(token.get(k, False)) for k in ("single_word", "lstrip", "rstrip", "normalized", "special")}
            add = self.backend.add_special_tokens if flags["special"] else self.backend.add_tokens
            add([AddedToken(token["content"], **flags)])
            if self.id(token["content"]) != number:
                raise ModelError(
                    f"tokenizer_config.json gives {token['content']!r} the id {number}, after vocab.json it gets "
                    f"{self.id(token['content'])}: the files come from different models, copy both from one"
                )


def _merges(content: bytes) -> list[tuple[str, str]]:
    """The pairs of merges.txt, whose first line may be a version."""
    lines = [line for line in content.decode("utf-8").split("\n") if line.strip() and not line.startswith("#version")]
    pairs = [tuple(line.split()) for line in lines]
    if any(len(pair) != 2 for pair in pairs):
        raise ModelError("merges.txt holds a line that is not a pair: copy it again from the release")
    return pairs  # pyright: ignore[reportReturnType]
