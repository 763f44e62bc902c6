"""Who is told of faults: try the channels, look ahead, silence."""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer

from controller.commands import base
from controller.commands.base import CONFIG, USAGE, ConfigOption, Failure, JsonOption
from controller.commands.listing import Commands
from controller.commands.words import t
from controller.domain.hush import SINCE_EVER

if TYPE_CHECKING:
    from controller.domain.escalation import Channel, Person
    from controller.domain.preview import Word
    from controller.domain.site import Settings
    from controller.ports import Notifier

alerts_app = Commands(no_args_is_help=True)

SEND_S = 60.0

WORDS = {
    "opened": lambda: t("told at once"),
    "reminder": lambda: t("reminded"),
    "escalated": lambda: t("one level up"),
    "overdue": lambda: t("repair overdue, then daily"),
}

ByOption = Annotated[str, typer.Option("--by", metavar="NAME", help=t("Who says so; you, if not given."))]


def _example(text: str) -> str:
    return f"{t('Example')}: [bold]{text}[/bold]"


# --- trying the channels ------------------------------------------------------------------------------------


@alerts_app.command(
    "test",
    help=t("Send a real test message over every channel of a person, and say what became of each."),
    epilog=_example("loa alerts test lo-van-hung"),
)
def try_channels(
    person: Annotated[str, typer.Argument(metavar="PERSON", help=t("Id of a person of alerts.yaml."))],
    channel: Annotated[str, typer.Option("--channel", metavar="KIND", help=t("Only smtp, webhook or apprise."))] = "",
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    settings = base.load_settings(config)
    found = _person(settings, person)
    channels = [each for each in found.every_channel if not channel or channel in (each.kind, each.id)]
    if not channels:
        raise Failure(t("{person} has no such channel", person=person))
    results = asyncio.run(_try_all(settings, found, channels, quiet=as_json))
    if as_json:
        base.print_json({"person": person, "channels": results})
    if any(result["error"] for result in results):
        raise SystemExit(base.PROBLEMS)


def _person(settings: Settings, id: str) -> Person:
    found = next((one for one in settings.alerts.people if one.id == id), None)
    if found is None:
        known = ", ".join(one.id for one in settings.alerts.people)
        raise Failure(t("unknown person '{id}': one of {known}", id=id, known=known), USAGE)
    return found


async def _try_all(settings: Settings, person: Person, channels: Sequence[Channel], quiet: bool) -> list[Any]:
    from controller.adapters.clock import SystemClock
    from controller.adapters.notify.apprise import AppriseNotifier
    from controller.adapters.notify.smtp import SmtpNotifier
    from controller.adapters.notify.webhook import WebhookNotifier

    clock = SystemClock()
    hooks = WebhookNotifier(clock)
    senders: dict[str, Notifier] = {
        "smtp": SmtpNotifier(settings.alerts.smtp, clock),
        "webhook": hooks,
        "apprise": AppriseNotifier(),
    }
    results = []
    for channel in channels:
        error = await _try(senders[channel.kind], channel, settings, person)
        shown = _shown(channel)
        results.append({"channel": shown, "error": error})
        if not quiet:
            base.console().print(f"{'[red]✗[/red]' if error else '[green]✓[/green]'} {base.plain(shown)}  ", end="")
            base.console().print(base.plain(error or t("taken")))
    await hooks.close()
    return results


def _shown(channel: Channel) -> str:
    """Without secrets: an Apprise address holds some."""
    return (
        f"{channel.kind} {channel.address.partition('://')[0]}://…"
        if channel.kind == "apprise"
        else (f"{channel.kind} {channel.address}")
    )


async def _try(sender: Notifier, channel: Channel, settings: Settings, person: Person) -> str:
    """Empty when the receiver took it, otherwise why not."""
    from controller.domain.wording import trial
    from controller.ports import NotifyError, Outgoing

    now = datetime.now(UTC)
    message = trial(person.name, settings.site.name, settings.site.zone, person.language, now)
    key = f"{settings.site.id}.test.{now.timestamp():.0f}"
    data = {"test": True, "recipient": person.id, "transition": "test", "incident": None, "merged": []}
    outgoing = Outgoing(key=key, subject=message.subject, body=message.body, data=data)
    try:
        async with asyncio.timeout(SEND_S):
            await sender.send(channel, outgoing)
    except NotifyError as error:
        return str(error)
    except TimeoutError:
        return t("no answer within {seconds} s", seconds=int(SEND_S))
    return ""


# --- looking ahead ------------------------------------------------------------------------------------------


@alerts_app.command(
    "who",
    help=t("Who would be told when, if something broke there and nobody answered."),
    epilog=_example('loa alerts who na-meo-01 --at "2026-12-05 22:00"'),
)
def who(
    place: Annotated[str, typer.Argument(metavar="NODE|COMMUNE")],
    at: Annotated[str, typer.Option("--at", metavar="TIME", help=t("As 2026-12-05 22:00; now, if not given."))] = "",
    severity: Annotated[str, typer.Option("--severity", help="critical, major, minor")] = "critical",
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    from controller.domain.faults import Severity
    from controller.domain.preview import preview

    settings = base.load_settings(config)
    zone = settings.site.zone
    node, commune = _place(settings, place)
    if severity not in list(Severity):
        raise Failure(t("unknown severity '{severity}': critical, major or minor", severity=severity), USAGE)
    start = _moment(at, zone) if at else datetime.now(UTC)
    words = preview(settings.alerts, node, commune, Severity(severity), zone, start)
    base.show([_plain_word(word) for word in words], as_json, lambda _: _print_words(words, zone))


def _place(settings: Settings, place: str) -> tuple[str, str]:
    if place in settings.nodes:
        return place, settings.nodes[place].commune
    if place in settings.zones and settings.zones[place].is_commune:
        return "", place
    there = (*settings.nodes, *(id for id, zone in settings.zones.items() if zone.is_commune))
    raise Failure(t("'{place}' is no node and no commune", place=place) + base.meant(place, there), USAGE)


def _moment(text: str, zone: ZoneInfo) -> datetime:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC)
    except ValueError:
        raise Failure(t("'{text}' is no date and time like 2026-12-05 22:00", text=text), USAGE) from None


def _plain_word(word: Word) -> Any:
    people = [person.id for person in word.people]
    return {"at": word.at.isoformat(), "what": word.what.value, "role": word.role, "people": people}


def _print_words(words: Sequence[Word], zone: ZoneInfo) -> None:
    grid = base.table("", "", "")
    grid.show_header = False
    for word in words:
        people = ", ".join(f"{one.name} {one.phone}".strip() for one in word.people) or t("nobody")
        role = f" ({word.role})" if word.role else ""
        grid.add_row(base.local(word.at.isoformat(), zone), WORDS[word.what.value]() + role, base.plain(people))
    base.console().print(grid)


@alerts_app.command(
    "check",
    help=t("Gaps in the rota of the coming week, people without a channel."),
    epilog=_example("loa alerts check"),
)
def check(config: ConfigOption = CONFIG, as_json: JsonOption = False) -> None:
    found = warnings(base.load_settings(config))
    base.show(found, as_json, lambda _: print("\n".join(found) or t("Everybody can be told at any time.")))
    if found:
        raise SystemExit(base.PROBLEMS)


def warnings(settings: Settings) -> list[str]:
    """What would keep a message from somebody in the coming week."""
    mute = [t("{name}: no channel", name=one.name) for one in settings.alerts.people if not one.reachable]
    return mute + rota_gaps(settings)


def rota_gaps(settings: Settings) -> list[str]:
    """When nobody is on call in the coming week."""
    from controller.domain.duty import gaps

    zone, now = settings.site.zone, datetime.now(UTC)
    found = []
    for role, shifts in settings.alerts.on_call.items():
        for begin, end in gaps(shifts, now, zone):
            first, last = (edge.astimezone(zone).strftime("%Y-%m-%d %H:%M") for edge in (begin, end))
            found.append(t("{role}: nobody from {first} to {last}", role=role, first=first, last=last))
    return found


# --- silences -----------------------------------------------------------------------------------------------


@alerts_app.command(
    "silence",
    help=t("Tell nobody of faults there for a while; what is different at the end is told then."),
    epilog=_example("loa alerts silence na-meo-03 --code fan --for 2h --reason 'chờ quạt mới'"),
)
def silence(
    places: Annotated[list[str] | None, typer.Argument(metavar="NODE|COMMUNE...", show_default=False)] = None,
    code: Annotated[list[str] | None, typer.Option("--code", metavar="FAULT", help=t("Only this fault."))] = None,
    length: Annotated[str, typer.Option("--for", metavar="TIME", help=t("As 30m, 2h or 3h30m."))] = "",
    until: Annotated[str, typer.Option("--until", metavar="TIME", help=t("As 2026-12-05 22:00."))] = "",
    reason: Annotated[str, typer.Option("--reason", help=t("Why; everybody sees it."))] = "",
    by: ByOption = "",
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    if bool(length) == bool(until) or not reason or not (places or code):
        raise Failure(t("say where or --code, --for or --until, and --reason"), USAGE)
    found = base.controller(config)
    end = _moment(until, found.zone) if until else datetime.now(UTC) + _length(length)
    data = found.post(
        "alerts/silences",
        places=places or [],
        codes=code or [],
        until=end.isoformat(),
        reason=reason,
        by=by or getpass.getuser(),
    )
    said = t("Silence {id}: until {time}.", id=data["id"], time=base.local(data["until"], found.zone))
    base.show(data, as_json, lambda _: print(said))


def _length(text: str) -> timedelta:
    from controller.settings.values import duration

    try:
        return duration("1m", "2160h")(text)
    except ValueError as error:
        raise Failure(str(error), USAGE) from None


@alerts_app.command(
    "silences",
    help=t("What nobody is told of now or later, and who is on call."),
    epilog=_example("loa alerts silences"),
)
def silences(config: ConfigOption = CONFIG, as_json: JsonOption = False) -> None:
    data, zone = base.ask(config, "alerts", lambda reporting: reporting.alerts())
    base.show(data, as_json, lambda data: _print_silences(data, zone))


def _print_silences(data: Any, zone: ZoneInfo) -> None:
    for role, people in data["on_call"].items():
        print(t("on call, {role}: {people}", role=role, people=", ".join(people) or t("nobody")))
    if not data["silences"]:
        print(t("No silences."))
    for each in data["silences"]:
        number = f"{each['id']:>4}" if each["id"] else "   -"
        what = " ".join((*each["nodes"], *each["communes"], *each["codes"]))
        begin = "…" if datetime.fromisoformat(each["from"]) <= SINCE_EVER else base.local(each["from"], zone)
        times = f"{begin} – {base.local(each['until'], zone)}"
        print(f"{number}  {times}  {what}: {each['reason']} ({each['by'] or 'alerts.yaml'})")


@alerts_app.command("end", help=t("End a silence; what is different now is told."), epilog=_example("loa alerts end 3"))
def end(
    id: Annotated[int, typer.Argument(metavar="ID", help=t("Number of the silence, see loa alerts silences."))],
    by: ByOption = "",
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    data = base.controller(config).post(f"alerts/silences/{id}/end", by=by or getpass.getuser())
    base.show(data, as_json, lambda _: print(t("Silence {id} has ended.", id=id)))
