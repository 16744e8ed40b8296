"""Walks written as one line of text: `forward*4 left*2 /open the door/ object_left*6`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from world.types import Action, WorldSpec

MAX_ACTIONS = 100_000  # a slip of the finger ("forward*1000000000") must not fill the memory

_SENTENCE = re.compile(r"/(?P<text>[^\s/](?:.*?\S)?)/(?:\*(?P<count>\S+))?(?=\s|$)")
_NAME = re.compile(r"(?P<name>[^\s*]+)(?:\*(?P<count>\S*))?(?=\s|$)")
_WORD = re.compile(r"\S+")


def parse_script(script: str, actions: Sequence[Action]) -> list[Action]:
    """The actions that `script` spells out, in order.

    A word is the name of one of `actions`, or a free sentence between slashes; `*N` repeats it N times. A sentence
    that a vocabulary action already uses as its words becomes that action, numbers included.
    Raises ValueError, naming the word, where it stands and the nearest valid name.
    """
    by_name = {action.name: action for action in actions}
    by_text = {action.text: action for action in actions}
    walk: list[Action] = []
    position, word_number = 0, 0
    while (start := _next_word(script, position)) is not None:
        word_number += 1
        place = f"word {word_number}, column {start + 1}"
        match = (_SENTENCE if script[start] == "/" else _NAME).match(script, start)
        if match is None:
            raise ValueError(_malformed(script, start, place))
        if script[start] == "/":
            text = match["text"]
            action = by_text.get(text, Action(text))
        else:
            name = match["name"]
            if name not in by_name:
                raise ValueError(_unknown(name, place, by_name))
            action = by_name[name]
        count = _count(match["count"], match.group(), place)
        if len(walk) + count > MAX_ACTIONS:
            raise ValueError(f"{match.group()!r} ({place}) makes the script longer than {MAX_ACTIONS} actions")
        walk += [action] * count
        position = match.end()
    if not walk:
        raise ValueError(f"the script is empty; write for example {'forward*4 left*2'!r}")
    return walk


def need_words(spec: WorldSpec, walk: Sequence[Action]) -> None:
    """Raises ValueError where the walk has a sentence that the model of `spec` does not read."""
    if "free_text" not in spec.supports and (free := [a.text for a in walk if not a.name]):
        raise ValueError(f"{spec.model} reads no sentences, so {free[0]!r} means nothing to it: name moves alone")


def nearest(word: str, names: Sequence[str]) -> str | None:
    """The name that `word` was probably meant to be, or None when nothing is close."""
    return next(iter(difflib.get_close_matches(word.lower(), names, n=1, cutoff=0.5)), None)


def _next_word(script: str, position: int) -> int | None:
    match = _WORD.search(script, position)
    return None if match is None else match.start()


def _count(digits: str | None, word: str, place: str) -> int:
    if digits is None:
        return 1
    if not digits.isascii() or not digits.isdigit() or not digits.strip("0"):
        raise ValueError(f"{word!r} ({place}) needs a whole number of at least 1 after the star, as in 'forward*4'")
    return int(digits) if len(digits) < 10 else MAX_ACTIONS + 1


def _unknown(name: str, place: str, by_name: dict[str, Action]) -> str:
    guess = nearest(name, list(by_name))
    cure = f"did you mean {guess!r}?" if guess else f"the names are {', '.join(by_name)};"
    return f"unknown action {name!r} ({place}): {cure} free sentences stand between slashes, as in /open the door/"


def _malformed(script: str, start: int, place: str) -> str:
    word = script[start:].split()[0]
    if script[start] == "/":
        return f"the sentence beginning with {word!r} ({place}) needs words and a closing slash, as in /open the door/"
    return f"cannot read {word!r} ({place}); write a name, or a name and how often, as in 'forward*4'"
