"""A person as an agent: a window shows what an agent would see, and the keys of `play.py` choose the next move."""

from __future__ import annotations

import time
from typing import Any

import pygame

from agents.base import Choice, Stopped, frame_of
from world import keys, lettering, window
from world.column import as_sentence
from world.hands import Hands, key_name
from world.hud import letter_size
from world.player import DRAWS_PER_SECOND, HOLD_DELAY, HOLD_INTERVAL
from world.types import Frame, Scene

_SIDE = 512  # pixels of the frame in a new window
_REDRAWN = (pygame.WINDOWEXPOSED, pygame.WINDOWSIZECHANGED)


class HumanAgent:
    """Acts as the person at the window does; a key that is held repeats, the mouse and a gamepad work as in `play.py`.

    Escape or closing the window raises Stopped. Raises WorldError where no window can be opened, or where the person's
    own file of keys holds something wrong.
    """

    def __init__(self, scene: Scene) -> None:
        self._numbers = {action.name: i for i, action in enumerate(scene.actions) if action.name}
        self._keymap, self._scene = keys.read_keys(keys.default_path()), scene
        self._table = self._keymap.table(scene.name)
        self._hands: Hands | None = None  # None: the window is not open
        self._repeat_at = 0.0

    def act(self, observation: Any, info: dict[str, Any]) -> Choice:
        """Waits for the person."""
        if self._hands is None:
            window.open_window((_SIDE * 2, round(_SIDE * 1.3)), f"{self._scene.name} · you are the agent")
            self._hands = Hands()
        clock = pygame.time.Clock()
        self._draw(observation, info)
        while True:
            events = pygame.event.get()
            if (move := self._asked(events, self._hands)) is not None:
                return self._numbers[move]
            if any(event.type in _REDRAWN for event in events):
                self._draw(observation, info)
            clock.tick(DRAWS_PER_SECOND)

    def close(self) -> None:
        """Closes the window; may be called twice."""
        if self._hands is not None:
            self._hands.close()
            self._hands = None
            window.close_window()

    def _asked(self, events: list[pygame.event.Event], hands: Hands) -> str | None:
        """The newest move that was asked for, or what is held; None where the person thinks."""
        newest: str | None = None
        for event in events:
            wanted = [(event.key, self._table.get(key_name(event), ""))] if event.type == pygame.KEYDOWN else []
            if event.type == pygame.QUIT or any(does == "quit" for _, does in wanted):
                self.close()
                raise Stopped("the window was closed")
            if event.type == pygame.KEYUP:
                hands.release(event.key)
            elif event.type == pygame.WINDOWFOCUSLOST:
                hands.clear()  # the key's release goes to another window
            for source, does in [*wanted, *hands.on(event)]:
                if does in self._numbers:
                    newest, self._repeat_at = does, time.monotonic() + HOLD_DELAY
                    if source is not None:
                        hands.press(source, does)
        if newest is None and hands.held and time.monotonic() >= self._repeat_at:
            newest, self._repeat_at = [*hands.held.values()][-1], time.monotonic() + HOLD_INTERVAL
        return newest

    def _draw(self, observation: Any, info: dict[str, Any]) -> None:
        """The frame, the goal beside it where one is shown, and below what is wanted and which keys there are."""
        surface = pygame.display.get_surface()
        surface.fill(window.BACKGROUND)
        size = letter_size(surface.get_height(), surface.get_width())
        stage = surface.get_rect().inflate(-2 * size, -2 * size)
        stage.height -= 6 * size
        shown: list[Frame] = [frame_of(observation)]
        words = ""
        if isinstance(observation, dict):
            shown += [observation["goal"]] if "goal" in observation else []
            words = observation.get("words", "")
        width = (stage.width - size * (len(shown) - 1)) // len(shown)
        for i, frame in enumerate(shown):
            box = pygame.Rect(stage.left + i * (width + size), stage.top, width, stage.height)
            place = window.fitting((frame.shape[1], frame.shape[0]), box)
            surface.blit(window.picture(frame, place.size, radius=size // 2), place)
        aim = words or ("on the right is the goal" if len(shown) > 1 else "")
        told = " · ".join(filter(None, (aim, f"step {info.get('step', 0)}", info.get("action", ""))))
        line = lettering.fitted(as_sentence(told), size, stage.width)
        window.text(surface, line, (stage.left, stage.bottom + 1.6 * size), size)
        x = float(stage.left)
        stop = keys.Binding("stop", ("quit",), ((self._keymap.keys(self._scene.name)["quit"],),))
        for binding in (*self._keymap.moves, stop):
            if {*self._numbers, "quit"} & set(binding.does) and x < stage.right - 8 * size:
                for cap in binding.caps():
                    x += window.keycap(surface, cap, (x, stage.bottom + 4.2 * size), round(0.85 * size)) + 0.3 * size
                x += (
                    window.text(surface, binding.caption, (x, stage.bottom + 4.2 * size), size, window.DIM) + 1.2 * size
                )
        pygame.display.flip()
