"""What a sentence says in metres and degrees: "turn left 30 degrees and go forward two steps"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from world.types import Action, Pose, WorldSpec

MOST = 1000.0  # steps, metres or degrees in one go; whoever says more is not understood

_COUNTS = {
    word: float(n)
    for n, word in enumerate(
        ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"], start=1
    )
} | {"a": 1.0, "an": 1.0, "once": 1.0, "twice": 2.0, "thrice": 3.0, "half": 0.5}
_UNITS = {  # (what is measured, how much in m or degrees; None: the scene's own magnitude)
    **dict.fromkeys(("degree", "degrees", "deg", "°"), ("angle", 1.0)),
    **dict.fromkeys(("m", "meter", "meters", "metre", "metres"), ("length", 1.0)),
    **dict.fromkeys(("cm", "centimeter", "centimeters", "centimetre", "centimetres"), ("length", 0.01)),
    **dict.fromkeys(("step", "steps"), ("length", None)),
    **dict.fromkeys(("time", "times"), ("", None)),
}
_WALK = frozenset(["move", "go", "walk", "step", "run", "strafe", "sidestep", "slide", "advance", "take"])
_TURN = frozenset(["turn", "rotate", "spin", "pan", "swing"])
_LOOK = frozenset(["look", "tilt", "gaze"])
_WAYS = {
    **dict.fromkeys(("forward", "forwards", "ahead"), "forward"),
    **dict.fromkeys(("back", "backward", "backwards"), "back"),
    **dict.fromkeys(("left", "leftward", "leftwards", "counterclockwise", "anticlockwise"), "left"),
    **dict.fromkeys(("right", "rightward", "rightwards", "clockwise"), "right"),
    **dict.fromkeys(("up", "upward", "upwards", "higher"), "up"),
    **dict.fromkeys(("down", "downward", "downwards", "lower"), "down"),
    "around": "around",
}
_STILL = frozenset({"stay", "wait", "stop", "stand still", "do nothing", "stay here", "stay still", "hold still"})
_SAME = {"raise your head": "look up", "lower your head": "look down", "counter clockwise": "counterclockwise"}
_FILLERS = frozenset(
    {"to", "the", "your", "by", "please", "of", "camera", "head", "view", "straight", "slowly", "just", "now", "side"}
)
_LITTLE = ("a little bit", "a little", "a bit", "slightly")
_OBJECT = re.compile(r"\b(the object|it|the (?!left|right|camera|head|view|side)[a-z]+)\b")
_AMOUNT = re.compile(r"\d+(?:\.\d+)?|[a-z]+|°")


@dataclass(frozen=True)
class _Magnitudes:
    """How far one move of the scene goes: m and degrees; None where the scene has no such move."""

    step: float | None
    turn: float | None
    look: float | None
    object_turn: float | None


def understand(text: str, actions: Sequence[Action]) -> Action:
    """The action that `text` means in a scene with these `actions`; its words are `text` as it stands.

    A sentence of the vocabulary is that very action. Other words for moves, with or without numbers ("go forward two
    steps", "turn left 30 degrees", "look up a little"), and several of them in turn ("forward and look up") get the
    numbers that they say; what amounts to one vocabulary action bears its name. Any other sentence is words alone.
    """
    for action in actions:
        if action.text == text:
            return action
    magnitudes = _magnitudes(actions)
    pose, total = Pose(), Action(text)
    for clause in re.split(r"\s*(?:,|;|\.(?!\d)|\band then\b|\bthen\b|\band\b)\s*", _plain(text)):
        part = _clause(clause, magnitudes) if clause else Action("")
        if part is None:
            return Action(text)
        pose = pose.moved(part)
        total = replace(
            total,
            forward=round(pose.x, 6),
            left=round(pose.y, 6),
            yaw=total.yaw + part.yaw,
            pitch=total.pitch + part.pitch,
            object_yaw=total.object_yaw + part.object_yaw,
        )
    same = next((a for a in actions if replace(a, text=text, name="") == total), None)
    if same is None or (same.name == "stay" and _plain(text) not in _STILL):
        return total
    return replace(total, name=same.name)


def together(moves: Sequence[Action], actions: Sequence[Action]) -> Action:
    """Several moves of `actions` at once, as one sentence; a move that a later one takes back is left out."""
    kept: list[Action] = []
    for move in moves:
        kept = [other for other in kept if not _opposite(other, move) and other != move] + [move]
    return kept[0] if len(kept) == 1 else understand(" and ".join(move.text for move in kept), actions)


def _opposite(one: Action, other: Action) -> bool:
    fields = ("forward", "left", "yaw", "pitch", "object_yaw")
    return all(getattr(one, name) == -getattr(other, name) for name in fields)


def follows(spec: WorldSpec, action: Action) -> bool:
    """Whether a world can do what an action says: it reads sentences, or knows the move, or (where poses are exact)
    the numbers that the words say."""
    if action.name or "free_text" in spec.supports:
        return True
    return "pose" in spec.supports and action != Action(action.text)


def _plain(text: str) -> str:
    plain = " ".join(text.lower().replace("counter-", "counter").replace("-", " ").split()).strip(" .!")
    for words, same in _SAME.items():
        plain = plain.replace(words, same)
    return plain


def _magnitudes(actions: Sequence[Action]) -> _Magnitudes:
    by_name = {a.name: a for a in actions}

    def size(name: str, field: str) -> float | None:
        return abs(getattr(by_name[name], field)) if name in by_name else None

    return _Magnitudes(
        size("forward", "forward"), size("left", "yaw"), size("up", "pitch"), size("object_left", "object_yaw")
    )


def _clause(clause: str, m: _Magnitudes) -> Action | None:
    """One move in words, as numbers; None where a word of it is not understood."""
    if clause in _STILL:
        return Action("")
    little = next((words for words in _LITTLE if words in clause), None)
    if little is not None:
        clause = clause.replace(little, " ")
    verb = clause.split()[0] if clause.split() else ""
    thing = _OBJECT.search(clause) if verb in _TURN else None
    if thing is not None:
        clause = clause[: thing.start()] + clause[thing.end() :]
    words = [w for w in _AMOUNT.findall(clause) if w not in _FILLERS]
    verb = words.pop(0) if words and words[0] in _WALK | _TURN | _LOOK else ""
    ways = [_WAYS[w] for w in words if w in _WAYS]
    amount = _amount([w for w in words if w not in _WAYS])
    if len(ways) != 1 or amount is None:
        return None
    count, kind, unit = amount
    move = _move(verb or ("go" if kind == "length" else ""), ways[0], thing is not None)
    if move is None:
        return None
    field, sign = move
    own = {"forward": m.step, "left": m.step, "yaw": m.turn, "pitch": m.look, "object_yaw": m.object_turn}[field]
    if own is None or kind not in ("", "length" if field in ("forward", "left") else "angle"):
        return None
    if ways[0] == "around":
        return Action("", yaw=180.0) if (count, unit, little) == (1.0, None, None) else None
    return replace(Action(""), **{field: sign * count * (unit or own) * (0.5 if little else 1.0)})


def _move(verb: str, way: str, thing: bool) -> tuple[str, float] | None:
    """The field of an Action that a verb and a way are about, and the sign."""
    if thing:
        return {"left": ("object_yaw", 1.0), "right": ("object_yaw", -1.0)}.get(way)
    if way in ("forward", "back"):
        return ("forward", 1.0 if way == "forward" else -1.0) if verb in _WALK or not verb else None
    if way in ("up", "down"):
        return ("pitch", 1.0 if way == "up" else -1.0) if verb in _LOOK or not verb else None
    if way == "around":
        return ("yaw", 1.0) if verb in _TURN else None
    sign = 1.0 if way == "left" else -1.0
    return ("left", sign) if verb in _WALK else ("yaw", sign)


def _amount(words: list[str]) -> tuple[float, str, float | None] | None:
    """(how many, of what kind, how much one is), or None where a word is not understood."""
    count, kind, unit = 1.0, "", None
    for word in words:
        if word[0].isdigit() and float(word) <= MOST:
            count *= float(word)
        elif word in _COUNTS:
            count *= _COUNTS[word]
        elif word in _UNITS:
            kind, unit = _UNITS[word]
        else:
            return None
    if count != 1.0 and not kind and words and words[-1][0].isdigit():
        return None  # "turn left 30": thirty of what
    return count, kind, unit
