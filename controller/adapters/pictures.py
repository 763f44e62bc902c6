"""Pictures of repairs, read and written with Pillow: upright, and without what the camera knew of place and device."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass

from PIL import Image, ImageOps

from controller.domain.workorders import PhotoRefused

KINDS = {"JPEG": "image/jpeg", "MPO": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
"""Pillow's formats and their media types. A phone's JPEG that holds a second picture is an MPO."""
MAX_PIXELS = 64_000_000
"""Of a decoded picture, which takes 3 bytes each: a small file can claim to be huge."""
QUALITY = 90
SMALL = 480
"""Pixels of the longer side of what a card shows."""
UNREADABLE = (OSError, ValueError, SyntaxError, EOFError, IndexError, struct.error, zlib.error)
"""What Pillow raises for a file that is broken or lies."""


@dataclass(frozen=True, slots=True)
class Bare:
    """A picture that says nothing but what is to be seen. `kind`: its media type."""

    kind: str
    content: bytes


def bare(content: bytes) -> Bare:
    """`content` decoded and written anew: no EXIF, XMP, comments, thumbnails or anything after the end survive that.
    PhotoRefused for what cannot be read."""
    image = _read(content)
    kept = "JPEG" if image.format == "MPO" else str(image.format)
    upright = _plain(ImageOps.exif_transpose(image), alpha=kept != "JPEG")
    return Bare(KINDS[kept], _written(upright, kept))


def small(content: bytes) -> bytes:
    """A JPEG of at most SMALL pixels a side of a picture that `bare` made."""
    with Image.open(io.BytesIO(content)) as image:
        image.draft("RGB", (SMALL, SMALL))
        image.thumbnail((SMALL, SMALL))
        return _written(_plain(image, alpha=False), "JPEG")


def _read(content: bytes) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(content), formats=("JPEG", "PNG", "WEBP"))
        if image.width * image.height > MAX_PIXELS:
            raise PhotoRefused("size", f"the picture has {image.width} x {image.height} pixels")
        image.load()
    except PhotoRefused:
        raise
    except Image.DecompressionBombError as error:
        raise PhotoRefused("size", str(error)) from None
    except UNREADABLE as error:
        raise PhotoRefused("kind", f"the picture cannot be read: {error}") from None
    return image


def _plain(image: Image.Image, *, alpha: bool) -> Image.Image:
    """Pixels alone: what Pillow remembers beside them it would write again."""
    has_alpha = alpha and ("A" in image.mode or "transparency" in image.info)
    plain = image.convert("RGBA" if has_alpha else "RGB")
    plain.info = {}
    return plain


def _written(image: Image.Image, kind: str) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **({} if kind == "PNG" else {"quality": QUALITY}))
    return out.getvalue()
