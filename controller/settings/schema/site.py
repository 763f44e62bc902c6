"""site.yaml: who we are, where Loa keeps its data, and the three servers it talks through."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BeforeValidator, ValidationInfo

from broadcasts.arbitration import STANDING_MAX
from broadcasts.guards import USUAL, Span
from controller.domain.selftests import Daily
from controller.domain.site import Http, Mqtt, Site, StudioSettings
from controller.settings.context import Context, Secret, of
from controller.settings.schema.guards import GuardsIn, change, span
from controller.settings.sheet import Sheet, Strict
from controller.settings.suggest import did_you_mean, shown, slug
from controller.settings.values import (
    AnyPort,
    Flag,
    Id,
    Line,
    Volume,
    WebAddress,
    duration,
    line,
    number,
    one_of,
    whole,
)

VOICES = ("vi", "vi-vn-x-central", "vi-vn-x-south")
"""Names the speech adapter knows."""

_MQTT, _HTTP, _STUDIO, _DAILY = Mqtt(), Http(), StudioSettings(), Daily()
_NOT_ON_THE_NET = ("0.0.0.0", "::")  # noqa: S104 - compared with, never bound


_NICKNAMES = dict.fromkeys(("hanoi", "ha-noi", "vietnam", "viet-nam", "sai-gon"), "Asia/Ho_Chi_Minh")
"""What people call the zone of Việt Nam; near other zones by their letters."""


def _timezone(value: Any) -> ZoneInfo:
    text = line(value)
    try:
        return ZoneInfo(text)
    except (OSError, ValueError, KeyError):
        hint = did_you_mean(_NICKNAMES.get(slug(text.rpartition("/")[2]), text), available_timezones())
        raise ValueError(f"unknown timezone {shown(text)}{hint}") from None


def _root(value: Any) -> str:
    text = line(value)
    if re.fullmatch(r"[A-Za-z0-9._-]{1,40}(/[A-Za-z0-9._-]{1,40}){0,5}", text):
        return text
    raise ValueError(f"{shown(text)} is no topic root like loa/v1: letters, digits and '-' between single '/'")


def _inside(value: Any, info: ValidationInfo) -> str:
    return os.path.abspath(of(info).folder / os.path.expanduser(line(value)))


def _language(value: Any) -> str:
    return one_of(value, ("vi", "en"), "language")


def voice(value: Any) -> str:
    """The name of a voice that can be spoken with."""
    return one_of(value, VOICES, "voice")


def _store(value: str) -> str:
    """A database URL; it may hold a password and is never shown."""
    if value.startswith(("sqlite:///", "postgresql://", "postgresql+psycopg://")):
        return value
    raise ValueError("no database address like sqlite:////var/lib/loa/loa.db or postgresql+psycopg://host/loa")


LocalPath = Annotated[str, BeforeValidator(_inside)]
Language = Annotated[str, BeforeValidator(_language)]
Voice = Annotated[str, BeforeValidator(voice)]


class MqttIn(Strict):
    host: Line = _MQTT.host
    port: AnyPort = _MQTT.port
    root: Annotated[str, BeforeValidator(_root)] = _MQTT.root
    managed: Flag = _MQTT.managed
    tls: Flag = _MQTT.tls
    ca: LocalPath | None = None
    username: Line = ""
    password: Secret = ""


class HttpIn(Strict):
    host: Line = _HTTP.host
    port: AnyPort = _HTTP.port
    public_url: WebAddress = ""


class StudioIn(Strict):
    loudness_lufs: Annotated[float, BeforeValidator(number(-40, -8))] = _STUDIO.loudness_lufs
    true_peak_dbtp: Annotated[float, BeforeValidator(number(-12, 0))] = _STUDIO.true_peak_dbtp
    highpass_hz: Annotated[int, BeforeValidator(whole(0, 1000))] = _STUDIO.highpass_hz
    bitrate_kbps: Annotated[int, BeforeValidator(whole(8, 128))] = _STUDIO.bitrate_kbps
    voice: Voice = _STUDIO.voice
    words_per_minute: Annotated[int, BeforeValidator(whole(80, 300))] = _STUDIO.words_per_minute
    max_item: Annotated[timedelta, BeforeValidator(duration("1s", "24h"))] = timedelta(hours=3)
    assemble_up_to: Annotated[timedelta, BeforeValidator(duration("10s", "15m"))] = timedelta(minutes=3)
    ffmpeg: LocalPath | None = None


def _hours(value: Any) -> Span:
    found = span(value)
    if found.end <= found.begin:
        raise ValueError(f"{shown(str(found))} goes over midnight: self-tests of one day are within it")
    return found


class SelftestIn(Strict):
    between: Annotated[Span, BeforeValidator(_hours)] = Span(_DAILY.begin, _DAILY.end)
    daily: Flag = _DAILY.on


class SiteIn(Strict):
    id: Id
    name: Line
    timezone: Annotated[ZoneInfo, BeforeValidator(_timezone)]
    language: Language = "vi"
    data: LocalPath
    store: Annotated[Secret, AfterValidator(_store)] = ""
    horizon: Annotated[timedelta, BeforeValidator(duration("1d", "31d"))] = timedelta(days=7)
    heartbeat: Annotated[timedelta, BeforeValidator(duration("1s", "5m"))] = timedelta(seconds=10)
    volume_max: Volume = 100
    mqtt: MqttIn = MqttIn()
    http: HttpIn = HttpIn()
    studio: StudioIn = StudioIn()
    emergency_sounds: Any = None
    selftest: SelftestIn = SelftestIn()
    guards: GuardsIn | None = None
    ranks: dict[str, Any] = {}  # noqa: RUF012 - pydantic copies it; `ranks` reads what is in it


def read(sheet: Sheet, context: Context) -> Site | None:
    """The site, or None after its mistakes were recorded. Tells `context` the zone and the loudest volume."""
    _check_public_url(sheet)
    _check_managed(sheet)
    given = sheet.read(SiteIn, (), context)
    if given is None:
        return None
    context.zone, context.volume_max, context.voice = given.timezone, given.volume_max, given.studio.voice
    return _site(given)


def _check_public_url(sheet: Sheet) -> None:
    http = sheet.root.get("http")
    if isinstance(http, dict) and http.get("host") in _NOT_ON_THE_NET and "public_url" not in http:
        message = "nodes cannot fetch from every address at once: add http.public_url, the one they reach"
        sheet.problem(("http", "host"), message)


def _check_managed(sheet: Sheet) -> None:
    mqtt = sheet.root.get("mqtt")
    if isinstance(mqtt, dict) and mqtt.get("managed", "yes") in ("yes", "true") and mqtt.get("tls") in ("yes", "true"):
        message = "the broker that Loa starts itself speaks no TLS: 'managed: no' for one that does"
        sheet.problem(("mqtt", "tls"), message)


def ranks(sheet: Sheet, broadcasts: Iterable[str], context: Context) -> dict[str, int]:
    """What the site's table adds to ranks, by broadcast. `broadcasts`: ids there are, right or wrong otherwise."""
    table, known, found = sheet.root.get("ranks"), frozenset(broadcasts), {}
    for name, written in table.items() if isinstance(table, dict) else ():
        if name not in known:
            message = f"unknown broadcast {shown(name)}{context.meant(name, known)}"
            sheet.problem(("ranks", name), message, at_key=True)
        try:
            found[name] = whole(0, STANDING_MAX)(written)
        except ValueError as error:
            sheet.problem(("ranks", name), str(error))
    return found


