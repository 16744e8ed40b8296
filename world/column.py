"""The panel beside the frame: where one is, how fast it goes, which keys do what."""

from __future__ import annotations

import pygame

from world import lettering, window
from world.game import Game
from world.gauges import in_words, peak_gpu_bytes, resident_bytes
from world.keys import Binding, KeyMap
from world.window import ACCENT, DIM, TEXT, Rect


class Column:
    """The panel beside the frame, filled from the top."""

    def __init__(self, surface: pygame.Surface, rect: Rect, size: int) -> None:
        self._surface, self._rect, self._size = surface, rect, size
        self._x, self._right = rect.left + round(1.4 * size), rect.right - round(1.4 * size)
        self._y = rect.top + round(1.9 * size)

    def draw(self, game: Game, told: list[tuple[str, str]], keymap: KeyMap, held: frozenset[str]) -> None:
        """Where one is, the facts told, and the keys."""
        size, scene = self._size, game.scene
        width = self._right - self._x
        title = lettering.fitted(as_sentence(scene.name.replace("_", " ")), round(1.7 * size), width)
        window.text(self._surface, title, (self._x, self._y), round(1.7 * size))
        self._y += round(1.9 * size)
        for line in lettering.wrapped(as_sentence(scene.caption), round(0.88 * size), width)[:3]:
            window.text(self._surface, line, (self._x, self._y), round(0.88 * size), DIM)
            self._y += round(1.25 * size)
        self._y += round(0.7 * size)
        for label, value in told:
            if label == "Speed":
                self._curve(list(game.pace.latencies), lettering.length(value, size))
            self._row(label, value)
        self._rule()
        names = {action.name for action in scene.actions}
        for binding in keymap.moves:
            if names.intersection(binding.does):
                self._keys(binding, held)
        self._rule()
        for binding in keymap.verbs:
            self._keys(binding, held)

    def _row(self, label: str, value: str) -> None:
        size = self._size
        window.text(self._surface, label, (self._x, self._y), round(0.92 * size), DIM)
        room = self._right - self._x - 5.2 * size
        large = size if lettering.length(value, size) <= room else round(0.85 * size)
        window.text(self._surface, lettering.fitted(value, large, room), (self._right, self._y), large, TEXT, "right")
        self._y += round(1.55 * size)

    def _curve(self, seconds: list[float], room: float) -> None:
        """The last steps' times as small bars, the slowest as high as the row, beside a value that takes `room`."""
        size, width = self._size, max(2, self._size // 6)
        left, right, height = self._x + 3.6 * size, self._right - room - 0.8 * size, 1.1 * size
        shown = seconds[-max(1, int((right - left) // (width + 1))) :]
        for i, value in enumerate(reversed(shown)):
            tall = max(2, round(height * value / max(shown)))
            bar = pygame.Rect(round(right) - (i + 1) * (width + 1), 0, width, tall)
            bar.bottom = round(self._y + height / 2)
            pygame.draw.rect(self._surface, window.EDGE if i else ACCENT, bar)

    def _rule(self) -> None:
        y = self._y + round(0.1 * self._size)
        if y > self._rect.bottom - 3 * self._size:
            return
        pygame.draw.line(self._surface, window.RAISED, (self._x, y), (self._right, y))
        self._y = y + round(1.35 * self._size)

    def _keys(self, binding: Binding, held: frozenset[str]) -> None:
        size = self._size
        if self._y > self._rect.bottom - size:
            return
        x = float(self._x)
        for cap, does in zip(binding.caps(), binding.does, strict=True):
            x += window.keycap(self._surface, cap, (x, self._y), round(0.85 * size), does in held) + 0.35 * size
        window.text(self._surface, binding.caption, (self._right, self._y), round(0.92 * size), DIM, "right")
        self._y += round(1.85 * size)


def facts(game: Game) -> list[tuple[str, str]]:
    """What the panel tells about a game, as labels and values."""
    model, state = game.model, game.state
    exact = model is not None and "pose" in model.spec.supports
    fps, times = game.pace.frames_per_second(), game.pace.p50_p99()
    pose = state.pose if state else game.scene.starts[0].pose
    led = game.history.nodes[game.timeline.here].action if state else None
    on_gpu = peak_gpu_bytes()
    told = [
        ("Model", f"{model.spec.model} · {'truth' if exact else 'dream'}" if model else game.address),
        ("Device", f"{model.spec.device}, {model.spec.dtype}" if model else "loading" if game.doing else "none"),
        ("Speed", f"{fps:.1f} frames/s" if fps else "idle"),
        ("Latency", f"{1000 * times[0]:.0f} ms, p99 {1000 * times[1]:.0f}" if times else "no step yet"),
        ("Drawn in", _evaluations(game)),
        ("Memory", in_words(resident_bytes()) + (f", GPU peak {in_words(on_gpu)}" if on_gpu else "")),
        ("Step", f"{state.step if state else 0} · seed {game.seed}"),
        ("Action", led.text if led else "a start" if state else "none yet"),
        ("Place", f"{pose.x:.1f}, {pose.y:.1f} m"),
        ("Gaze", f"{pose.yaw:.0f}°, {'up' if pose.pitch >= 0 else 'down'} {abs(pose.pitch):.0f}°"),
    ]
    if any(action.object_yaw for action in game.scene.actions):
        told.append(("Object", f"{pose.object_yaw:.0f}°"))
    if game.options.look_ahead:
        rate = game.futures.hit_rate
        told.append(("Ahead", "no step yet" if rate is None else f"{100 * rate:.0f}% were there"))
    return told


def as_sentence(words: str) -> str:
    """With a capital letter."""
    return words[:1].upper() + words[1:]


def _evaluations(game: Game) -> str:
    """Of the model for a frame, and what waits."""
    sampler = game.worlds.sampling
    num = sampler.num_timesteps - 1 if sampler else game.watch.num_evaluations
    told = f"{num} evaluation{'' if num == 1 else 's'}" if num else "one go" if game.model else "none yet"
    return f"{told}, {game.waiting} waiting" if game.waiting else told
