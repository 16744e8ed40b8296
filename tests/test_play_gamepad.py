"""A gamepad at the window: a virtual one of SDL, from being plugged in to being pulled out."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from pathlib import Path

import pygame
import pytest

from tests import hand as hands
from tests.hand import Hand

at_window = hands.at_window  # the fixture
GAMEPAD = 1  # SDL_JOYSTICK_TYPE_GAMECONTROLLER


class Pad:
    """A gamepad that is not there; SDL treats it as any other."""

    def __init__(self, sdl: ctypes.CDLL) -> None:
        self._sdl = sdl
        self._index = sdl.SDL_JoystickAttachVirtual(GAMEPAD, 6, 15, 0)
        assert self._index >= 0
        sdl.SDL_JoystickOpen.restype = ctypes.c_void_p
        self._handle = ctypes.c_void_p(sdl.SDL_JoystickOpen(self._index))

    def tilt(self, axis: int, value: int) -> None:
        self._sdl.SDL_JoystickSetVirtualAxis(self._handle, axis, ctypes.c_int16(value))

    def press(self, button: int, down: bool) -> None:
        self._sdl.SDL_JoystickSetVirtualButton(self._handle, button, ctypes.c_uint8(down))

    def pull_out(self) -> None:
        if self._index >= 0:
            self._sdl.SDL_JoystickDetachVirtual(self._index)
        self._index = -1


@pytest.fixture
def plug_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Hand], Pad]]:
    monkeypatch.setenv("SDL_JOYSTICK_ALLOW_BACKGROUND_EVENTS", "1")  # no window is in front of the dummy driver
    site = Path(pygame.__file__).parent.parent
    found = [*site.glob("pygame.libs/libSDL2-2*.so*"), *site.glob("pygame/.dylibs/libSDL2-2*.dylib")]
    if not found:
        pytest.skip("this pygame has SDL elsewhere: pip install pygame brings it along")
    pads: list[Pad] = []

    def plug(hand: Hand) -> Pad:
        pads.append(Pad(ctypes.CDLL(str(found[0]))))
        hand.until(lambda: hand.player.hands._pads)
        return pads[0]

    yield plug
    for pad in pads:
        pad.pull_out()


def names(hand: Hand) -> list[str]:
    return [node.action.name for node in hand.game.history.nodes if node.action is not None]


def test_a_stick_walks_as_long_as_it_is_held(plug_in: Callable[[Hand], Pad], at_window: Callable[..., Hand]) -> None:
    hand = at_window()
    pad = plug_in(hand)
    pad.tilt(pygame.CONTROLLER_AXIS_LEFTY, -30000)
    hand.until(lambda: hand.state.step >= 3)
    pad.tilt(pygame.CONTROLLER_AXIS_LEFTY, 0)
    hand.until(lambda: not hand.player.hands.held)
    hand.rest()
    assert set(names(hand)) == {"forward"}


def test_buttons_move_and_undo(plug_in: Callable[[Hand], Pad], at_window: Callable[..., Hand]) -> None:
    hand = at_window()
    pad = plug_in(hand)
    pad.press(pygame.CONTROLLER_BUTTON_LEFTSHOULDER, True)
    hand.until(lambda: hand.state.step == 1)
    pad.press(pygame.CONTROLLER_BUTTON_LEFTSHOULDER, False)
    hand.until(lambda: not hand.player.hands.held)
    hand.rest()
    assert names(hand)[0] == "object_left"
    while hand.state.step:
        step = hand.state.step
        pad.press(pygame.CONTROLLER_BUTTON_B, True)
        hand.until(lambda step=step: hand.state.step < step)
        pad.press(pygame.CONTROLLER_BUTTON_B, False)
        hand.player.tick()


def test_a_gamepad_that_is_pulled_out_walks_no_further(
    plug_in: Callable[[Hand], Pad], at_window: Callable[..., Hand]
) -> None:
    hand = at_window()
    pad = plug_in(hand)
    pad.tilt(pygame.CONTROLLER_AXIS_RIGHTX, 30000)
    hand.until(lambda: hand.state.step)
    pad.pull_out()
    hand.until(lambda: not hand.player.hands.held)
    hand.rest()
    assert set(names(hand)) == {"right"}
    pygame.event.post(pygame.event.Event(pygame.CONTROLLERDEVICEADDED, device_index=7))  # and gone again
    hand.player.tick()
    assert hand.player.running
