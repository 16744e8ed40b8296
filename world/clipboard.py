"""The clipboard of the desktop, as far as SDL reaches it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlparse

import pygame

from world.files import atomic_path

_PICTURES = {"image/png": ".png", "image/jpeg": ".jpg", "image/bmp": ".bmp"}
_TEXTS = ("text/uri-list", "text/plain;charset=utf-8", pygame.SCRAP_TEXT)


def put(text: str) -> bool:
    """Text into the clipboard; whether that worked."""
    try:
        pygame.scrap.init()
        pygame.scrap.put(pygame.SCRAP_TEXT, text.encode())
    except (pygame.error, NotImplementedError):
        return False
    return True


def picture(folder: Path) -> Path | None:
    """The path of the picture that lies in the clipboard, as `picture_among` has it."""
    try:
        pygame.scrap.init()
        found = {kind: pygame.scrap.get(kind) for kind in (*_PICTURES, *_TEXTS)}
    except (pygame.error, NotImplementedError):
        return None
    return picture_among(found, folder)


def picture_among(contents: Mapping[str, bytes | None], folder: Path) -> Path | None:
    """The path of a picture among contents by their MIME types, None where there is none.

    A picture itself is written into `folder`; whether it can be read is told by whoever reads it. Raises OSError where
    it cannot be written.
    """
    for kind, suffix in _PICTURES.items():
        if content := contents.get(kind):
            path = folder / f"pasted-{time.strftime('%Y%m%d-%H%M%S')}{suffix}"
            with atomic_path(path) as partial:
                partial.write_bytes(content)
            return path
    texts = [(contents.get(kind) or b"").decode(errors="replace").strip("\0\r\n ") for kind in _TEXTS]
    return next((path for text in texts if text and (path := path_of(text)).is_file()), None)


def path_of(text: str) -> Path:
    """The path that a text means: as it stands, with ~, or as a file:// address."""
    return Path(unquote(urlparse(text).path)) if text.startswith("file://") else Path(text).expanduser()
