"""Sounds that are on hand beside the plan: what every node holds ahead for an emergency, and what sounds in one.

Each held sound is there twice, as it is and as a drill: a drill says of itself that it is one, before and after.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from broadcasts.model import Chime, File, Item, Pause, Rendered, Say, Track, assets_of
from controller.domain.site import HeldSound, Settings
from controller.ports import AudioRefused, Library
from controller.wire.messages import EmergencySound

DRILL_WORDS = "Đây là diễn tập."
DRILL_SUFFIX = "-dien-tap"
_BREATH = Pause(600)

Key = tuple[str, bool]
"""A held sound's name, and whether it is the drill of it."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """Held sounds of one configuration, rendered; `problems` are lines about those whose audio is refused."""

    sounds: Mapping[Key, Rendered] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


def alarm_items(message: Say | File, *, drill: bool) -> tuple[Item, ...]:
    """What sounds: a text after the alarm chime, a recording as it is; a drill says that it is one."""
    items: tuple[Item, ...] = (Chime("alarm"), message) if isinstance(message, Say) else (message,)
    if not drill:
        return items
    words = Say(DRILL_WORDS, message.voice) if isinstance(message, Say) else Say(DRILL_WORDS)
    return (Chime("open"), words, _BREATH, *items, _BREATH, words)


class Sounds:
    """Which assets must not be dropped though no playlist needs them."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._prepared = Prepared()
        self._in_use: dict[str, frozenset[str]] = {}

    async def prepare(self, settings: Settings) -> Prepared:
        """Render the held sounds of `settings`; nothing changes until `adopt`."""
        wanted = [(sound, drill) for sound in settings.site.emergency_sounds for drill in (False, True)]
        outcomes = await asyncio.gather(*(self._try(sound, drill) for sound, drill in wanted))
        sounds, problems = {}, []
        for (sound, drill), outcome in zip(wanted, outcomes, strict=True):
            if isinstance(outcome, Rendered):
                sounds[sound.name, drill] = outcome
            elif not drill:
                problems.append(f"{sound.place}: emergency sound '{sound.name}': {outcome}")
        return Prepared(sounds, tuple(problems))

    async def _try(self, sound: HeldSound, drill: bool) -> Rendered | str:
        try:
            return await self._library.render(alarm_items(sound.message, drill=drill))
        except AudioRefused as error:
            return str(error)

    def adopt(self, prepared: Prepared) -> None:
        """These are the held sounds from now on."""
        self._prepared = prepared

    def held(self, name: str, *, drill: bool) -> Rendered | None:
        """A held sound's tracks; None before it is rendered."""
        return self._prepared.sounds.get((name, drill))

    def on_nodes(self) -> tuple[EmergencySound, ...]:
        """What every node's document tells it to hold."""
        return tuple(
            EmergencySound(name + (DRILL_SUFFIX if drill else ""), asset.sha256, asset.url)
            for (name, drill), rendered in sorted(self._prepared.sounds.items())
            for track in rendered.tracks
            for asset in assets_of(track)
        )

    def keep(self, emergency: str, tracks: Iterable[Track]) -> None:
        """`emergency` needs the assets of `tracks` until it is let go."""
        self._in_use[emergency] = frozenset(asset.sha256 for track in tracks for asset in assets_of(track))

    def let_go(self, emergency: str) -> None:
        self._in_use.pop(emergency, None)

    def needed(self) -> set[str]:
        """SHA-256 of everything that is to stay."""
        held = {sound.sha256 for sound in self.on_nodes()}
        return held.union(*self._in_use.values())


__all__ = ["DRILL_WORDS", "Prepared", "Sounds", "alarm_items"]
