"""Pictures as phones make them, for tests."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image

SERIAL = "SN-4711-0815"
ORIENTATION, BODY_SERIAL, GPS, EXIF = 0x0112, 0xA431, 0x8825, 0x8769


def picture(kind: str = "JPEG", shade: int = 0, size: tuple[int, int] = (40, 20), **more: Any) -> bytes:
    """Left half red, right half of a `shade` of blue, as Pillow's format `kind`."""
    image = Image.new("RGB", size, (255, 0, 0))
    image.paste((0, 0, 255 - shade), (size[0] // 2, 0, *size))
    out = io.BytesIO()
    image.save(out, kind, **more)
    return out.getvalue()


def talkative(kind: str, orientation: int = 1) -> bytes:
    """A picture whose camera says where it was taken and with which device, also behind its end."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    exif.get_ifd(EXIF)[BODY_SERIAL] = SERIAL
    exif.get_ifd(GPS).update({1: "N", 2: (20.0, 21.0, 10.1), 3: "E", 4: (104.0, 39.0, 29.7)})
    comment = {"comment": SERIAL.encode()} if kind == "JPEG" else {}
    return picture(kind, exif=exif, **comment) + SERIAL.encode()
