"""loa import: announcements of a CSV or iCalendar file into the configuration, after their difference was shown."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from controller.commands import base, changes, plan
from controller.commands.base import CONFIG, ConfigOption, Failure, JsonOption, ToOption
from controller.commands.imports.entries import MAX_BYTES, Entry, Flaw, Found, Unreadable, finished, folded, slug
from controller.commands.words import t

if TYPE_CHECKING:
    from controller.domain.site import Settings

MARK = "# Written by: loa import"
"""How a file that an import may replace begins."""

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help=t("A .csv or .ics file."))]
IntoOption = Annotated[
    Path | None,
    typer.Option(
        "--into", metavar="FILE.yaml", help=t("Where to write; broadcasts/NAME.yaml of the folder if not given.")
    ),
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help=t("Do not ask."))]
PartialOption = Annotated[bool, typer.Option("--partial", help=t("Leave out what cannot be taken over."))]


def import_(
    file: FileArgument,
    into: IntoOption = None,
    to: ToOption = None,
    yes: YesOption = False,
    partial: PartialOption = False,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    settings = base.load_settings(config)
    target = _target(file, into, config)
    found = _read(file, settings, to or [])
    _tell(found, file)
    if found.flaws and not partial:
        raise Failure(t("nothing was changed; mend these lines, or leave them out with --partial"))
    taken = [one.id for one in settings.broadcasts.values() if not _stands_in(one.place, target)]
    written = _written(finished(found.entries, taken), file)
    if not written.entries:
        raise Failure(t("{file}: nothing to import", file=file))
    with _tried(config, target, written, file, settings) as tried:
        rendering = plan.render(tried)
        _refuse([_placed(line, written, target, file) for line in (*rendering.refused, *_forbidden(rendering, tried))])
        difference = changes.difference(config, tried, rendering.ready)
    base.show(_result(difference, found, target), as_json, lambda data: _print(data, settings))
    if not yes:
        _confirm(target)
    _write(target, written.text)
    if not as_json:
        base.console().print(t("{file} is written; a running controller takes it over by itself.", file=target))


def _target(file: Path, into: Path | None, config: Path) -> Path:
    """The file to write. Failure when it is none that an import may write."""
    folder = Path(os.path.abspath(config / "broadcasts"))
    target = Path(os.path.abspath(into)) if into else folder / f"{slug(file.stem)}.yaml"
    if target.parent != folder or target.suffix != ".yaml":
        raise Failure(t("--into must be a .yaml file in {folder}", folder=folder), base.USAGE)
    if target.exists() and not target.read_text(encoding="utf-8", errors="replace").startswith(MARK):
        raise Failure(t("{file} was not written by an import: choose another one with --into", file=target))
    return target


def _read(file: Path, settings: Settings, to: Sequence[str]) -> Found:
    from controller.commands.imports import calendar, spreadsheet

    try:
        content = file.read_bytes()
    except OSError as error:
        raise Failure(t("{file} cannot be read: {error}", file=file, error=error.strerror)) from None
    if len(content) > MAX_BYTES:
        raise Failure(t("{file} is larger than {megabytes} MB", file=file, megabytes=MAX_BYTES // 1_000_000))
    names = _names(settings)
    places = [names.get(folded(name), name) for name in to]
    readers: Mapping[str, Callable[[], Found]] = {
        ".csv": lambda: spreadsheet.read(content, names, places),
        ".ics": lambda: calendar.read(content, names, places, settings.site.zone, datetime.now(UTC)),
    }
    if file.suffix.lower() not in readers:
        raise Failure(t("{file} is neither a .csv nor an .ics file", file=file), base.USAGE)
    try:
        return readers[file.suffix.lower()]()
    except Unreadable as error:
        raise Failure(f"{file}: {error}") from None


def _names(settings: Settings) -> dict[str, str]:
    """Folded ids and names of places -> ids; communes before nodes of the same name."""
    nodes = {word: node.id for node in settings.nodes.values() for word in (folded(node.name), folded(node.id))}
    zones = {word: zone.id for zone in settings.zones.values() for word in (folded(zone.name), folded(zone.id))}
    return {**nodes, **zones}


def _tell(found: Found, file: Path) -> None:
    for flaw in sorted(found.notes, key=lambda flaw: flaw.line):
        base.complain(t("warning: {text}", text=f"{file}:{flaw.line}: {flaw.message}"))
    base.complain(*(f"{file}:{flaw.line}: {flaw.message}" for flaw in sorted(found.flaws, key=lambda flaw: flaw.line)))


def _stands_in(place: str, target: Path) -> bool:
    return os.path.abspath(place.rpartition(":")[0]) == str(target)


# --- the YAML -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Written:
    """The text of the new file; `entries` are what stands at which line of it."""

    text: str
    entries: tuple[tuple[int, Entry], ...]

    def source(self, line: int) -> int:
        """Which line of the imported file the line of the new one comes from."""
        return next((entry.line for first, entry in reversed(self.entries) if first <= line), 1)


def _written(entries: Sequence[Entry], file: Path) -> _Written:
    import yaml

    lines = [f"{MARK} {file.name}", "# Another import into this file replaces it.", "", "broadcasts:"]
    placed = []
    for entry in entries:
        placed.append((len(lines) + 1, entry))
        text = yaml.safe_dump([dict(entry.keys)], allow_unicode=True, sort_keys=False, width=110)
        lines += [f"  {line}" if line else line for line in text.splitlines()]
    return _Written("\n".join(lines) + "\n", tuple(placed))


# --- trying it ----------------------------------------------------------------------------------------------


@contextmanager
def _tried(config: Path, target: Path, written: _Written, file: Path, settings: Settings) -> Iterator[Settings]:
    """The configuration with the new file in it, loaded from a copy; Failure with all problems if it is none."""
    from controller.settings import ConfigError, load

    with tempfile.TemporaryDirectory(prefix="loa-import-") as room:
        copy = Path(room) / "config"
        shutil.copytree(config, copy, copy_function=_linked)
        new = copy / "broadcasts" / target.name
        new.parent.mkdir(exist_ok=True)
        new.unlink(missing_ok=True)
        new.write_text(written.text, encoding="utf-8")
        try:
            tried = load(copy)
        except ConfigError as error:
            lines = [str(problem).replace(str(copy), str(config)) for problem in error.problems]
            _refuse([_placed(line, written, target, file) for line in lines])
            raise
        here = {
            id: replace(one, place=one.place.replace(str(copy), str(config))) for id, one in tried.broadcasts.items()
        }
        yield replace(tried, broadcasts=here, site=replace(tried.site, data=settings.site.data))


def _linked(source: str, target: str) -> str:
    """Audio is large: the copy shares it. What this program writes in the copy is a new file."""
    try:
        os.link(source, target)
    except OSError:
        return str(shutil.copy2(source, target))
    return target


def _forbidden(rendering: plan.Rendering, settings: Settings) -> tuple[str, ...]:
    from controller.domain import acceptance

    return tuple(acceptance.refused(rendering.ready, settings, datetime.now(UTC)))


def _placed(line: str, written: _Written, target: Path, file: Path) -> str:
    """A problem of the new file, told of the line that it comes from."""
    place, _, rest = line.partition(f"{target.name}:")
    number, _, message = rest.partition(":")
    if not rest or not number.isdigit() or not place.rstrip("/").endswith("broadcasts"):
        return line
    column, _, after = message.partition(":")
    return f"{file}:{written.source(int(number))}:{after if column.strip().isdigit() else message}"


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        base.complain(*problems)
        raise Failure(t("nothing was changed: {count} problem(s)", count=len(problems)))


# --- showing and writing it ---------------------------------------------------------------------------------


def _result(difference: dict[str, Any], found: Found, target: Path) -> dict[str, Any]:
    def plain(flaws: Sequence[Flaw]) -> list[dict[str, Any]]:
        return [{"line": flaw.line, "message": flaw.message} for flaw in flaws]

    return {"into": str(target), "problems": plain(found.flaws), "notes": plain(found.notes), "difference": difference}


def _print(data: dict[str, Any], settings: Settings) -> None:
    base.console().print(changes.summary(data["difference"]))
    changes.print_difference(data["difference"], settings.site.zone)


def _confirm(target: Path) -> None:
    if not sys.stdin.isatty():
        raise Failure(t("nothing was changed; to write {file} without being asked: --yes", file=target))
    if not typer.confirm(t("Write {file}?", file=target)):
        raise Failure(t("nothing was changed"))


def _write(target: Path, text: str) -> None:
    """Whole or not at all: a controller may read at any moment."""
    target.parent.mkdir(exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=target.parent, prefix=".", delete=False, encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.chmod(file.name, 0o644)
    os.replace(file.name, target)
