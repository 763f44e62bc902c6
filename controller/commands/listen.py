"""Listening to the network: decoded, verified messages as they pass."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO
from zoneinfo import ZoneInfo

import typer

from controller.commands import base
from controller.commands.base import CONFIG, NOT_RUNNING, ConfigOption, Failure, JsonOption
from controller.commands.words import t

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from controller.adapters.lock import Lock
    from controller.domain.site import Mqtt, Settings
    from controller.ports import Received
    from controller.wire.topics import Topics

SHOWN = 160
"""Characters of a payload on one line of the terminal."""


TopicArgument = Annotated[
    str, typer.Argument(metavar="TOPIC", help=t("Below the root, as up/na-meo-01/#; everything if not given."))
]
CountOption = Annotated[int, typer.Option("--count", min=0, help=t("End after so many messages; 0: with Ctrl-C only."))]


RecordOption = Annotated[
    Path | None,
    typer.Option("--record", metavar="FILE", help=t("Also append every message to FILE, for loa check --replay.")),
]


def listen(
    topic: TopicArgument = "#",
    count: CountOption = 0,
    record: RecordOption = None,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    settings = base.load_settings(config)
    access, seat = _access(settings, config)
    try:
        with _Record(record) as kept:
            asyncio.run(_follow(settings, access, topic, count, as_json, kept))
    finally:
        if seat is not None:
            seat.release()


def _access(settings: Settings, config: Path) -> tuple[Mqtt, Lock | None]:
    """How to connect; of a managed broker's reading accounts the first that nobody uses."""
    from controller.adapters.datafolder import DataFolder
    from controller.adapters.lock import AlreadyRunning, Lock

    mqtt = settings.site.mqtt
    if not mqtt.managed:
        return mqtt, None
    told = base.controller(config).listen
    for user, password in told["accounts"].items():
        with suppress(AlreadyRunning):
            seat = Lock(DataFolder(Path(settings.site.data)).broker / f"{user}.lock")
            return replace(mqtt, host=told["host"], port=told["port"], username=user, password=password), seat
    raise Failure(t("{count} people listen already", count=len(told["accounts"])), NOT_RUNNING)


class _Record:
    """The file that messages are appended to, line by line, if there is one."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file: TextIO | None = None

    def __enter__(self) -> _Record:
        try:
            self._file = self._path.open("a", encoding="utf-8") if self._path else None
        except OSError as error:
            raise Failure(f"{self._path}: {error.strerror}") from None
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, line: str) -> None:
        if self._file is not None:
            print(line, file=self._file, flush=True)


async def _follow(settings: Settings, access: Mqtt, topic: str, count: int, as_json: bool, kept: _Record) -> None:
    from controller.adapters.clock import SystemClock
    from controller.adapters.datafolder import DataFolder
    from controller.adapters.keys import load_or_create
    from controller.adapters.mqtt import MqttBus
    from controller.ports import BusDown, Received
    from controller.wire.signing import load_keys
    from controller.wire.topics import Topics

    clock = SystemClock()
    topics = Topics(access.root)
    ring = load_or_create(DataFolder(Path(settings.site.data)).keys)
    reader = _Reader(topics, load_keys(ring.public.keys), settings.site.zone)
    bus = MqttBus(access, client_id=access.username, subscribe=f"{access.root}/{topic}", clock=clock)
    await bus.start()
    try:
        seen = 0
        async for batch in bus.events():
            for event in batch:
                if isinstance(event, BusDown):
                    base.complain(t("no connection: {reason}", reason=event.reason))
                if isinstance(event, Received):
                    now = clock.now()
                    kept.add(reader.line(event, now, as_json=True))
                    print(reader.line(event, now, as_json), flush=True)
                    seen += 1
                    if seen == count:
                        return
    finally:
        await bus.stop()


class _Reader:
    """Turns messages into lines."""

    def __init__(self, topics: Topics, keys: dict[str, Ed25519PublicKey], zone: ZoneInfo) -> None:
        self._topics = topics
        self._keys = keys
        self._zone = zone

    def line(self, message: Received, now: datetime, as_json: bool) -> str:
        body, verdict = self.read(message, now)
        topic = message.topic.removeprefix(self._topics.root + "/")
        if as_json:
            seen = {"at": now.isoformat(), "topic": topic, "retain": message.retain, "verdict": verdict}
            return json.dumps({**seen, "message": body}, ensure_ascii=False)
        raw = message.payload[:SHOWN].decode("utf-8", "replace")
        text = json.dumps(body, ensure_ascii=False) if body is not None else raw
        mark = f" [{verdict}]" if verdict else ""
        kept = t(" (retained)") if message.retain else ""
        return f"{now.astimezone(self._zone):%H:%M:%S.%f}"[:-3] + f"  {topic}{kept}{mark}  {_cut(text)}"

    def read(self, message: Received, now: datetime) -> tuple[Any, str]:
        """The decoded message and what was found of it: "" plain and well-formed, "signed", or the reason why a node
        would refuse it."""
        import msgspec

        from controller.wire import messages as wire
        from controller.wire.signing import Refused, verify

        if not message.payload:
            return None, "cleared"
        kind, audience = self._kind(message.topic)
        try:
            if issubclass(kind, wire.Claims):
                read: Any = verify(kind, message.payload, self._keys, audience=audience, now=now)
            else:
                read = wire.decode(kind, message.payload, limit=wire.MAX_PAYLOAD)
        except (Refused, wire.WireError) as error:
            return None, str(error)
        return msgspec.json.decode(wire.encode(read)), "signed" if audience else ""

    def _kind(self, topic: str) -> tuple[type[Any], tuple[str, ...]]:
        """What a message on `topic` must be, and for whom it is signed."""
        from controller.wire import messages as wire

        up = self._topics.parse_up(topic)
        if up is not None:
            kinds = {"status": wire.Status, "heartbeat": wire.Heartbeat, "journal": wire.JournalEntry}
            return kinds.get(up.kind, wire.FaultReport), ()
        match topic.removeprefix(self._topics.root + "/").split("/"):
            case ["dn", node, "playlists"]:
                return wire.PlaylistsDoc, (node,)
            case ["dn", node, "command"]:
                return wire.Command, (node,)
            case ["dn", _, "journal-ack"]:
                return wire.JournalAck, ()
            case ["zones", zone, "emergency"]:
                return wire.Emergency, (f"zone:{zone}",)
            case _:
                return wire.ControllerStatus, ()


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."
