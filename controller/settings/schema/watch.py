"""`watch:` of alerts.yaml: how the controller itself is watched, and who gets its daily life sign."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import time, timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator

from controller.domain.watching import WatchSettings
from controller.settings import values
from controller.settings.context import Secret
from controller.settings.sheet import Sheet, Strict
from controller.settings.suggest import did_you_mean, shown
from controller.settings.values import Id, Many


def _every(value: Any) -> timedelta:
    """A length of time, or `no`."""
    if values.scalar(value, "a length of time or 'no'") in ("no", "false"):
        return timedelta()
    return values.duration("2m", "30m")(value)


class DeadManIn(Strict):
    url: Secret
    every: Annotated[timedelta, BeforeValidator(values.duration("1m", "1h"))] = timedelta(minutes=5)


class LifeSignIn(Strict):
    at: Annotated[time, BeforeValidator(values.time_of_day)] = time(6, 30)
    to: Many[Id]


Megabytes = Annotated[int, BeforeValidator(values.whole(1, 10_000_000))]


class DiskIn(Strict):
    low_mb: Megabytes = 2000
    full_mb: Megabytes = 500


class WatchIn(Strict):
    canary: Annotated[timedelta, BeforeValidator(_every)] = timedelta(minutes=15)
    dead_man: DeadManIn | None = None
    life_sign: LifeSignIn | None = None
    disk: DiskIn = DiskIn()


def read(sheet: Sheet, given: WatchIn, people: Iterable[str]) -> WatchSettings:
    """What `given` says; mistakes that only show between its keys are recorded."""
    _check(sheet, given, list(people))
    usual = WatchSettings()
    life, dead = given.life_sign, given.dead_man
    return WatchSettings(
        canary_s=given.canary.total_seconds(),
        dead_man_url=dead.url if dead else "",
        dead_man_s=dead.every.total_seconds() if dead else usual.dead_man_s,
        life_sign_at=life.at if life else usual.life_sign_at,
        life_sign_to=tuple(life.to) if life else (),
        disk_low_mb=given.disk.low_mb,
        disk_full_mb=given.disk.full_mb,
    )


def _check(sheet: Sheet, given: WatchIn, people: list[str]) -> None:
    if given.dead_man is not None:
        if not given.dead_man.url.startswith(("http://", "https://")):
            sheet.problem(("watch", "dead_man", "url"), "not a URL of the form https://host/...")
        if not given.canary:
            why = "it is pinged only while the canary comes through, and 'canary' is 'no': give it a length of time"
            sheet.problem(("watch", "dead_man"), why, at_key=True)
    if given.disk.full_mb >= given.disk.low_mb:
        sheet.problem(("watch", "disk"), "'full_mb' must be less than 'low_mb'", at_key=True)
    for number, id in enumerate(given.life_sign.to if given.life_sign else ()):
        if id not in people:
            listed = isinstance(sheet.root["watch"]["life_sign"]["to"], list)
            where = ("watch", "life_sign", "to", *((number,) if listed else ()))
            sheet.problem(where, f"unknown person {shown(id)}{did_you_mean(id, people)}")
