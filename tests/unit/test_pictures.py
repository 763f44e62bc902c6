"""A picture of a repair says nothing of where it was taken and with what, and is the right way up."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from controller.adapters import pictures
from controller.domain.workorders import PhotoRefused
from tests.pictures import SERIAL, picture, talkative

KINDS = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}


@pytest.mark.parametrize("kind", KINDS)
def test_place_and_serial_numbers_are_gone(kind: str) -> None:
    told = talkative(kind)
    assert SERIAL.encode() in told
    made = pictures.bare(told)
    assert made.kind == KINDS[kind]
    assert SERIAL.encode() not in made.content
    with Image.open(io.BytesIO(made.content)) as image:
        assert dict(image.getexif()) == {}
        assert not {"exif", "xmp", "comment", "icc_profile"} & image.info.keys()


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_taken_with_the_phone_upright_stays_upright(kind: str) -> None:
    """Orientation 6: a viewer turns it by a quarter to the right. Red is then above blue."""
    made = pictures.bare(talkative(kind, orientation=6))
    with Image.open(io.BytesIO(made.content)) as image:
        assert image.size == (20, 40)
        above, below = (image.convert("RGB").getpixel((10, y)) for y in (5, 35))
    assert isinstance(above, tuple)
    assert isinstance(below, tuple)
    assert (above[0] > 200, above[2] < 60, below[0] < 60, below[2] > 200) == (True, True, True, True)


def test_what_cannot_be_read_is_refused() -> None:
    whole = picture()
    for broken in (b"\xff\xd8\xff\xe0" + bytes(50), whole[: len(whole) // 2], b"\x89PNG\r\n\x1a\n" + bytes(100)):
        with pytest.raises(PhotoRefused) as refused:
            pictures.bare(broken)
        assert refused.value.why == "kind"


def test_a_small_file_that_claims_to_be_huge_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(PhotoRefused) as refused:
        pictures.bare(picture("PNG", size=(9000, 8000)))
    assert refused.value.why == "size"


def test_a_small_one_is_small() -> None:
    with Image.open(io.BytesIO(pictures.small(picture("PNG", size=(2000, 1000))))) as image:
        assert (image.format, image.size) == ("JPEG", (480, 240))
