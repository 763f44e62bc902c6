"""Topic names of protocol v1: building them and taking them apart."""

from __future__ import annotations

import re
from dataclasses import dataclass

NODE_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,47}")


@dataclass(frozen=True, slots=True)
class Up:
    """An `up/{node}/{kind}` topic taken apart; `code` is set for `fault/{code}` only."""

    node: str
    kind: str
    code: str = ""


@dataclass(frozen=True, slots=True)
class Topics:
    """All topics under one root (`mqtt.root`, `loa/v1` by default)."""

    root: str = "loa/v1"

    def status(self, node: str) -> str:
        return f"{self.root}/up/{node}/status"

    def heartbeat(self, node: str) -> str:
        return f"{self.root}/up/{node}/heartbeat"

    def journal(self, node: str) -> str:
        return f"{self.root}/up/{node}/journal"

    def fault(self, node: str, code: str) -> str:
        return f"{self.root}/up/{node}/fault/{code}"

    def playlists(self, node: str) -> str:
        return f"{self.root}/dn/{node}/playlists"

    def command(self, node: str) -> str:
        return f"{self.root}/dn/{node}/command"

    def journal_ack(self, node: str) -> str:
        return f"{self.root}/dn/{node}/journal-ack"

    def emergency(self, zone: str) -> str:
        return f"{self.root}/zones/{zone}/emergency"

    def controller_status(self, controller: str) -> str:
        return f"{self.root}/controller/{controller}/status"

    @property
    def all_up(self) -> str:
        """The controller's one subscription."""
        return f"{self.root}/up/#"

    def parse_up(self, topic: str) -> Up | None:
        """Take an `up/` topic apart; None when it is not one that the protocol names."""
        prefix = f"{self.root}/up/"
        if not topic.startswith(prefix):
            return None
        parts = topic[len(prefix) :].split("/")
        if not NODE_ID.fullmatch(parts[0]):
            return None
        match parts[1:]:
            case ["status" | "heartbeat" | "journal" as kind]:
                return Up(parts[0], kind)
            case ["fault", code] if NODE_ID.fullmatch(code):
                return Up(parts[0], "fault", code)
            case _:
                return None