def _site(given: SiteIn) -> Site:
    return Site(
        id=given.id,
        name=given.name,
        zone=given.timezone,
        language=given.language,
        data=given.data,
        store_url=given.store or f"sqlite:///{Path(given.data) / 'loa.db'}",
        horizon_days=given.horizon.days,
        heartbeat_s=int(given.heartbeat.total_seconds()),
        volume_max=given.volume_max,
        mqtt=_mqtt(given.mqtt),
        http=Http(given.http.host, given.http.port, given.http.public_url),
        studio=_studio(given.studio),
        selftest=Daily(given.selftest.between.begin, given.selftest.between.end, given.selftest.daily),
        guards=change(given.guards).over(USUAL),
    )


def _mqtt(given: MqttIn) -> Mqtt:
    return Mqtt(
        host=given.host,
        port=given.port,
        root=given.root,
        managed=given.managed,
        tls=given.tls,
        ca=given.ca or "",
        username=given.username,
        password=given.password,
    )


def _studio(given: StudioIn) -> StudioSettings:
    return StudioSettings(
        loudness_lufs=given.loudness_lufs,
        true_peak_dbtp=given.true_peak_dbtp,
        highpass_hz=given.highpass_hz,
        bitrate_kbps=given.bitrate_kbps,
        voice=given.voice,
        words_per_minute=given.words_per_minute,
        max_item_s=int(given.max_item.total_seconds()),
        assemble_up_to_s=int(given.assemble_up_to.total_seconds()),
        ffmpeg=given.ffmpeg or "",
    )
