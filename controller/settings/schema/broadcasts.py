"""broadcasts.yaml and broadcasts/*.yaml: what sounds, where, when."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationInfo, model_validator

from broadcasts.model import (
    AIRS_ONCE,
    EVERY_DAY,
    Broadcast,
    Chime,
    DateRange,
    File,
    IfLate,
    InterruptAction,
    Item,
    LateAction,
    Level,
    Pause,
    Priority,
    Repeat,
    Say,
    Stream,
    Weekday,
)
from broadcasts.recurrence import airings, dates, instant
from controller.settings import values
from controller.settings.context import Context, Target, of
from controller.settings.dates import HOLIDAYS, Lunar, Moment, Skip, Solar
from controller.settings.schema.guards import OverrideIn, reasons
from controller.settings.schema.site import Voice
from controller.settings.sheet import Sheet, Steps, Strict
from controller.settings.suggest import did_you_mean, shown
from controller.settings.values import Day, Flag, Id, Line, Many, Prose, TimeOfDay
from controller.settings.yaml_source import Map

CHIMES = ("open", "close", "alarm")
DEFAULT_VOLUME = 70


LOOKED_THROUGH = timedelta(days=5 * 366)
"""For a date that a rule airs on, if both ends of it are given."""


def _volume(value: Any, info: ValidationInfo) -> int:
    volume = values.whole(1, 100)(value)
    limit = of(info).volume_max
    if volume > limit and info.data.get("priority") is not Priority.EMERGENCY:
        raise ValueError(f"volume '{volume}' is over the site's volume_max of {limit}")
    return volume


def _audio(value: Any, info: ValidationInfo) -> str:
    """The absolute path of an audio file that lies in the configuration folder."""
    text, context = values.line(value), of(info)
    path = Path(os.path.abspath(context.folder / text))
    try:
        inside = path.resolve().is_relative_to(context.folder.resolve())
        if not inside:
            raise ValueError(f"file {shown(text)} lies outside of the configuration folder")
        if not path.exists():
            raise ValueError(f"no file {shown(text)}{_near_file(path, context)}")
        if not path.is_file():
            raise ValueError(f"{shown(text)} is a folder, not an audio file")
    except OSError as error:
        raise ValueError(f"file {shown(text)} cannot be read: {(error.strerror or '').lower()}") from None
    context.files.add(path)
    return str(path)


def _near_file(path: Path, context: Context) -> str:
    if not path.parent.is_dir():
        return ""
    near = did_you_mean(path.name, os.listdir(path.parent))
    folder = path.parent.relative_to(context.folder).as_posix()
    return near.replace("mean '", f"mean '{folder}/") if folder != "." else near


Audio = Annotated[str, BeforeValidator(_audio)]


class ChimeIn(Strict):
    chime: Annotated[str, BeforeValidator(lambda value: values.one_of(value, CHIMES, "chime"))]


class FileIn(Strict):
    file: Audio


class SayIn(Strict):
    say: Prose
    voice: Voice = ""


class PauseIn(Strict):
    pause: Annotated[timedelta, BeforeValidator(values.duration("100ms", "10m"))]


class StreamIn(Strict):
    stream: values.WebAddress
    length: Annotated[timedelta, BeforeValidator(values.duration("10s", "12h"))] = Field(alias="for")
    fallback: Audio | None = None
    on_silence: Annotated[timedelta, BeforeValidator(values.duration("5s", "5m"))] = timedelta(seconds=20)


ItemIn = ChimeIn | FileIn | SayIn | PauseIn | StreamIn
ITEMS: dict[str, type[ItemIn]] = {
    "chime": ChimeIn,
    "file": FileIn,
    "say": SayIn,
    "pause": PauseIn,
    "stream": StreamIn,
}


class IfLateIn(Strict):
    do: Annotated[LateAction, BeforeValidator(values.choice(LateAction, "if_late"))]
    within: Annotated[timedelta, BeforeValidator(values.duration("0s", "12h"))] = timedelta(minutes=10)

    @model_validator(mode="before")
    @classmethod
    def _one_word(cls, value: Any) -> Any:
        return {"do": value} if isinstance(value, str) else value


class RepeatIn(Strict):
    times: Annotated[int, BeforeValidator(values.whole(2, 100))]
    every: Annotated[timedelta, BeforeValidator(values.duration("1m", "12h"))]

    @model_validator(mode="after")
    def _within_a_day(self) -> RepeatIn:
        if (self.times - 1) * self.every >= timedelta(days=1):
            raise ValueError("the last of these repetitions would begin a day or more after the first")
        return self


class BroadcastIn(Strict):
    id: Id
    title: Line
    to: Many[Target]
    exclude: Many[Target] = Field(alias="except", default=())
    at: Many[TimeOfDay] = ()
    days: Many[Annotated[frozenset[Weekday] | None, BeforeValidator(values.weekdays)]] = (EVERY_DAY,)
    lunar: Many[Lunar] = ()
    solar: Many[Solar] = ()
    first: Day | None = Field(alias="from", default=None)
    last: Day | None = Field(alias="until", default=None)
    once: Many[Moment] = ()
    skip: Many[Skip] = ()
    repeat: RepeatIn | None = None
    priority: Annotated[Priority, BeforeValidator(values.choice(Priority, "priority"))] = Priority.NORMAL
    level: Annotated[Level, BeforeValidator(values.choice(Level, "level"))] = Level.DISTRICT
    volume: Annotated[int, BeforeValidator(_volume)] | None = None
    if_late: IfLateIn = IfLateIn(do=LateAction.JOIN)
    if_interrupted: Annotated[InterruptAction, BeforeValidator(values.choice(InterruptAction, "if_interrupted"))] = (
        InterruptAction.RESUME
    )
    allow_conflict: Flag = False
    override: OverrideIn | None = None
    play: Many[Any]


class BroadcastsIn(Strict):
    broadcasts: tuple[Any, ...]


def read(sheet: Sheet, context: Context, first: dict[str, str]) -> Iterator[Broadcast]:
    """The broadcasts of one file without mistakes. `first`: where each id was given first, over all files."""
    sheet.read(BroadcastsIn, (), context)
    for steps, block in sheet.blocks("broadcasts"):
        _check_id(sheet, steps, block, first)
        _check_schedule(sheet, steps, block)
        items = [_item(sheet, inner, entry, context) for inner, entry in _entries(sheet, steps, block)]
        given = sheet.read(BroadcastIn, steps, context)
        if given is None:
            continue
        _check_reach(sheet, steps, given, context)
        broadcast = _broadcast(given, [item for item in items if item], context, f"{sheet.name}:{_line(sheet, steps)}")
        _check_dates(sheet, steps, block, broadcast, context)
        if None not in items:
            yield broadcast


def _check_reach(sheet: Sheet, steps: Steps, given: BroadcastIn, context: Context) -> None:
    if context.reach is None:
        return
    wanted, unwanted = (
        frozenset().union(*(context.reach.get(name, frozenset()) for name in names))
        for names in (given.to, given.exclude)
    )
    if not wanted:
        sheet.problem((*steps, "to"), "no node is in any of these: this would never sound")
    elif not wanted - unwanted:
        sheet.problem((*steps, "except"), "this takes away every node of 'to': this would never sound")


def _line(sheet: Sheet, steps: Steps) -> int:
    return sheet.place(steps).line


def _check_id(sheet: Sheet, steps: Steps, block: Map, first: dict[str, str]) -> None:
    name = block.get("id")
    if not isinstance(name, str):
        return
    if name in first:
        sheet.problem((*steps, "id"), f"broadcast {shown(name)} is there already, in {first[name]}")
    first.setdefault(name, f"{sheet.name}:{_line(sheet, (*steps, 'id'))}")


def _check_schedule(sheet: Sheet, steps: Steps, block: Map) -> None:
    """What no key can say by itself: that it would never sound."""
    if "at" not in block and "once" not in block:
        sheet.problem(steps, "neither 'at' nor 'once': this would never sound")
    for key in ("days", "lunar", "solar", "from", "until"):
        if key in block and "at" not in block and "once" in block:
            sheet.problem((*steps, key), f"'{key}' has no meaning for 'once', only for 'at'", at_key=True)
    try:
        begin, end = values.day(block.get("from")), values.day(block.get("until"))
    except ValueError:
        return
    if begin > end:
        sheet.problem((*steps, "until"), f"'{end}' is before 'from' ({begin}): this would never sound")


def _check_dates(sheet: Sheet, steps: Steps, block: Map, broadcast: Broadcast, context: Context) -> None:
    """Whether calendar and skipped dates leave any day to sound on."""
    if not (broadcast.at or broadcast.once):
        return
    try:
        if (broadcast.at and _recurs(broadcast, context)) or (broadcast.once and _airs_once(broadcast, context)):
            return
    except (ValueError, OverflowError):  # a year that the calendar does not know, or that no date has
        return
    key = next((key for key in ("skip", "lunar", "solar", "days", "once") if key in block), "until")
    between = f"between {broadcast.first} and {broadcast.last}" if broadcast.at else "of 'once'"
    what = f"'skip' leaves no date {between}" if key == "skip" else f"none of these days is {between}"
    sheet.problem((*steps, key), f"{what}: this would never sound")


def _recurs(broadcast: Broadcast, context: Context) -> bool:
    """Whether the recurring part airs on any date. Only looked for where both ends are given and near."""
    first, last = broadcast.first, broadcast.last
    if first is None or last is None or last < first or last - first > LOOKED_THROUGH:
        return True
    return any(True for _ in dates(broadcast, context.calendar, first, last))


def _airs_once(broadcast: Broadcast, context: Context) -> bool:
    alone = replace(broadcast, at=())
    window = (min(broadcast.once), max(broadcast.once) + timedelta(seconds=1))
    return bool(airings(alone, context.zone, context.calendar, *window))


def _entries(sheet: Sheet, steps: Steps, block: Map) -> Iterator[tuple[Steps, Any]]:
    play = block.get("play")
    if isinstance(play, list):
        yield from (((*steps, "play", number), entry) for number, entry in enumerate(play))
    elif play is not None:
        yield (*steps, "play"), play


def _item(sheet: Sheet, steps: Steps, entry: Any, context: Context) -> Item | None:
    if not isinstance(entry, dict):
        what = "nothing" if entry is None else shown(entry)
        hint = f" (did you mean 'chime: {entry}'?)" if entry in CHIMES else ""
        sheet.problem(steps, f"'chime:', 'file:', 'say:', 'pause:' or 'stream:' is wanted here, not {what}{hint}")
        return None
    kinds = [key for key in entry if key in ITEMS]
    if len(kinds) > 1:
        message = f"'{kinds[0]}' and '{kinds[1]}' in one entry: give each a '-' of its own"
        sheet.problem((*steps, kinds[1]), message, at_key=True)
        return None
    if not kinds:
        key = next(iter(entry), "")
        hint = did_you_mean(key, ITEMS)
        message = f"unknown play item {shown(key)}: one of {', '.join(ITEMS)}{hint}"
        sheet.problem((*steps, key), message, at_key=True)
        return None
    given = sheet.read(ITEMS[kinds[0]], steps, context)
    return _made(given, context) if given else None


def _made(given: ItemIn, context: Context) -> Item:
    match given:
        case ChimeIn():
            return Chime(given.chime)
        case FileIn():
            return File(given.file)
        case SayIn():
            return Say(given.say, given.voice or context.voice)
        case PauseIn():
            return Pause(_ms(given.pause))
        case StreamIn():
            fallback = File(given.fallback) if given.fallback else None
            return Stream(given.stream, _ms(given.length), fallback, int(given.on_silence.total_seconds()))


def _ms(length: timedelta) -> int:
    return round(length.total_seconds() * 1000)


def _broadcast(given: BroadcastIn, items: list[Item], context: Context, place: str) -> Broadcast:
    volume = given.volume if given.volume is not None else min(DEFAULT_VOLUME, context.volume_max)
    return Broadcast(
        id=given.id,
        title=given.title,
        to=tuple(given.to),
        play=tuple(items),
        exclude=tuple(given.exclude),
        at=tuple(sorted(set(given.at))),
        days=frozenset().union(*(days for days in given.days if days is not None)),
        first=given.first,
        last=given.last,
        once=tuple(sorted({instant(local, context.zone) for local in given.once})),
        priority=given.priority,
        level=given.level,
        volume=volume,
        if_late=IfLate(given.if_late.do, int(given.if_late.within.total_seconds())),
        if_interrupted=given.if_interrupted,
        place=place,
        workdays=None in given.days,
        lunar=given.lunar,
        solar=given.solar,
        skip=tuple(entry for entry in given.skip if isinstance(entry, DateRange)),
        skip_holidays=HOLIDAYS in given.skip,
        repeat=Repeat(given.repeat.times, given.repeat.every) if given.repeat else AIRS_ONCE,
        allow_conflict=given.allow_conflict,
        override=reasons(given.override),
    )
