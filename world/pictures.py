"""Picture files in: any that Pillow opens, upright, in RGB."""

from __future__ import annotations

import warnings
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from world.errors import SceneError

_SMALLEST, _LARGEST = 32, 12_000  # pixels, the side of a picture


def read_picture(path: str | Path) -> Image.Image:
    """The picture in a file: RGB, upright by its EXIF tag, transparency on white.

    Raises SceneError where there is none, it is broken, or it has a side that no model can do anything with.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                width, height = image.size
                if min(width, height) < _SMALLEST or max(width, height) > _LARGEST:
                    raise SceneError(
                        f"{path} is {width} x {height}: give a picture of {_SMALLEST} to {_LARGEST} pixels a side"
                    )
                return to_rgb(ImageOps.exif_transpose(image))
    except FileNotFoundError:
        raise SceneError(f"there is no picture {path}: check the path") from None
    except UnidentifiedImageError:
        raise SceneError(f"{path} is not a picture that can be read: use png or jpg") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        most = (Image.MAX_IMAGE_PIXELS or 0) // 10**6
        raise SceneError(f"{path} has more than {most} million pixels: give a smaller picture") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise SceneError(f"{path} cannot be read as a picture ({error}): give a whole png or jpg") from None


def to_rgb(image: Image.Image) -> Image.Image:
    """RGB; what is transparent becomes white."""
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    elif image.mode.startswith("I;16"):
        image = image.point(lambda value: value / 257).convert("L")
    return image.convert("RGB")
