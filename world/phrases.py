"""What people say of moves, in many wordings: models are trained and measured with these."""

from __future__ import annotations

from world.types import Action, Scene
from world.words import understand

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


MOVES = tuple(PHRASES)


def move_in(scene: Scene, move: str) -> Action:
    """A move, one of MOVES, as an action of the scene."""
    return understand(PHRASES[move][0], scene.actions)


def sayable(scene: Scene) -> dict[str, Action]:
    """The moves that the scene's vocabulary has no single action for, and that change something in it."""
    moves = {move: move_in(scene, move) for move in MOVES}
    return {move: action for move, action in moves.items() if not action.name and action != Action(action.text)}
