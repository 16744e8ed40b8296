"""The settings in the window: the sampler's published parameters with what they do and what they cure, and options."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, get_args

import pygame

from world import lettering, window
from world.game import Game
from world.hands import key_name
from world.making import WalkKind
from world.settings import PRESETS, RenormType, SamplerConfig
from world.window import ACCENT, DIM, PANEL, RAISED, TEXT, Rect

_POINTS = (2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 50, 75, 100)
_AHEAD = (0, 1, 2, 3, 4, 6, 8)
_SKIPS = (2, 3, 4, 6, 8, 12, 16, 24)


@dataclass(frozen=True)
class Setting:
    """One row: `steps` gives the value that lies so many places away from another one."""

    name: str
    about: str
    steps: Callable[[Any, int], Any]


def _among(values: tuple[Any, ...]) -> Callable[[Any, int], Any]:
    def step(value: Any, num: int) -> Any:
        at = values.index(value) if value in values else sum(other < value for other in values)
        return values[min(max(0, at + num), len(values) - 1)]

    return step


def _by(size: float, low: float, high: float) -> Callable[[Any, int], Any]:
    return lambda value, num: round(min(max(low, value + num * size), high), 4)


SAMPLER = (
    Setting(
        "num_timesteps", "Points of the time grid; one fewer are evaluated. More is slower and finer.", _among(_POINTS)
    ),
    Setting(
        "timestep_shift", "Above 1 spends more points on high noise: composition before detail.", _by(0.5, 0.5, 10)
    ),
    Setting(
        "cfg_text_scale",
        "How strictly words are followed; 1 is off. Over-saturated or blurred: lower it.",
        _by(0.5, 1, 10),
    ),
    Setting("cfg_image_scale", "How strictly the frame is kept; 1 is off. Nothing changes: lower it.", _by(0.25, 1, 5)),
    Setting(
        "cfg_interval", "From which noise level on guidance counts. Over-saturated: raise it to 0.4.", _by(0.1, 0, 0.9)
    ),
    Setting("cfg_renorm_type", "What guidance is rescaled by. Blurred edits: global.", _among(get_args(RenormType))),
    Setting(
        "cfg_renorm_min", "How far rescaling may go. Blurred: 0. Washed out: nearer to 1, which is off.", _by(0.1, 0, 1)
    ),
)
OPTIONS = (
    Setting(
        "look_ahead",
        "So many likely next frames are imagined while you rest: their keys answer at once.",
        _among(_AHEAD),
    ),
    Setting("walk", "continuous: a held key walks on. step: every press is one step.", _among(get_args(WalkKind))),
    Setting("time_skip", "So many steps a move makes while Shift is held; Esc ends them.", _among(_SKIPS)),
    Setting(
        "refine", "While a key is held one evaluation does; released, the frame is drawn with all.", lambda v, n: n > 0
    ),
)


class SettingsPanel:
    """Arrows choose and change; what is changed counts from the next step on."""

    def __init__(self, game: Game) -> None:
        self.closed = False
        self.selected = 0
        self._game = game
        self._under: list[tuple[Rect, int]] = []

    @property
    def sampler(self) -> SamplerConfig | None:
        """As it is now; None where the model's cannot be changed from here."""
        return self._game.worlds.sampling

    @property
    def rows(self) -> list[Setting]:
        """The preset first."""
        if self.sampler is None:
            return list(OPTIONS[:-1])  # there is nothing to refine with
        preset = Setting(
            "preset", "All of the sampler's settings at once, as published or as this model wants.", _next_preset
        )
        return [preset, *SAMPLER, *OPTIONS]

    def value(self, setting: Setting) -> Any:
        """The value of a row."""
        if setting.name == "preset":
            return self.sampler
        if setting in OPTIONS:
            return getattr(self._game.options, setting.name)
        value = getattr(self.sampler, setting.name)
        return value[0] if setting.name == "cfg_interval" else value  # its upper end is 1 in every published preset

    def on(self, event: pygame.event.Event) -> None:
        if event.type == pygame.MOUSEBUTTONDOWN:
            for rect, i in self._under:
                if rect.collidepoint(event.pos):
                    self.selected = i
                    self._change(1 if event.pos[0] > rect.centerx else -1)
        elif event.type == pygame.KEYDOWN:
            key = key_name(event)
            if key in ("up", "down"):
                self.selected = (self.selected + (1 if key == "down" else -1)) % len(self.rows)
            elif key in ("left", "right"):
                self._change(1 if key == "right" else -1)
            elif key in ("escape", "return", "enter", "o"):
                self.closed = True

    def _change(self, num: int) -> None:
        setting, game, sampler = self.rows[self.selected], self._game, self.sampler
        value = setting.steps(self.value(setting), num)
        if setting in OPTIONS:
            game.options = replace(game.options, **{setting.name: value})
        elif setting.name == "preset":
            game.tune(value)
        elif sampler is not None:
            if setting.name == "cfg_interval":
                value = (value, max(value, sampler.cfg_interval[1]))
            game.tune(replace(sampler, **{setting.name: value}))

    def draw(self, surface: pygame.Surface, stage: Rect, size: int) -> None:
        rows = self.rows
        size = max(6, min(size, stage.width // 42, round(stage.height / (4.1 * len(rows) + 7))))
        box = pygame.Rect(0, 0, 40 * size, round((3.1 * len(rows) + 6) * size))
        box.center = stage.center
        window.panel(surface, box, PANEL, radius=size, alpha=248)
        left, right, y = box.left + 2 * size, box.right - 2 * size, box.top + 2.2 * size
        window.text(surface, "Settings", (left, y), round(1.4 * size), ACCENT)
        told = "this model samples as it was started" if self.sampler is None else "they count from the next step on"
        window.text(surface, told, (right, y), round(0.9 * size), DIM, "right")
        self._under = []
        for i, setting in enumerate(rows):
            y = box.top + (5 + 3.1 * i) * size
            row = pygame.Rect(box.left + size, round(y - 1.15 * size), box.width - 2 * size, round(3.1 * size))
            if i == self.selected:
                window.panel(surface, row, RAISED, radius=size // 2)
            window.text(surface, setting.name, (left, y), size)
            about = round(0.85 * size)
            window.text(
                surface,
                lettering.fitted(setting.about, about, box.width - 4 * size),
                (left, y + 1.2 * size),
                about,
                DIM,
            )
            value = pygame.Rect(0, 0, 11 * size, round(1.7 * size))
            value.midright = round(right), round(y)
            self._under.append((value.inflate(0, size), i))
            window.keycap(surface, "<", (value.left, y), round(0.7 * size))
            window.keycap(surface, ">", (value.right - 1.3 * size, y), round(0.7 * size))
            shown = lettering.fitted(_told(self.value(setting)), size, 8 * size)
            window.text(surface, shown, value.center, size, ACCENT if i == self.selected else TEXT, "center")


def _next_preset(sampler: SamplerConfig, num: int) -> SamplerConfig:
    values = list(PRESETS.values())
    at = values.index(sampler) if sampler in values else (-1 if num > 0 else 0)
    return values[(at + num) % len(values)]


def _told(value: Any) -> str:
    if isinstance(value, SamplerConfig):
        return next((name for name, preset in PRESETS.items() if preset == value), "own")
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value) if isinstance(value, str) else f"{value:g}"
