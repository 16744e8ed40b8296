"""Picture files of all sorts: upright, in RGB, or refused in a sentence."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from world.errors import SceneError
from world.pictures import read_picture, to_rgb


def test_what_is_transparent_becomes_white() -> None:
    clear = Image.new("RGBA", (2, 2), (255, 0, 0, 0))
    assert to_rgb(clear).getpixel((0, 0)) == (255, 255, 255)
    palette = Image.new("P", (2, 2), 0)
    palette.putpalette([255, 0, 0])
    palette.info["transparency"] = 0
    assert to_rgb(palette).getpixel((0, 0)) == (255, 255, 255)


def test_grey_of_any_depth_keeps_its_tone() -> None:
    assert to_rgb(Image.new("L", (2, 2), 7)).getpixel((0, 0)) == (7, 7, 7)
    deep = Image.fromarray(np.full((2, 2), 100 * 257, np.uint16))
    assert to_rgb(deep).getpixel((0, 0)) == (100, 100, 100)


def test_a_camera_held_upright_gives_an_upright_picture(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise by 90 degrees to show
    Image.new("RGB", (80, 40)).save(path := tmp_path / "phone.jpg", exif=exif)
    assert read_picture(path).size == (40, 80)


def test_what_is_not_a_picture_is_refused(tmp_path: Path) -> None:
    (text := tmp_path / "notes.png").write_text("hello")
    (empty := tmp_path / "empty.png").write_bytes(b"")
    Image.effect_noise((64, 64), 50).save(whole := tmp_path / "whole.png")
    (cut := tmp_path / "cut.png").write_bytes(whole.read_bytes()[:1000])
    Image.new("RGB", (8, 8)).save(small := tmp_path / "small.png")
    Image.new("1", (13_000, 40)).save(long := tmp_path / "long.png")
    told = {
        tmp_path / "none.png": "there is no picture",
        text: "not a picture",
        empty: "not a picture",
        cut: "cannot be read as a picture",
        tmp_path: "cannot be read as a picture",
        small: "8 x 8",
        long: "13000 x 40",
    }
    for path, words in told.items():
        with pytest.raises(SceneError, match=words):
            read_picture(path)


@pytest.mark.parametrize("side", [11_000, 20_000])
def test_a_picture_that_would_fill_the_memory_is_refused_unread(tmp_path: Path, side: int) -> None:
    chunks = {b"IHDR": struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0), b"IDAT": zlib.compress(b"")}
    parts = [struct.pack(">I", len(c)) + n + c + struct.pack(">I", zlib.crc32(n + c)) for n, c in chunks.items()]
    (huge := tmp_path / "huge.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    with pytest.raises(SceneError, match="give a smaller picture"):
        read_picture(huge)
