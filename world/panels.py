"""What lies over the window and takes the keys while it is there: the line for a sentence, the sheet of all keys."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pygame

from world import lettering, window
from world.hands import key_name
from world.keys import KeyMap, cap
from world.prompt import Prompt
from world.window import ACCENT, DIM, PANEL, RAISED, TEXT, Rect


class Panel(Protocol):
    """Something that is drawn over the window; the window drops it when it is closed."""

    closed: bool

    def on(self, event: pygame.event.Event) -> None:
        """An event of keyboard or mouse, which goes nowhere else."""
        ...

    def draw(self, surface: pygame.Surface, stage: Rect, size: int) -> None:
        """Over `stage`, with letters of `size` pixels."""
        ...


class SentencePanel:
    """A line to type an action into: Enter says it, a function key says it from now on."""

    def __init__(
        self,
        prompt: Prompt,
        say: Callable[[str], None],
        bind: Callable[[str, str], None],
        remember: Callable[[Prompt], None],
    ) -> None:
        """`say` gets the sentence, `bind` a sentence and the name of its key, `remember` the line that comes next."""
        self.closed = False
        self.prompt = prompt
        self._say, self._bind, self._remember = say, bind, remember
        self._opening = True  # the slash that opened the line comes as a letter as well

    def on(self, event: pygame.event.Event) -> None:
        if event.type == pygame.TEXTINPUT:
            if not (self._opening and event.text == "/"):
                self.prompt = self.prompt.typed(event.text)
            self._opening = False
        elif event.type == pygame.KEYDOWN:
            self._press(event, key_name(event))

    def _press(self, event: pygame.event.Event, key: str) -> None:
        edits = {
            "backspace": lambda: self.prompt.erased(),
            "left": lambda: self.prompt.moved(-1),
            "right": lambda: self.prompt.moved(1),
            "home": lambda: self.prompt.moved(-self.prompt.cursor),
            "end": lambda: self.prompt.moved(len(self.prompt.text)),
            "up": lambda: self.prompt.recalled(-1),
            "down": lambda: self.prompt.recalled(1),
        }
        if key in edits:
            self.prompt = edits[key]()
        elif key == "escape":
            self.closed = True
        elif key in ("return", "enter") or (key.startswith("f") and key[1:].isdigit()):
            words, self.prompt = self.prompt.said()
            self._remember(self.prompt)
            self.closed = True
            if words and key[0] == "f":
                self._bind(words, key)
            elif words:
                self._say(words)

    def draw(self, surface: pygame.Surface, stage: Rect, size: int) -> None:
        large = round(1.25 * size)
        box = pygame.Rect(0, 0, min(stage.width - 2 * size, 44 * size), round(5.4 * size))
        box.midbottom = stage.centerx, stage.bottom - 3 * size
        window.panel(surface, box, PANEL, radius=size, alpha=245)
        x, y = box.left + 1.4 * size, box.top + 1.9 * size
        x += window.text(surface, "/", (x, y), large, ACCENT) + size // 2
        before, room = self.prompt.text[: self.prompt.cursor], box.right - 1.4 * size - x
        while before and lettering.length(before, large) > 0.9 * room:
            before = before[1:]
        after = lettering.fitted(self.prompt.text[self.prompt.cursor :], large, room - lettering.length(before, large))
        hint = "" if self.prompt.text else "walk to the door, turn left 30 degrees, open the gate"
        width = window.text(surface, before, (x, y), large) if before else 0
        window.text(
            surface, after or lettering.fitted(hint, large, room), (x + width, y), large, TEXT if after else DIM
        )
        pygame.draw.rect(surface, ACCENT, (round(x + width), round(y - 0.75 * large), 2, round(1.5 * large)))
        told = "Enter does it · arrows recall · F2 to F11 give it a key in this scene · Esc leaves"
        small = round(0.9 * size)
        place = (box.left + 1.4 * size, box.bottom - 1.4 * size)
        window.text(surface, lettering.fitted(told, small, box.width - 2.8 * size), place, small, DIM)


class KeySheet:
    """All keys on one page; any key closes it."""

    def __init__(self, keymap: KeyMap, path: Path, scene: str, time_skip: int) -> None:
        """`path` is where a person's own keys are kept."""
        self.closed = False
        self._keymap, self._path, self._scene, self._time_skip = keymap, path, scene, time_skip

    def on(self, event: pygame.event.Event) -> None:
        self.closed = event.type in (pygame.KEYDOWN, pygame.MOUSEBUTTONDOWN)

    def draw(self, surface: pygame.Surface, stage: Rect, size: int) -> None:
        rows = [(b.caps(), b.caption) for b in (*self._keymap.moves, *self._keymap.verbs, *self._keymap.more)]
        said = self._keymap.sentences.get(self._scene, {})
        rows += [([cap(key) if key else "none"], words) for words, key in said.items()]
        rows += [(["Shift"], f"with a move: {self._time_skip} times"), (["Mouse"], "right button held: look around")]
        half = -(-len(rows) // 2)
        size = min(size, round((stage.height - 2 * size) / (2 * half + 5)), round(stage.width / 46))
        box = pygame.Rect(0, 0, 44 * size, round((2 * half + 4.5) * size))
        box.center = stage.center
        window.panel(surface, box, PANEL, radius=size, alpha=248)
        window.text(surface, "All keys", (box.left + 2 * size, box.top + 2 * size), round(1.3 * size), ACCENT)
        small = round(0.85 * size)
        told = lettering.fitted(f"yours go into {_short(self._path)}", small, 30 * size)
        window.text(surface, told, (box.right - 2 * size, box.top + 2 * size), small, DIM, "right")
        for i, (caps, caption) in enumerate(rows):
            x = box.left + (2 + 21 * (i // half)) * size
            y = box.top + (4.4 + 2 * (i % half)) * size
            for label in caps:
                x += window.keycap(surface, label, (x, y), round(0.85 * size)) + 0.35 * size
            right = box.left + (21 + 21 * (i // half)) * size
            words = lettering.fitted(caption, round(0.92 * size), right - x - size)
            window.text(surface, words, (right, y), round(0.92 * size), TEXT, "right")
        pygame.draw.line(surface, RAISED, (box.centerx, box.top + 3.6 * size), (box.centerx, box.bottom - size))


def _short(path: Path) -> str:
    home = str(Path.home())
    return f"~{str(path).removeprefix(home)}" if str(path).startswith(home + "/") else str(path)
