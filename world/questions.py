"""What one may ask about a picture, and what is true of it."""

from __future__ import annotations

from world.types import Sight

# The things of the scenes that one may ask about (Builder.at names them), and how one asks.
THINGS = (
    "picture", "sofa", "desk", "chair", "lamp", "plant", "shelf", "clock", "globe", "door", "chest", "duck", "gate",
    "barn", "mill", "lighthouse", "pond", "gazebo", "statue", "flowers", "tree", "car", "house", "vase", "teapot",
    "robot", "head", "totem", "cactus", "cubes", "blocks", "column",
    "table",
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
SEEN = 0.004  # share of the picture from which on a thing counts as seen
FARTHEST = 9  # m, beyond which a thing is "far"
# A thing is reached where the task FindObject ends (goals.Facing: 2.5 m to its middle, 15 degrees). Where only what is
# seen is known: surely within the first of these, surely not beyond the second, and in between nobody asks.
REACHED = (2.0, 2.6)  # m, to the nearest part
AHEAD = (0.13, 0.2)  # of the picture's width, beside its middle


def truth(kind: str, thing: str, sight: Sight | None) -> str | None:
    """The answer to a question of that kind (all of QUESTIONS but "place") about a thing that is seen so, or not.

    None where it is open: what is hardly seen, nearly near, nearly in the middle or often several is not asked.
    """
    if sight is None or sight.share < SEEN:
        gone = sight is None or sight.share == 0
        away = kind == "reached" and sight is not None and _is_away(sight)
        return "no" if kind in ("see", "reached") and (gone or away) else None
    off = abs(sight.x - 0.5)
    match kind:
        case "see":
            return "yes"
        case "where":
            side = "middle" if off < 0.1 else "left" if sight.x < 0.5 else "right"
            return side if abs(off - 0.1) > 0.03 and thing not in SEVERAL else None
        case "far":
            metres = max(1, round(sight.distance))
            clear = abs(sight.distance % 1 - 0.5) > 0.1
            return (far_words(metres) if metres <= FARTHEST else "far") if clear else None
        case "near":
            return ("yes" if sight.distance < 2.0 else "no") if abs(sight.distance - 2.0) > 0.2 else None
        case "reached":
            if sight.reached or (sight.reached is None and sight.distance < REACHED[0] and off < AHEAD[0]):
                return "yes"
            return "no" if _is_away(sight) or (sight.reached is None and off > AHEAD[1]) else None
    raise ValueError(f"questions are {', '.join(QUESTIONS)}, got {kind!r}")


def _is_away(sight: Sight) -> bool:
    return sight.distance > REACHED[1] if sight.reached is None else not sight.reached


def far_words(metres: int) -> str:
    """How a distance is said."""
    return "1 meter" if metres == 1 else f"{metres} meters"


def question_about(kind: str, words: str) -> str:
    """The question of that kind about what is to be found: "find the cactus", or "the cactus"."""
    return QUESTIONS[kind][0].replace("the {thing}", words.removeprefix("find "))
