"""Breaking and mending a node from outside: what the parts model cannot do alone, because the whole node
is concerned (its connection, its clock, its storage, its power)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

from controller.wire.messages import PlaylistsDoc
from controller.wire.signing import generate_key, sign
from simulators.parts import Value

if TYPE_CHECKING:
    from simulators.agent import Node

RESTART_S = 3.0
"""From mains back (or a reboot) to the first sign of life."""


def inject(node: Node, code: str, args: Mapping[str, Value]) -> dict[str, Value]:
    """Break something by its fault code; the arguments in force. Raises UnknownFault."""
    node.settle_parts()
    in_force = node.parts.inject(code, args)
    match code:
        case "link":
            node.link.abort(silent=bool(in_force["silent"]))
        case "clock":
            node.set_clock(timedelta(milliseconds=float(in_force["offset_ms"])), synced=False)
        case "clock-drift":
            node.set_clock(timedelta(milliseconds=float(in_force["offset_ms"])), synced=True)
        case "emergency-sound":
            _spoil_sounds(node)
        case "security":
            node.on_message(node.topics.playlists(node.id), _forgery(node), False)
        case "reboots":
            node.errands.spawn(_reboot(node, int(in_force["times"])), f"reboots of {node.id}")
        case "mains-lost" if node.powered:
            node.vitals.watch_battery()
    node.vitals.changed()
    return in_force


def mend(node: Node, code: str | None) -> list[str]:
    """Repair one thing or (None) everything; what was repaired. Raises UnknownFault."""
    node.settle_parts()
    mended = node.parts.mend(code)
    for one in mended:
        match one:
            case "link" if node.powered:
                node.link.open()
            case "clock" | "clock-drift":
                node.set_clock(timedelta(0), synced=True)
            case "emergency-sound":
                node.verify_sounds()
            case "security":
                node.vitals.clear_fault("security")
            case "mains-lost" if not node.powered:
                node.errands.spawn(_come_back(node), f"return of {node.id}")
    node.vitals.changed()
    return mended


async def _come_back(node: Node) -> None:
    await asyncio.sleep(RESTART_S)
    node.power_on()


async def _reboot(node: Node, times: int) -> None:
    for _ in range(times):
        node.power_off()
        await asyncio.sleep(RESTART_S)
        node.power_on()
        await asyncio.sleep(RESTART_S)


def _spoil_sounds(node: Node) -> None:
    """Bad blocks: what is held under a name is no longer what the name says."""
    held = node.obedience.sounds & node.assets.held
    if not held and node.powered:
        node.vitals.raise_fault("emergency-sound", "storage", {"corrupt": 1})
    for sha256 in held:
        path = node.assets.path(sha256)
        path.unlink()  # the file may share its blocks with other nodes' copies
        path.write_bytes(b"\0")
    node.verify_sounds()


def _forgery(node: Node) -> bytes:
    """A document that says everything right and is signed by somebody else."""
    now, holding = node.now(), node.obedience.holding
    document = PlaylistsDoc(
        iss="stranger",
        aud=node.id,
        iat=int(now.timestamp()),
        exp=int(now.timestamp()) + 3600,
        epoch=holding.highest_epoch,
        rev=holding.rev + 1,
        valid_until=now + timedelta(hours=1),
    )
    return sign(document, generate_key())
