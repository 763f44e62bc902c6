"""The demo on the terminal: a line for what happens, a box for what a technician gets, a table at the end."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.status import Status
from rich.table import Table

from controller.commands.words import pick, t
from controller.demo.account import Account, Json
from controller.demo.receivers import Alert


class Screen:
    """Prints as things happen. `zone`: of the times; `names`: of the technicians."""

    def __init__(self, zone: ZoneInfo, names: Mapping[str, str]) -> None:
        self._zone = zone
        self._names = names
        self._console = Console(highlight=False)
        self._status: Status | None = None
        self._online = self._total = self._incidents = self._alerts = 0

    def __enter__(self) -> Screen:
        if self._console.is_terminal:
            self._status = self._console.status(t("starting ..."))
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()

    # --- what happens ---------------------------------------------------------------------------------------

    def note(self, text: str) -> None:
        self._line("·", escape(text))

    def broken(self, text: str) -> None:
        self._line("[red]✗[/red]", f"[red]{t('broken on purpose')}:[/red] {escape(text)}")

    def flagged(self, incident: Json, after_s: float | None) -> None:
        self._incidents += 1
        title = escape(named(incident))
        delay = (
            f" [dim]({t('{seconds} s after it broke', seconds=f'{after_s:.1f}')})[/dim]" if after_s is not None else ""
        )
        self._line("[yellow]![/yellow]", f"[yellow]{t('incident {id}', id=incident['id'])}:[/yellow] {title}{delay}")
        self._refresh()

    def alert(self, alert: Alert) -> None:
        self._alerts += 1
        name = self._names.get(alert.to, alert.to)
        by = t("mail to {name}", name=name) if alert.channel == "smtp" else t("message to {name}", name=name)
        heading = f"{by} · {self.time(datetime.now(self._zone))}"
        self._console.print(
            Panel(
                f"[bold]{escape(alert.subject)}[/bold]\n\n{escape(alert.body)}", title=heading, border_style="magenta"
            )
        )
        self._refresh()

    def count(self, online: int, total: int) -> None:
        self._online, self._total = online, total
        self._refresh()

    def time(self, at: datetime) -> str:
        return f"{at.astimezone(self._zone):%H:%M:%S}"

    def _line(self, mark: str, text: str) -> None:
        self._console.print(f"[dim]{self.time(datetime.now(self._zone))}[/dim] {mark} {text}")

    def _refresh(self) -> None:
        if self._status is not None:
            counts = {
                "online": self._online,
                "total": self._total,
                "incidents": self._incidents,
                "alerts": self._alerts,
            }
            self._status.update(t("{online}/{total} nodes online · {incidents} incidents · {alerts} alerts", **counts))

    # --- the end --------------------------------------------------------------------------------------------

    def summary(self, found: Account, missing: list[str]) -> None:
        """The table, and below it what did not happen as it should."""
        grid = Table("", "", box=box.SIMPLE, show_header=False, title=t("Summary"), title_justify="left")
        grid.add_row(t("heard the announcement"), t("{heard} of {nodes} nodes", heard=found.heard, nodes=found.nodes))
        grid.add_row(t("first word after the start of the demo"), _seconds(found.first_word_s))
        skew = "-" if found.start_skew_ms is None else f"{found.start_skew_ms} ms"
        grid.add_row(t("start skew, first to last node"), skew)
        for each in found.incidents:
            grid.add_row(t("incident {id}", id=each["id"]), _told(each, found))
        grid.add_row(t("alerts that arrived"), str(found.alerts_sent))
        self._console.print(grid)
        for text in missing:
            self._console.print(f"[red]✗ {escape(text)}[/red]")


def named(incident: Json) -> str:
    """Where and what, as people say it."""
    commune = f"{incident['place']['commune_name']}, " if incident["place"] else ""
    return f"{commune}{incident['subject_name']}: {pick(incident['title'])}"


def _told(incident: Json, found: Account) -> str:
    told = t("{count} message(s)", count=incident["messages"]["sent"])
    after = found.delay_ms(incident)
    flagged = "" if after is None else t("flagged after {seconds}", seconds=_seconds(after / 1000)) + ", "
    return escape(f"{named(incident)}: {flagged}{told}")


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"
