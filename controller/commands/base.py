"""What every command shares: options, exit statuses, finding the running controller, printing.

Only quick imports at the top: an emergency passes through here (tests/unit/test_cli_start.py).
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from controller.commands.words import t

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from rich.console import Console
    from rich.table import Column, Table

    from controller.adapters.store.sql import SqlStore
    from controller.domain.site import Settings
    from controller.services.reporting import Reporting

OK, PROBLEMS, USAGE, NOT_RUNNING = 0, 1, 2, 3

TIMEOUT_S = 60.0
HEALTH_S = 10.0

ConfigOption = Annotated[
    Path,
    typer.Option("--config", "-c", envvar="LOA_CONFIG", metavar="DIR", help=t("The configuration folder.")),
]
FolderArgument = Annotated[
    Path | None,
    typer.Argument(metavar="DIR", help=t("The configuration folder; the same as --config."), show_default=False),
]
JsonOption = Annotated[bool, typer.Option("--json", help=t("Print data as JSON."))]
ToOption = Annotated[
    list[str] | None,
    typer.Option("--to", metavar="NAME", help=t("A commune, zone or node; may be given several times.")),
]

CONFIG = Path("config")


class Failure(Exception):
    """Ends the command: one line on the error output, and the exit status."""

    def __init__(self, message: str, status: int = PROBLEMS) -> None:
        super().__init__(message)
        self.status = status


@contextmanager
def failing(*kinds: type[Exception]) -> Iterator[None]:
    """Errors of these kinds say all there is to say: they end the command with their text."""
    try:
        yield
    except kinds as error:
        raise Failure(str(error.args[0] if isinstance(error, KeyError) else error)) from None


# --- printing -----------------------------------------------------------------------------------------------


def plain(text: str) -> str:
    """`text` for the console, as it is: brackets in it are no markup."""
    from rich.markup import escape

    return escape(text)


def console() -> Console:
    from rich.console import Console

    return Console(highlight=False)


def print_json(data: object) -> None:
    print(json.dumps(data, ensure_ascii=False, indent=2))


def show(data: Any, as_json: bool, render: Callable[[Any], None]) -> None:
    """Print `data` as JSON, or as `render` does for people."""
    if as_json:
        print_json(data)
    else:
        render(data)


def whole(name: str) -> Column:
    """A column whose values are typed into other commands: never cut off."""
    from rich.table import Column

    return Column(name, overflow="fold", min_width=20)


def table(*columns: str | Column, title: str | None = None) -> Table:
    """A table; without column names a plain list of names and values."""
    from rich import box
    from rich.table import Table

    if columns:
        return Table(*columns, title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    return Table("", "", title=title, title_justify="left", box=None, pad_edge=False, show_header=False)


def escaped(text: str) -> str:
    """What somebody wrote, with nothing in it that would colour the terminal."""
    from rich.markup import escape

    return escape(text)


def complain(*lines: str) -> None:
    for line in lines:
        print(line, file=sys.stderr)


def meant(word: str, names: Iterable[str]) -> str:
    """The name that `word` was probably meant to be, as the end of a message; empty when none is near."""
    import difflib

    near = difflib.get_close_matches(word, list(names), n=1)
    return t(" (did you mean '{near}'?)", near=near[0]) if near else ""


def local(stamp: str | None, zone: ZoneInfo, pattern: str = "") -> str:
    """A wire time as the site's people read it, with the date unless it is today; "-" when there is none."""
    if not stamp:
        return "-"
    at = datetime.fromisoformat(stamp).astimezone(zone)
    today = at.date() == datetime.now(zone).date()
    return at.strftime(pattern or ("%H:%M:%S" if today else "%d/%m %H:%M:%S"))


def day(written: str) -> date:
    """A local day as people write it; Failure when it is none."""
    try:
        return date.fromisoformat(written)
    except ValueError:
        raise Failure(t("'{text}' is not a date; write it as 2026-11-25", text=written), USAGE) from None


# --- configuration ------------------------------------------------------------------------------------------


def load_settings(config: Path) -> Settings:
    """The configuration, or Failure after all its problems were printed."""
    from controller.settings import ConfigError, load

    try:
        return load(config)
    except ConfigError as error:
        complain(*map(str, error.problems))
        raise Failure(t("{count} problem(s) in {folder}", count=len(error.problems), folder=config)) from None


