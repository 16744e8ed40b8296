"""What a person takes along: pictures, videos, an export of the path, the session itself. Nothing here waits."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np

from world import clipboard
from world.files import atomic_write_text
from world.film import Film
from world.game import Game
from world.history import History
from world.jobs import Worker
from world.journal import SUFFIX, Journal, forget_old
from world.recording import contact_sheet, log_header, save_gif, save_log, save_png, sheet_columns
from world.session import Session, save_session
from world.types import Frame, WorldModel

SESSIONS = "sessions"  # the folder of journals, beside what is saved
NOTHING_TO_PASTE = "There is neither a picture nor a path in the clipboard"
MOST = 120  # frames of a sheet or a GIF: longer walks are thinned out


class Keepsakes:
    """Saves into `out`; `tell` hears what was saved, `fail` what could not be."""

    def __init__(self, game: Game, out: Path, tell: Callable[[str], None]) -> None:
        self.game, self.out = game, out
        self.saved: list[Path] = []  # pictures, videos and sessions
        self.session_path: Path | None = None  # where the session was saved last
        self._tell = tell
        self._unwritten: History | None = None
        self._film: Film | None = None
        self._with_window = False  # whether the film shows the whole window
        self._finishing: list[Film] = []
        self._worker = Worker("keepsakes")
        self._pasted: tuple[Future[Path | None], Callable[[str], None]] | None = None
        self._exports: list[tuple[Future[None], list[Path]]] = []
        forget_old(out / SESSIONS)

    @property
    def num_filmed(self) -> int:
        """Frames of the running recording; 0 when none runs."""
        return self._film.num_frames if self._film else 0

    def picture(self) -> None:
        """The frame, as a PNG of its own size."""
        if (state := self.game.state) is None:
            return
        path = self._free_path(f"{state.scene.name}-{state.step:04d}", ".png")

        def save() -> None:
            save_png(path, state.frame)
            self.saved.append(path)

        self._try(save, f"saved {path}")

    def film(self, window: Frame | None = None) -> None:
        """Begins a recording, or ends the one that runs; of the whole window, where its picture is given."""
        state, model = self.game.state, self.game.model
        if self._film is not None:
            self._stop_film()
        elif state is not None and model is not None:
            path, header = self._free_path(state.scene.name, ".mp4"), self._log_header(model)
            first = state.frame if window is None else window

            def start() -> None:
                self._film, self._with_window = Film(path, header, self.game.history, first), window is not None

            self._try(start, "recording: every step is a frame; the same key ends it")

    def add(self, seen: list[int], window: Callable[[], Frame]) -> None:
        """Places of the tree that are seen new, for the recording."""
        if self._film is not None and seen:
            history = self.game.history
            picture = window() if self._with_window else None
            for place in seen:
                self._film.add(history, place, history.shelf.frame(place) if picture is None else picture)

    def export(self) -> None:
        """The path from the beginning to here: a GIF, a contact sheet and an NDJSON log of the actions."""
        game, history = self.game, self.game.history
        path = history.timeline.path()
        if not path or game.model is None:
            return
        paths = [self._free_path(f"{game.scene.name}-path", suffix) for suffix in (".gif", ".png", ".ndjson")]
        shown = [path[k] for k in np.unique(np.linspace(0, len(path) - 1, min(len(path), MOST)).round().astype(int))]
        frames, labels = [history.shelf.frame(n) for n in shown], [history.words(n) for n in shown]
        lines = [self._log_header(game.model), *history.log(path)]

        def job() -> None:
            save_gif(paths[0], frames)
            save_png(paths[1], contact_sheet(frames, sheet_columns(len(frames)), labels))
            save_log(paths[2], lines)

        self._exports.append((self._worker.run(job), paths))

    def session(self) -> None:
        """The whole tree as one session file; the same file when it is saved again."""
        game = self.game
        if game.state is None or game.reopens:
            return
        path = self.session_path or self._free_path(f"{game.scene.name}.session", ".json")

        def save() -> None:
            save_session(path, self._walked())
            self.session_path = path
            self.saved = [*(p for p in self.saved if p != path), path]

        self._try(save, f"saved {path}: play.py {path} opens it again")

    def paste(self, open_picture: Callable[[str], None]) -> None:
        """The picture in the clipboard is kept, and its path handed over when it is there."""
        if self._pasted is None:
            self._pasted = self._worker.run(lambda: clipboard.picture(self.out)), open_picture

    def look_after(self) -> None:
        """Tells what is finished, and sees that the walk is written down while it is walked."""
        history = self.game.history
        walked = len(history.nodes) > 1 and self.game.model is not None
        if walked and history.journal is None and history is not self._unwritten:
            self._unwritten = history  # tried once: what cannot be written is told once
            stem = f"{self.game.scene.name}-{time.strftime('%Y%m%d-%H%M%S')}"
            self._try(lambda: self._begin_journal(self._free_path(stem, SUFFIX, SESSIONS)), "")
        for film in [film for film in self._finishing if film.done]:
            self._finishing.remove(film)
            if film.error is None:
                self.saved.append(film.path)
                self._tell(f"saved {film.path} ({film.num_frames} frames)")
            else:
                self.game.problem = f"{film.path} could not be written: {film.error}"
        if self._pasted is not None and self._pasted[0].done():
            (found, open_picture), self._pasted = self._pasted, None
            self._take_pasted(found, open_picture)
        for export in [export for export in self._exports if export[0].done()]:
            self._exports.remove(export)
            if (error := export[0].exception()) is None:
                self.saved += export[1]
                self._tell(f"saved {', '.join(path.name for path in export[1])} in {self.out}")
            else:
                self.game.problem = f"The path could not be exported: {error}"

    def close(self) -> None:
        """Finishes what is being written."""
        self._stop_film()
        for film in self._finishing:
            if film.wait(timeout=30) and film.error is None:
                self.saved.append(film.path)
        self._worker.close(timeout=30)

    def note(self, text: str) -> None:
        """A text, as a file."""
        path = self._free_path("report", ".txt")
        self._try(lambda: atomic_write_text(path, text), f"saved {path}")

    def _take_pasted(self, found: Future[Path | None], open_picture: Callable[[str], None]) -> None:
        if (error := found.exception()) is not None:
            self.game.problem = f"Nothing was pasted: {error}"
        elif (path := found.result()) is None:
            self._tell(NOTHING_TO_PASTE)
        else:
            open_picture(str(path))

    def _log_header(self, model: WorldModel) -> dict[str, Any]:
        """Of the walk that led here."""
        history = self.game.history
        return log_header(model.spec, history.shelf.state(history.timeline.path()[0]), self.game.worlds.sampling)

    def _begin_journal(self, path: Path) -> None:
        self.game.history.journal = Journal(path, self._walked())

    def _walked(self) -> Session:
        return self.game.history.session(self.game.worlds.walker(self.game.seed))

    def _stop_film(self) -> None:
        if self._film is not None:
            self._film.finish()
            self._finishing.append(self._film)
            self._film = None

    def _try(self, save: Callable[[], None], saved: str) -> None:
        try:
            save()
        except (OSError, ValueError) as error:
            self.game.problem = f"This could not be saved: {error}"
        else:
            if saved:
                self._tell(saved)

    def _free_path(self, stem: str, suffix: str, folder: str = "") -> Path:
        place = self.out / folder
        path, number = place / f"{stem}{suffix}", 1
        while path.exists() or any(film.path == path for film in self._finishing):
            number += 1
            path = place / f"{stem}-{number}{suffix}"
        return path
