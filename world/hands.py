"""What a person holds down: keys, a dragged mouse, the sticks of a gamepad, all as moves in the order of pressing."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Hashable

import pygame
from pygame._sdl2 import controller

DRAG = 60.0  # pixels of mouse-look for one move
_DEAD = 0.5  # of a stick's way, within which it stands still

_STICKS = {  # axis of a game controller: what it does towards minus and plus
    pygame.CONTROLLER_AXIS_LEFTX: ("strafe_left", "strafe_right"),
    pygame.CONTROLLER_AXIS_LEFTY: ("forward", "back"),
    pygame.CONTROLLER_AXIS_RIGHTX: ("left", "right"),
    pygame.CONTROLLER_AXIS_RIGHTY: ("up", "down"),
}
_BUTTONS = {
    pygame.CONTROLLER_BUTTON_DPAD_UP: "forward",
    pygame.CONTROLLER_BUTTON_DPAD_DOWN: "back",
    pygame.CONTROLLER_BUTTON_DPAD_LEFT: "left",
    pygame.CONTROLLER_BUTTON_DPAD_RIGHT: "right",
    pygame.CONTROLLER_BUTTON_LEFTSHOULDER: "object_left",
    pygame.CONTROLLER_BUTTON_RIGHTSHOULDER: "object_right",
    pygame.CONTROLLER_BUTTON_A: "accept",
    pygame.CONTROLLER_BUTTON_B: "undo",
    pygame.CONTROLLER_BUTTON_X: "picture",
    pygame.CONTROLLER_BUTTON_Y: "truth",
    pygame.CONTROLLER_BUTTON_START: "scenes",
}


def key_name(event: pygame.event.Event) -> str:
    """The key of an event as the tables of world.keys have it, e.g. "ctrl+s"."""
    modifiers = getattr(event, "mod", 0)
    prefix = "ctrl+" if modifiers & (pygame.KMOD_CTRL | pygame.KMOD_META) else ""
    return prefix + pygame.key.name(event.key)


class Hands:
    """What is held; `on` tells what an event newly asks for."""

    def __init__(self) -> None:
        self.held: dict[Hashable, str] = {}  # from whatever is down to its move, in the order of pressing
        self._dragged = [0.0, 0.0]
        self._pads: dict[int, controller.Controller] = {}  # their events come as long as they are kept
        with contextlib.suppress(RuntimeError):  # a machine without; SDL has two errors in pygame, both of this kind
            controller.init()

    def press(self, source: Hashable, move: str) -> None:
        """Something goes down."""
        self.held.pop(source, None)
        self.held[source] = move

    def release(self, source: Hashable) -> None:
        """Something goes up."""
        self.held.pop(source, None)

    def clear(self) -> None:
        """Everything goes up."""
        self.held.clear()

    def close(self) -> None:
        """Lets the gamepads go."""
        self._pads.clear()
        controller.quit()

    def on(self, event: pygame.event.Event) -> list[tuple[Hashable, str]]:
        """What mouse and gamepad ask for: moves and verbs, with the source that is held (None: once)."""
        if event.type == pygame.MOUSEMOTION and event.buttons[2]:
            return [(None, move) for move in self._look(*event.rel)]
        if event.type == pygame.CONTROLLERDEVICEADDED:
            self._open_pad(event.device_index)
        elif event.type == pygame.CONTROLLERAXISMOTION and event.axis in _STICKS:
            return self._tilt(event.axis, event.value / 32768)
        elif event.type == pygame.CONTROLLERBUTTONDOWN and event.button in _BUTTONS:
            return [(("button", event.button), _BUTTONS[event.button])]
        elif event.type == pygame.CONTROLLERBUTTONUP:
            self.release(("button", event.button))
        return []

    def _look(self, dx: float, dy: float) -> list[str]:
        """One move for so many pixels; what is left over counts for the next."""
        found = []
        for axis, (distance, moves) in enumerate(((dx, ("left", "right")), (dy, ("up", "down")))):
            self._dragged[axis] += distance
            if abs(self._dragged[axis]) >= DRAG:
                found.append(moves[self._dragged[axis] > 0])
                self._dragged[axis] -= math.copysign(DRAG, self._dragged[axis])
        return found

    def _tilt(self, axis: int, value: float) -> list[tuple[Hashable, str]]:
        source, way = ("axis", axis), -1 if value < -_DEAD else int(value > _DEAD)
        move = "" if not way else _STICKS[axis][way > 0]
        if self.held.get(source, "") == move:
            return []
        self.release(source)
        return [(source, move)] if move else []

    def _open_pad(self, index: int) -> None:
        with contextlib.suppress(RuntimeError):  # gone already
            self._pads[index] = controller.Controller(index)
