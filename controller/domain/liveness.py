"""Is the node alive? One transition table; an event that is not in it is an error."""

from __future__ import annotations

from enum import StrEnum


class Liveness(StrEnum):
    """What the controller believes of a node's connection."""

    UNKNOWN = "unknown"
    ONLINE = "online"
    SUSPECT = "suspect"
    OFFLINE = "offline"
