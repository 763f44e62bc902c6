"""The revisions that are shipped with the program, and Alembic to run them."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

FOLDER = Path(__file__).with_name("migrations")


def run_to_head(connection: Connection) -> None:
    """Run what is missing, inside the transaction that `connection` has begun."""
    command.upgrade(config(connection), "head")


def known() -> frozenset[str]:
    """Every revision of this program."""
    return frozenset(script.revision for script in scripts().walk_revisions())


def scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(config())


def config(connection: Connection | None = None) -> Config:
    """Alembic's configuration. There is no alembic.ini: revisions are part of the package."""
    made = Config()
    made.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    made.attributes["connection"] = connection
    return made
