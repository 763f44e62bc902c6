"""`guards:` of the site, a commune, a hamlet or a zone; `override:` of a broadcast."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from broadcasts.guards import Guard, GuardChange, Span
from controller.settings import values
from controller.settings.sheet import Strict
from controller.settings.suggest import shown
from controller.settings.values import Line, one_or_many, scalar

NONE = "none"


def span(value: Any) -> Span:
    """Hours of the day as 21:00-05:00."""
    text = scalar(value, "a span of hours")
    begin, dash, end = text.partition("-")
    if not dash:
        raise ValueError(f"{shown(text)} is no span of hours like 21:00-05:00, nor 'none'")
    found = Span(values.time_of_day(begin.strip()), values.time_of_day(end.strip()))
    if found.begin == found.end:
        raise ValueError(f"{shown(text)} has no length: for no quiet hours write 'none'")
    return found


def _spans(value: Any) -> tuple[Span, ...]:
    if value == NONE:
        return ()
    return tuple(map(span, one_or_many(value)))


def _limit(low: str, high: str) -> Callable[[Any], timedelta | None]:
    read = values.duration(low, high)
    return lambda value: None if value == NONE else read(value)


class GuardsIn(Strict):
    quiet: Annotated[tuple[Span, ...], BeforeValidator(_spans)] = Field(alias="quiet-hours", default=())
    session: Annotated[timedelta | None, BeforeValidator(_limit("1m", "24h"))] = None
    airtime: Annotated[timedelta | None, BeforeValidator(_limit("1m", "24h"))] = Field(
        alias="daily-airtime", default=None
    )
    gap: Annotated[timedelta | None, BeforeValidator(_limit("1s", "2h"))] = None


class OverrideIn(Strict):
    quiet: Line = Field(alias="quiet-hours", default="")
    session: Line = ""
    airtime: Line = Field(alias="daily-airtime", default="")
    gap: Line = ""


_NAMES = {"session": Guard.SESSION, "airtime": Guard.AIRTIME, "gap": Guard.GAP}


def change(given: GuardsIn | None) -> GuardChange:
    """What was written; what was not stays as it is."""
    if given is None:
        return GuardChange()
    written = given.model_fields_set
    limits = {guard: getattr(given, name) for name, guard in _NAMES.items() if name in written}
    return GuardChange(quiet=given.quiet if "quiet" in written else None, limits=limits)


def reasons(given: OverrideIn | None) -> tuple[tuple[str, str], ...]:
    """Guards that are passed, by name, each with its reason."""
    if given is None:
        return ()
    named = {"quiet": Guard.QUIET, **_NAMES}
    return tuple((guard.value, getattr(given, name)) for name, guard in named.items() if getattr(given, name))
