"""The clipboard of the desktop: text by SDL, pictures by Pillow, which asks the desktop's own tools."""

from __future__ import annotations

import time
from pathlib import Path
from urllib.parse import unquote, urlparse

import pygame
from PIL import Image, ImageGrab

from world.errors import WorldError
from world.files import atomic_path

_TEXT = "text/plain;charset=utf-8"  # the only kind that pygame has with SDL 2, whatever pygame.SCRAP_TEXT says


def put(text: str) -> bool:
    """Text into the clipboard; whether that worked."""
    try:
        pygame.scrap.init()
        pygame.scrap.put(_TEXT, text.encode())
    except (pygame.error, NotImplementedError):
        return False
    return True


def text() -> str:
    """The text that lies in the clipboard; "" where there is none."""
    try:
        pygame.scrap.init()
        found = pygame.scrap.get(_TEXT) or b""
    except (pygame.error, NotImplementedError):
        return ""
    return found.decode(errors="replace").strip("\0\r\n ")


def picture(folder: Path) -> Path | None:
    """The path of the picture that lies in the clipboard, which is written into `folder`; None where there is none.

    May take as long as whoever owns the clipboard: not for the window's own thread. Raises WorldError where the
    desktop's tool is missing, OSError where the picture cannot be had or written.
    """
    try:
        found = ImageGrab.grabclipboard()
    except NotImplementedError as error:
        cure = "apt-get install xclip (X11) or wl-clipboard (Wayland), or drop the picture on the window"
        raise WorldError(f"pictures in the clipboard cannot be read here ({error}): {cure}") from error
    if isinstance(found, Image.Image):
        path = folder / f"pasted-{time.strftime('%Y%m%d-%H%M%S')}.png"
        with atomic_path(path) as partial:
            found.save(partial, format="PNG")
        return path
    return next((path for name in found or () if (path := Path(name)).is_file()), None)


def path_of(text: str) -> Path:
    """The path that a text means: as it stands, with ~, or as a file:// address."""
    return Path(unquote(urlparse(text).path)) if text.startswith("file://") else Path(text).expanduser()
