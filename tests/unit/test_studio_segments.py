"""Which items sound as one piece of audio, and which stand alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcasts.model import Chime, File, Item, Pause, Say, Stream
from broadcasts.studio.errors import AudioRefused
from broadcasts.studio.segments import Relay, Segment, about, divide

CHIME, SAY, SHORT, PAUSE = Chime("open"), Say("Xin chào"), File("short.wav"), Pause(500)
LONG, STREAM, LONG_PAUSE = File("long.wav"), Stream("http://radio", 1000), Pause(600_000)


def divided(*items: Item) -> list[Segment | Pause | Relay]:
    alone = [place for place, item in enumerate(items) if item in (LONG, STREAM, LONG_PAUSE)]
    return list(divide(items, frozenset(alone)))


def test_neighbours_and_all_their_pauses_are_one_asset() -> None:
    items = (PAUSE, CHIME, PAUSE, SAY, SHORT, PAUSE)
    assert divided(*items) == [Segment(0, items)]


def test_a_pause_beside_a_stream_is_a_pause_of_the_node() -> None:
    assert divided(SAY, PAUSE, STREAM, PAUSE, CHIME) == [
        *(Segment(0, (SAY,)), PAUSE),
        *(Relay(2, STREAM), PAUSE),
        Segment(4, (CHIME,)),
    ]


def test_a_long_file_is_an_asset_of_its_own() -> None:
    assert divided(CHIME, PAUSE, PAUSE, LONG, SAY) == [
        *(Segment(0, (CHIME,)), PAUSE, PAUSE),
        Segment(3, (LONG,), long=True),
        Segment(4, (SAY,)),
    ]


def test_ten_minutes_of_silence_are_not_rendered() -> None:
    assert divided(SAY, PAUSE, LONG_PAUSE, SAY) == [Segment(0, (SAY,)), PAUSE, LONG_PAUSE, Segment(3, (SAY,))]


def test_a_pause_between_the_end_and_a_stream_stays_a_pause() -> None:
    assert divided(STREAM, PAUSE) == [Relay(0, STREAM), PAUSE]
    assert divided(PAUSE, STREAM) == [PAUSE, Relay(1, STREAM)]


@given(st.lists(st.sampled_from([CHIME, SAY, SHORT, PAUSE, LONG, STREAM, LONG_PAUSE]), max_size=12))
def test_nothing_is_lost_doubled_or_moved(items: list[Item]) -> None:
    flat: list[Item] = []
    for piece in divided(*items):
        match piece:
            case Segment():
                assert piece.first == len(flat)
                flat.extend(piece.parts)
            case Relay():
                assert piece.first == len(flat)
                flat.append(piece.stream)
            case Pause():
                flat.append(piece)
    assert flat == items


def test_a_refusal_says_which_item_is_meant() -> None:
    with pytest.raises(AudioRefused, match="is silent") as caught, about(3):
        raise AudioRefused("x.wav is silent", permanent=False)
    assert (caught.value.item, caught.value.permanent) == (3, False)
