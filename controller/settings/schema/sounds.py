"""emergency_sounds of site.yaml: what every node holds ahead, so that nothing is fetched when it matters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import model_validator

from broadcasts.model import File, Say
from controller.domain.site import HeldSound
from controller.settings.context import Context
from controller.settings.schema.broadcasts import Audio
from controller.settings.schema.site import Voice
from controller.settings.sheet import Sheet, Steps, Strict
from controller.settings.suggest import shown
from controller.settings.values import Prose, identifier
from controller.settings.yaml_source import Map

MOST = 30
"""Each is held twice by every node, and checked by it."""

COMMAND_WORDS = frozenset({"start", "end", "update", "list"})
"""What `loa emergency` takes for an order of its own."""

KEY = "emergency_sounds"


class SoundIn(Strict):
    say: Prose | None = None
    file: Audio | None = None
    voice: Voice = ""

    @model_validator(mode="before")
    @classmethod
    def _text(cls, value: Any) -> Any:
        return {"say": value} if isinstance(value, str) else value


def read(sheet: Sheet, context: Context) -> tuple[HeldSound, ...]:
    """The sounds without mistakes, in the order of the file."""
    block = sheet.root.get(KEY)
    if KEY not in sheet.root:
        return ()
    if not isinstance(block, Map):
        sheet.problem((KEY,), "names of sounds with what each says are wanted here, like 'lu-quet: Lũ quét! ...'")
        return ()
    if len(block) > MOST:
        sheet.problem((KEY,), f"{len(block)} sounds: at most {MOST}", at_key=True)
        return ()
    return tuple(_sounds(sheet, block, context))


def _sounds(sheet: Sheet, block: Map, context: Context) -> Iterator[HeldSound]:
    for name in block:
        steps: Steps = (KEY, name)
        named = _named(sheet, steps, name)
        given = sheet.read(SoundIn, steps, context)
        if given is None or not named:
            continue
        if (given.say is None) == (given.file is None):
            sheet.problem(steps, f"sound {shown(name)} needs one of 'say' and 'file'", at_key=True)
        elif given.file is not None and given.voice:
            sheet.problem((*steps, "voice"), "'voice' has no meaning for 'file', only for 'say'", at_key=True)
        else:
            message = File(given.file) if given.file else Say(given.say or "", given.voice or context.voice)
            yield HeldSound(name, message, f"{sheet.name}:{sheet.place(steps, at_key=True).line}")


def _named(sheet: Sheet, steps: Steps, name: str) -> bool:
    try:
        identifier(name)
    except ValueError as error:
        sheet.problem(steps, str(error), at_key=True)
        return False
    if name in COMMAND_WORDS:
        sheet.problem(steps, f"{shown(name)} is an order of 'loa emergency', not a name for a sound", at_key=True)
    return name not in COMMAND_WORDS


__all__ = ["read"]
