"""Walks written as text: `forward*4 left*90deg /open the door/ (object_left wait)*6 fork back*2 return`.

forward*4              a move of the scene, four times; back*1.2m and left*90deg count in its own metres and degrees
/open the door/*2      a sentence
wait*3                 the picture is held; the model is not asked
(forward left)*4       a loop
@door                  a checkpoint; inside a loop it is numbered: @view becomes view1, view2, ...
fork ... return        a branch from here; the walk goes on from the fork
fork@door ... return   a branch from a checkpoint; "start" is one
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from world.plan import START, Plan, Step
from world.types import Action, WorldSpec
from world.words import follows, understand

MAX_ACTIONS = 100_000  # a slip of the finger ("forward*1000000000") must not fill the memory
WORDS = ("wait", "fork", "return")  # what a script may hold beside the names of moves

_MAX_NESTING = 50
_WORD = re.compile(r"\S")
_SLIP = 1e-6  # of a count in metres or degrees
_TOKEN = re.compile(
    r"""/(?P<text>[^\s/](?:.*?\S)?)/(?:\*(?P<text_count>[^\s()]*))?(?=[\s()]|$)
    |   (?P<open>\()
    |   (?P<close>\))(?:\*(?P<close_count>[^\s()]*))?
    |   fork@(?P<fork>[^\s*()/@]*)(?=[\s()]|$)
    |   @(?P<mark>[^\s*()/@]*)(?=[\s()]|$)
    |   (?P<name>[^\s*()/@]+)(?:\*(?P<count>[^\s()]*))?(?=[\s()]|$)""",
    re.VERBOSE,
)


def parse_plan(script: str, actions: Sequence[Action], at: tuple[int, int] = (1, 1)) -> Plan:
    """The tree of steps that `script` spells out (see the head of this file), with the moves of `actions`.

    A sentence means what `world.words.understand` makes of it: a move with numbers, or words alone. `at` is the line
    and column where the script begins in its file. Raises ValueError with line, column, cause and the nearest
    valid word.
    """
    reader = _Reader(_tokens(script, at), actions)
    end = reader.read()
    if len(reader.steps) == 1:
        raise ValueError(f"the script is empty; write for example {'forward*4 left*2'!r}")
    return Plan(tuple(reader.steps), end, reader.checkpoints)


def parse_script(script: str, actions: Sequence[Action]) -> list[Action]:
    """The actions of a script that is one line of moves, in order; raises ValueError as `parse_plan` does."""
    plan = parse_plan(script, actions)
    walk = [step.action for step in plan.steps[1:] if step.action is not None]
    if len(walk) < len(plan.steps) - 1 or plan.line(plan.end) != list(range(len(plan.steps))):
        raise ValueError(
            f"{' '.join(script.split())!r} waits or forks, but here every step is a move: python -m scenes run walks it"
        )
    return walk


def need_words(spec: WorldSpec, walk: Sequence[Action]) -> None:
    """Raises ValueError where the walk has a sentence that means nothing to the model of `spec`.

    A world of exact poses follows the numbers that a sentence says, and needs no more.
    """
    if free := [action.text for action in walk if not follows(spec, action)]:
        raise ValueError(f"{spec.model} reads no sentences, so {free[0]!r} means nothing to it: name moves alone")


def nearest(word: str, names: Sequence[str]) -> str | None:
    """The name that `word` was probably meant to be, or None when nothing is close."""
    return next(iter(difflib.get_close_matches(word.lower(), names, n=1, cutoff=0.5)), None)


@dataclass(frozen=True)
class _Token:
    """A word of the script: what it is, as it stands there, and where."""

    match: re.Match[str]
    place: str

    @property
    def kind(self) -> str:
        if self.match["fork"] is not None or self.match["name"] == "fork":
            return "fork"
        if self.match["name"] == "return":
            return "return"
        return next(k for k in ("text", "open", "close", "mark", "name") if self.match[k] is not None)

    def __str__(self) -> str:
        return f"{self.match.group()!r} ({self.place})"


def _tokens(script: str, at: tuple[int, int]) -> list[_Token]:
    found: list[_Token] = []
    position, row, line_start = 0, 0, 0
    while (word := _WORD.search(script, position)) is not None:
        start = word.start()
        row += script.count("\n", position, start)
        line_start = max(line_start, script.rfind("\n", position, start) + 1)
        place = f"line {at[0] + row}, column {start - line_start + (1 if row else at[1])}"
        match = _TOKEN.match(script, start)
        if match is None:
            raise ValueError(_malformed(script[start:].split()[0], place))
        found.append(_Token(match, place))
        row += script.count("\n", start, match.end())
        line_start = max(line_start, script.rfind("\n", start, match.end()) + 1)
        position = match.end()
    return found


class _Reader:
    """Reads tokens into steps; a loop reads its tokens again and again."""

    def __init__(self, tokens: Sequence[_Token], actions: Sequence[Action]) -> None:
        self.steps = [Step(0, None)]
        self.checkpoints: dict[str, int] = {}
        self._tokens = tokens
        self._by_name = {action.name: action for action in actions}
        self._actions = tuple(actions)
        self._passed: dict[str, int] = {}  # how often a checkpoint in a loop was passed

    def read(self) -> int:
        """Reads everything; the last step of the main line."""
        i, end = self._sequence(0, 0, ())
        if i < len(self._tokens):
            opened = "no fork to return from" if self._tokens[i].kind == "return" else "no loop to close"
            raise ValueError(f"{self._tokens[i]}: there is {opened}")
        return end

    def _sequence(self, i: int, here: int, inside: tuple[_Token, ...]) -> tuple[int, int]:
        """Reads from token `i` at step `here` to what closes the innermost of `inside`: its index and the last step."""
        if len(inside) > _MAX_NESTING:
            raise ValueError(f"{inside[-1]}: loops and forks are nested more than {_MAX_NESTING} deep")
        while i < len(self._tokens) and (token := self._tokens[i]).kind not in ("close", "return"):
            i += 1
            if token.kind == "mark":
                self._mark(token, here, looping=any(t.kind == "open" for t in inside))
            elif token.kind == "fork":
                i = self._closed(*self._sequence(i, self._fork(token, here), (*inside, token)), token)[0] + 1
            elif token.kind == "open":
                i, here = self._loop(i, here, (*inside, token))
            else:
                here = self._move(token, here)
        return i, here

    def _loop(self, i: int, here: int, inside: tuple[_Token, ...]) -> tuple[int, int]:
        begun, num_steps = i, len(self.steps)
        i, here = self._closed(*self._sequence(begun, here, inside), inside[-1])
        count = _whole(self._tokens[i].match["close_count"], self._tokens[i])
        if len(self.steps) == num_steps:
            raise ValueError(f"{inside[-1]}: the loop has no step")
        for _ in range(count - 1):
            _, here = self._sequence(begun, here, inside)
        return i + 1, here

    def _closed(self, i: int, here: int, opened: _Token) -> tuple[int, int]:
        """The same, where token `i` closes what `opened` opened."""
        wanted = "close" if opened.kind == "open" else "return"
        cure = "')' or ')*N'" if wanted == "close" else "'return'"
        if i == len(self._tokens) or self._tokens[i].kind != wanted:
            found = "the script ends" if i == len(self._tokens) else f"{self._tokens[i]} comes"
            raise ValueError(f"{opened} is still open where {found}: close it with {cure}")
        if wanted == "return" and self._tokens[i].match["count"] is not None:
            raise ValueError(f"{self._tokens[i]}: a return is not counted; put its fork in a loop")
        return i, here

    def _move(self, token: _Token, here: int) -> int:
        match = token.match
        text, name = match["text"], match["name"]
        if text is not None:
            action, count = understand(text, self._actions), _whole(match["text_count"], token)
        elif name == "wait":
            action, count = None, _whole(match["count"], token)
        elif name in self._by_name:
            action = self._by_name[name]
            count = _count(match["count"], action, token)
        else:
            raise ValueError(_unknown(name, token, [*self._by_name, *WORDS]))
        if len(self.steps) - 1 + count > MAX_ACTIONS:
            raise ValueError(f"{token} makes the script longer than {MAX_ACTIONS} actions")
        for _ in range(count):
            self.steps.append(Step(here, action))
            here = len(self.steps) - 1
        return here

    def _fork(self, token: _Token, here: int) -> int:
        name = token.match["fork"]
        if token.match["count"] is not None:
            raise ValueError(f"{token}: a fork is not counted; put it in a loop, as in (fork ... return)*3")
        if name is None:
            return here
        places = {START: 0, **self.checkpoints}
        if name not in places:
            guess = nearest(name, list(places))
            cure = f"did you mean {guess!r}?" if guess else f"there are {', '.join(places)};"
            raise ValueError(f"no checkpoint {name!r} before {token}: {cure} @{name or 'name'} sets one")
        return places[name]

    def _mark(self, token: _Token, here: int, *, looping: bool) -> None:
        name = token.match["mark"]
        if not name.isidentifier():
            raise ValueError(f"{token} needs a name of letters and digits, as in @door")
        if looping:
            self._passed[name] = self._passed.get(name, 0) + 1
            name = f"{name}{self._passed[name]}"
        if name in {START, *self.checkpoints}:
            raise ValueError(f"{token}: there is a checkpoint {name!r} already; give this one another name")
        self.checkpoints[name] = here


def _whole(digits: str | None, token: _Token) -> int:
    if digits is None:
        return 1
    if not digits.isascii() or not digits.isdigit() or not digits.strip("0"):
        raise ValueError(f"{token} needs a whole number of at least 1 after the star, as in 'forward*4'")
    return int(digits) if len(digits) < 10 else MAX_ACTIONS + 1


def _count(text: str | None, action: Action, token: _Token) -> int:
    """How often: a whole number, or metres or degrees that the action makes in whole steps."""
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)(m|deg)", text or "", re.ASCII)
    if match is None:
        return _whole(text, token)
    amount, unit = float(match[1]), match[2]
    sizes = (action.forward, action.left) if unit == "m" else (action.yaw, action.pitch, action.object_yaw)
    size = max(abs(s) for s in sizes)
    if size == 0:
        raise ValueError(f"{token}: {action.name} does not move by {'metres' if unit == 'm' else 'degrees'}")
    count = round(amount / size)
    if count < 1 or abs(count * size - amount) > _SLIP:
        fewer = math.floor(amount / size)
        near = " or ".join(f"{n * size:g}{unit}" for n in (fewer, fewer + 1) if n)
        raise ValueError(f"{token}: {action.name} goes by {size:g}{unit}, so write {near}")
    return count


def _unknown(name: str, token: _Token, names: Sequence[str]) -> str:
    guess = nearest(name, names)
    cure = f"did you mean {guess!r}?" if guess else f"the names are {', '.join(names)};"
    return (
        f"unknown action {name!r} ({token.place}): {cure} free sentences stand between slashes, as in /open the door/"
    )


def _malformed(word: str, place: str) -> str:
    if word[0] == "/":
        return f"the sentence beginning with {word!r} ({place}) needs words and a closing slash, as in /open the door/"
    return f"cannot read {word!r} ({place}); write a name, or a name and how often, as in 'forward*4'"
