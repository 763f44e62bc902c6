"""What agent tests play the controller with: a key, a bare MQTT client, audio, enrolments."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from broadcasts.model import FileTrack, IfLate, InterruptAction, LateAction, Playlist, Priority
from controller.wire.messages import (
    Command,
    Emergency,
    EmergencySound,
    Enrolment,
    JournalAck,
    KeySet,
    MediaAccess,
    MqttAccess,
    NodeSettings,
    PlaylistsDoc,
    Repeat,
    encode,
)
from controller.wire.signing import SigningKey, generate_key, sign
from controller.wire.topics import Topics
from simulators.audio import RATE, find_ffmpeg
from tests.integration.conftest import MediaServer, Mosquitto

Samples = np.ndarray[Any, np.dtype[np.float64]]

TOPICS = Topics()


def now() -> datetime:
    return datetime.now(UTC)


def noise(seconds: float, seed: int) -> Samples:
    """Band-limited noise with a syllable-like envelope: correlates with itself and nothing else."""
    rng = np.random.default_rng(seed)
    count = int(seconds * RATE)
    smooth = np.convolve(rng.normal(size=count), np.ones(40) / 40, mode="same")
    envelope = 0.4 + 0.6 * np.abs(np.sin(np.arange(count) / RATE * 7))
    return np.asarray(0.25 * smooth * envelope / np.std(smooth))


def encoded(samples: Samples) -> bytes:
    """`samples` as Ogg Opus 24 kbit/s, as the studio makes it."""
    raw = (np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()
    source = ["-f", "s16le", "-ar", str(RATE), "-ac", "1", "-i", "pipe:0"]
    target = ["-c:a", "libopus", "-b:a", "24k", "-f", "ogg", "pipe:1"]
    command = [find_ffmpeg(), "-v", "error", *source, *target]
    return subprocess.run(command, input=raw, capture_output=True, check=True).stdout


class Rig:
    """A controller as a node sees it: signs, publishes, listens, acknowledges when told to."""

    def __init__(self, broker: Mosquitto, media: MediaServer) -> None:
        self.broker = broker
        self.media = media
        self.key: SigningKey = generate_key()
        self.heard: list[tuple[str, dict[str, Any] | None, bool]] = []
        self.acknowledging = True
        self.rev = 0
        self._client = self._connect()

    def _connect(self) -> mqtt.Client:
        client = mqtt.Client(CallbackAPIVersion.VERSION2, "controller", protocol=MQTTProtocolVersion.MQTTv5)
        client.username_pw_set("controller", "controller")
        client.reconnect_delay_set(1, 1)
        client.on_connect = lambda client, *_: client.subscribe("loa/v1/up/#", qos=1)
        client.on_message = self._on_message
        client.connect(self.broker.host, self.broker.port)
        client.loop_start()
        return client

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_message(self, client: mqtt.Client, _: object, message: mqtt.MQTTMessage) -> None:
        body = json.loads(message.payload) if message.payload else None
        self.heard.append((message.topic, body, message.retain))
        if self.acknowledging and message.topic.endswith("/journal"):
            self.acknowledge(message.topic.split("/")[-2], body["log"], body["n"])

    def acknowledge(self, node: str, log: str, upto: int) -> None:
        self._client.publish(TOPICS.journal_ack(node), encode(JournalAck(log, upto)), qos=1)

    # --- making things --------------------------------------------------------------------------------------

    def enrol(self, node: str) -> Enrolment:
        self.broker.add_user(node, "secret")
        self.media.users[node] = "secret"
        return Enrolment(
            node=node,
            root="loa/v1",
            mqtt=MqttAccess(self.broker.host, self.broker.port, node, "secret"),
            media=MediaAccess(self.media.base),
            keys=KeySet((self.key.public_jwk,)),
        )

    def track(self, samples: Samples) -> FileTrack:
        data = encoded(samples)
        sha256 = self.media.put(data)
        duration = round(len(samples) * 1000 / RATE)
        return FileTrack(sha256, f"/media/{sha256}.opus", len(data), duration)

    def publish_playlists(self, node: str, *playlists: Playlist, **changes: Any) -> bytes:
        self.rev += 1
        token = self.playlists(node, *playlists, **{"rev": self.rev, **changes})
        self.send(TOPICS.playlists(node), token, retain=True)
        return token

    def playlists(self, node: str, *playlists: Playlist, key: SigningKey | None = None, **changes: Any) -> bytes:
        at = now()
        document: dict[str, Any] = {
            "iss": "test",
            "aud": node,
            "iat": int(at.timestamp()),
            "exp": int(at.timestamp()) + 3600,
            "epoch": 1,
            "rev": 1,
            "valid_until": at + timedelta(hours=1),
            "settings": NodeSettings(zones=("na-meo", "all"), heartbeat_s=1),
            "playlists": playlists,
        }
        return sign(PlaylistsDoc(**{**document, **changes}), key or self.key)

    def command(self, node: str, do: str, id: str, **args: Any) -> None:
        at = now()
        command = Command(
            iss="test",
            aud=node,
            iat=int(at.timestamp()),
            exp=int(at.timestamp()) + 30,
            epoch=1,
            id=id,
            do=do,  # type: ignore[arg-type]
            args=args,
            not_after=at + timedelta(seconds=30),
        )
        self.send(TOPICS.command(node), sign(command, self.key))

    def emergency(self, zone: str, id: str, *tracks: FileTrack, rev: int = 1, active: bool = True) -> None:
        at = now()
        emergency = Emergency(
            iss="test",
            aud=f"zone:{zone}",
            iat=int(at.timestamp()),
            exp=int(at.timestamp()) + 60,
            epoch=1,
            id=id,
            rev=rev,
            active=active,
            not_after=at + timedelta(seconds=60),
            repeat=Repeat(2, 200),
            tracks=tracks,
        )
        self.send(TOPICS.emergency(zone), sign(emergency, self.key), retain=True)

    def send(self, topic: str, payload: bytes, *, retain: bool = False) -> mqtt.MQTTMessageInfo:
        return self._client.publish(topic, payload, qos=1, retain=retain)

    # --- waiting for what nodes say ---------------------------------------------------------------------------

    def said(self, node: str, kind: str) -> list[dict[str, Any]]:
        """Journal entries of a kind, once each, in order."""
        topic = TOPICS.journal(node)
        entries = {body["n"]: body for name, body, _ in self.heard if name == topic and body["kind"] == kind}
        return [entries[n] for n in sorted(entries)]

    def last(self, topic: str) -> dict[str, Any] | None:
        bodies = [body for name, body, _ in self.heard if name == topic]
        return bodies[-1] if bodies else None

    def metrics(self, node: str) -> dict[str, Any]:
        heartbeat = self.last(TOPICS.heartbeat(node))
        return heartbeat["metrics"] if heartbeat else {}

    async def until(self, met: Callable[[], object], what: str, within_s: float = 15.0) -> Any:
        """Wait for something to become true (and return it)."""
        deadline = time.monotonic() + within_s
        while not (value := met()):
            assert time.monotonic() < deadline, f"never happened: {what}"
            await asyncio.sleep(0.02)
        return value


def playlist(id: str, start: datetime, *tracks: FileTrack, rank: int = 20, **changes: Any) -> Playlist:
    length = timedelta(milliseconds=sum(track.duration_ms for track in tracks))
    whole: dict[str, Any] = {
        "id": id,
        "broadcast": id.partition("@")[0],
        "title": id,
        "priority": Priority.NORMAL,
        "rank": rank,
        "start": start,
        "end": start + length,
        "if_late": IfLate(LateAction.JOIN, 600),
        "if_interrupted": InterruptAction.RESUME,
        "volume": 70,
        "tracks": tracks,
    }
    return Playlist(**{**whole, **changes})


def settings_with_sound(name: str, track: FileTrack) -> NodeSettings:
    sound = EmergencySound(name, track.sha256, track.url)
    return NodeSettings(zones=("na-meo", "all"), heartbeat_s=1, emergency_sounds=(sound,))


async def ask(path: Path, **request: Any) -> dict[str, Any]:
    """One request to a control socket."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(json.dumps(request).encode() + b"\n")
    answer = json.loads(await reader.readline())
    writer.close()
    await writer.wait_closed()
    return dict(answer)