# --- the running controller ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Controller:
    """The HTTP API of the controller that runs on this configuration."""

    url: str
    token: str
    pid: int
    listen: Mapping[str, Any]

    @cached_property
    def zone(self) -> ZoneInfo:
        """The site's zone, as the controller has it."""
        from zoneinfo import ZoneInfo

        return ZoneInfo(self.get("status")["site"]["zone"])

    def get(self, path: str, /, **params: Any) -> Any:
        return self._ask("GET", path, params={name: value for name, value in params.items() if value is not None})

    def post(self, path: str, /, **body: Any) -> Any:
        order = json.dumps({name: value for name, value in body.items() if value is not None})
        return self._ask("POST", path, content=order.encode(), kind="application/json")

    def upload(self, path: str, content: bytes, /, **params: Any) -> Any:
        return self._ask("POST", path, params=params, content=content)

    def health(self) -> Any:
        """/health: `ok`, `reasons` and more; also of a controller whose database does not answer."""
        try:
            return self._request("GET", "/health", timeout=HEALTH_S).json()
        except (Failure, ValueError) as error:
            return {"ok": False, "standby": False, "reasons": [{"code": "silent", "text": str(error)}], "warnings": []}

    def _ask(self, method: str, path: str, *, params: Mapping[str, Any] | None = None, **more: Any) -> Any:
        from urllib.parse import quote, urlencode

        query = f"?{urlencode(params)}" if params else ""
        answer = self._request(method, f"/api/{quote(path, safe='/@:')}{query}", **more)
        if 200 <= answer.status < 300:
            return answer.json()
        raise Failure(answer.refusal)

    def _request(
        self, method: str, target: str, *, content: bytes | None = None, kind: str = "", timeout: float = TIMEOUT_S
    ) -> _Answer:
        """Failure: the controller does not answer."""
        # Of the standard library: what is nicer takes longer to import than an order takes to reach the horns. No proxy
        # for the outside world has any business between us and this machine, and this knows of none.
        from http.client import HTTPConnection, HTTPException

        headers = {"Authorization": f"Bearer {self.token}", **({"Content-Type": kind} if kind else {})}
        connection = HTTPConnection(self.url.removeprefix("http://"), timeout=timeout)
        try:
            connection.request(method, target, content, headers)
            answer = connection.getresponse()
            return _Answer(answer.status, answer.read())
        except (OSError, HTTPException) as error:
            raise Failure(t("the controller at {url} does not answer: {error}", url=self.url, error=error)) from None
        finally:
            connection.close()


@dataclass(frozen=True)
class _Answer:
    """What came back for a request."""

    status: int
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def refusal(self) -> str:
        """Why it was refused, in the controller's words if it has any."""
        try:
            return str(self.json()["error"])
        except (ValueError, KeyError, TypeError):
            return f"HTTP {self.status}: {self.body[:200].decode(errors='replace')}"


def data_folder(config: Path) -> Path:
    """Where the controller of `config` keeps its data. One line of one file: reading all of a large configuration
    takes seconds that an emergency does not have, and its mistakes are of no interest here."""
    if (folder := _folder_in(config)) is not None:
        return folder
    return Path(load_settings(config).site.data)


def _folder_in(config: Path) -> Path | None:
    """`data` of a site.yaml that is readable, whatever is wrong beside it."""
    import yaml

    try:
        written = yaml.safe_load((config / "site.yaml").read_text(encoding="utf-8"))
        return Path(os.path.abspath(config / Path(str(written["data"])).expanduser()))
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError):
        return None


def running(config: Path) -> Controller | None:
    """The controller that runs on `config`, if one does."""
    from controller.adapters.datafolder import DataFolder
    from controller.adapters.lock import is_locked

    data = DataFolder(data_folder(config))
    alive = [name for name in data.instances() if is_locked(data.lock(name))]
    if not alive:
        return None
    try:
        told = [json.loads(path.read_text()) for path in map(data.controller, alive) if path.exists()]
    except PermissionError as error:
        raise Failure(t("{file} is for the user who runs the controller only", file=error.filename)) from None
    if not told:
        raise Failure(t("the controller is starting or stopping; try again in a moment"), NOT_RUNNING)
    # One that was stopped in its tracks believes that it leads still.
    best = max(told, key=lambda each: (each["leads"], each["since"]))
    return Controller(best["url"], best["token"], best["pid"], best.get("listen", {}))


def controller(config: Path) -> Controller:
    """The controller that runs on `config`, or Failure with NOT_RUNNING."""
    found = running(config)
    if found is None:
        raise Failure(t("no controller is running on {config}; start it with: loa run", config=config), NOT_RUNNING)
    return found


def ask(config: Path, path: str, offline: Callable[[Reporting], Awaitable[Any]], **params: Any) -> tuple[Any, ZoneInfo]:
    """The answer of the running controller, or of its database when none runs; and the site's zone."""
    found = running(config)
    if found is not None:
        return found.get(path, **params), found.zone
    settings = load_settings(config)
    return read_store(settings, offline), settings.site.zone


def recorded(settings: Settings) -> bool:
    """Whether there is a database yet."""
    url = settings.site.store_url
    return not url.startswith("sqlite:///") or Path(url.removeprefix("sqlite:///")).exists()


def read_store(settings: Settings, question: Callable[[Reporting], Awaitable[Any]]) -> Any:
    """Answer `question` from the database alone. What it looks for in vain is a Failure."""
    from controller.adapters.clock import SystemClock
    from controller.services.reporting import Reporting

    if not recorded(settings):
        raise Failure(t("nothing is recorded yet: {place} is not there", place=settings.site.store_url))

    async def answer(store: SqlStore) -> Any:
        return await question(Reporting(settings, store=store, clock=SystemClock()))

    with failing(LookupError):
        return with_store(settings, answer, read_only=True)


def with_store(settings: Settings, work: Callable[[SqlStore], Awaitable[Any]], *, read_only: bool = False) -> Any:
    """Run `work` on the opened database of `settings`."""
    import asyncio

    from controller.adapters.store.sql import SqlStore
    from controller.ports import StoreError

    async def main() -> Any:
        store = SqlStore(settings.site.store_url, read_only=read_only)
        await store.open()
        try:
            return await work(store)
        finally:
            await store.close()

    with failing(StoreError):
        return asyncio.run(main())
