"""Credentials: enroll a node, the keys that sign."""

from __future__ import annotations

import getpass
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from controller.adapters.datafolder import DataFolder
from controller.commands import base
from controller.commands.base import CONFIG, USAGE, ConfigOption, Failure, JsonOption
from controller.commands.listing import Commands
from controller.commands.words import t

if TYPE_CHECKING:
    from controller.adapters.keys import KeyRing
    from controller.adapters.store.sql import SqlStore
    from controller.domain.site import Settings
    from controller.ports import Tx
    from controller.wire.messages import Enrolment

ANYWHERE = ("0.0.0.0", "::")  # noqa: S104 - refused below, not listened on

NodeArgument = Annotated[
    str | None, typer.Argument(metavar="NODE", help=t("A node of config/nodes.yaml."), show_default=False)
]
AllOption = Annotated[
    Path | None,
    typer.Option("--all", metavar="FOLDER", help=t("Every node that is not enrolled yet, a file for each.")),
]
OutputOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help=t("Where to write the node's file; NODE.json if not given.")),
]
ForceOption = Annotated[bool, typer.Option("--force", help=t("Enrol again: a new password, the old one ends."))]


def enroll(
    node: NodeArgument = None,
    everyone: AllOption = None,
    output: OutputOption = None,
    force: ForceOption = False,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    if (node is None) == (everyone is None):
        raise Failure(t("name one node, or use --all FOLDER"), USAGE)
    settings = base.load_settings(config)
    wanted = _wanted(settings, node)
    files = {id: everyone / f"{id}.json" if everyone else output or Path(f"{id}.json") for id in wanted}
    written = base.with_store(settings, lambda store: _enroll(settings, store, files, force, single=node is not None))
    tell_controller(config)
    base.show({"enrolled": [str(path) for path in written]}, as_json, lambda _: _print_enrolled(written))


def _wanted(settings: Settings, node: str | None) -> Sequence[str]:
    if node is None:
        return list(settings.nodes)
    if node not in settings.nodes:
        hint = base.meant(node, settings.nodes)
        raise Failure(t("unknown node '{node}'", node=node) + hint)
    return [node]


async def _enroll(
    settings: Settings, store: SqlStore, files: dict[str, Path], force: bool, *, single: bool
) -> list[Path]:
    """Write a file for each node that needs one, and its password's hash into the database."""
    from controller.adapters import credentials, keys
    from controller.adapters.clock import SystemClock
    from controller.ports import AuditRow, Credential
    from controller.wire.messages import encode

    with base.failing(keys.KeyFault):
        ring = keys.load_or_create(DataFolder(Path(settings.site.data)).keys)
    known = {row.node for row in await store.transact(lambda tx: tx.credentials())}
    if single and not force and known & set(files):
        again = t(
            "{node} is enrolled already; --force gives it a new password and ends the old one", node=next(iter(files))
        )
        raise Failure(again)
    now, fresh, written = SystemClock().now(), [], []
    for node, path in files.items():
        if node in known and not force:
            continue
        password = credentials.random_password()
        path.parent.mkdir(parents=True, exist_ok=True)
        # the file first: a password in the database that nobody has would lock the node out
        keys.write_private(path, encode(enrolment(settings, node, password, ring)))
        fresh.append(Credential(node, credentials.hash_password(password), now))
        written.append(path)
    who = getpass.getuser()

    def record(tx: Tx) -> None:
        for row in fresh:
            tx.put_credential(row)
            tx.audit(AuditRow(now, who, "enroll", row.node))

    await store.transact(record)
    return written


def enrolment(settings: Settings, node: str, password: str, ring: KeyRing) -> Enrolment:
    """All that `node` needs to join. Failure when the configuration cannot say where it must connect to."""
    from controller.wire.messages import Enrolment, MediaAccess, MqttAccess

    site = settings.site
    if site.mqtt.port == 0:
        raise Failure(t("mqtt.port is 0, a free port at every start: give it a fixed one in site.yaml first"))
    base_url = site.http.public_url or f"http://{site.http.host}:{site.http.port}"
    if site.mqtt.host in ANYWHERE or (site.http.host in ANYWHERE and not site.http.public_url):
        raise Failure(t("nodes cannot connect to 0.0.0.0: set mqtt.host and http.public_url to this machine's address"))
    authority = Path(site.mqtt.ca).read_text() if site.mqtt.ca else None
    access = MqttAccess(site.mqtt.host, site.mqtt.port, node, password, site.mqtt.tls, authority)
    return Enrolment(node, site.mqtt.root, access, MediaAccess(base_url), ring.public)


def enroll_missing(settings: Settings, files: dict[str, Path]) -> list[Path]:
    """Enrol those of `files` (node -> where to write) that are not enrolled; the files written."""
    written: list[Path] = base.with_store(settings, lambda store: _enroll(settings, store, files, False, single=False))
    return written


def tell_controller(config: Path) -> None:
    """A running controller reads the accounts again at SIGHUP."""
    found = base.running(config)
    if found is not None:
        os.kill(found.pid, signal.SIGHUP)


def _print_enrolled(written: Sequence[Path]) -> None:
    if not written:
        print(t("Every node is enrolled already."))
        return
    for path in written:
        print(t("written: {path}", path=path))
    print(t("Bring the file to the node and delete it here: whoever has it can speak as that node."))
    print(t("A simulated node runs with it: loa simulate --enrolments {folder}", folder=written[0].parent))


# --- keys ---------------------------------------------------------------------------------------------------

keys_app = Commands(no_args_is_help=False)


@keys_app.callback(invoke_without_command=True)
def keys_list(context: typer.Context, config: ConfigOption = CONFIG, as_json: JsonOption = False) -> None:
    from controller.adapters import keys

    if context.invoked_subcommand is not None:
        return
    with base.failing(keys.KeyFault):
        ring = keys.load_or_create(_folder(config))
    rows = [{"kid": key.kid, "signs": key.kid == ring.signing.kid} for key in ring.keys]
    base.show(rows, as_json, _print_keys)


def _print_keys(rows: Any) -> None:
    for row in rows:
        print(row["kid"], t("signs") if row["signs"] else t("valid, does not sign"))


@keys_app.command("new", help=t("Make a second key. Enrol the nodes again, then let it sign: loa keys use KID"))
def keys_new(config: ConfigOption = CONFIG) -> None:
    from controller.adapters import keys

    folder = _folder(config)
    with base.failing(keys.KeyFault):
        keys.use(folder, keys.load_or_create(folder).signing.kid)
        print(keys.add(folder).kid)


@keys_app.command("use", help=t("Let a key sign, from the controller's next start."))
def keys_use(kid: Annotated[str, typer.Argument(metavar="KID")], config: ConfigOption = CONFIG) -> None:
    from controller.adapters import keys

    with base.failing(keys.KeyFault):
        keys.use(_folder(config), kid)
    print(t("From the next start of the controller {kid} signs.", kid=kid))


@keys_app.command("drop", help=t("Forget a key that no longer signs."))
def keys_drop(kid: Annotated[str, typer.Argument(metavar="KID")], config: ConfigOption = CONFIG) -> None:
    from controller.adapters import keys

    with base.failing(keys.KeyFault):
        keys.drop(_folder(config), kid)


def _folder(config: Path) -> Path:
    return DataFolder(Path(base.load_settings(config).site.data)).keys
