"""alerts.yaml: who is told about faults, and how."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from controller.adapters.notify.apprise import check_url
from controller.domain.escalation import AlertSettings, Channel, Person, Smtp
from controller.domain.faults import Severity
from controller.domain.outbox import Policy, most_copies
from controller.settings import values
from controller.settings.context import CommuneName, Context, Secret
from controller.settings.schema import duty, watch
from controller.settings.schema.site import Language
from controller.settings.schema.watch import WatchIn
from controller.settings.sheet import Sheet, Steps, Strict
from controller.settings.suggest import did_you_mean, shown
from controller.settings.values import Flag, Id, Line, MailAddress, Many, Phone, Port, WebAddress
from controller.settings.yaml_source import Map

MOST_COPIES = most_copies(Policy())

Wait = Annotated[timedelta, BeforeValidator(values.duration("0s", "24h"))]


def _tls(value: Any) -> str:
    return values.one_of(value, ("none", "starttls", "tls"), "tls")


class SmtpIn(Strict):
    host: Line
    port: Port = 25
    sender: MailAddress
    username: Line = ""
    password: Secret = ""
    tls: Annotated[str, BeforeValidator(_tls)] = "none"
    timeout: Annotated[timedelta, BeforeValidator(values.duration("1s", "2m"))] = timedelta(seconds=20)


class WaitIn(Strict):
    critical: Wait = timedelta(seconds=15)
    other: Wait = timedelta(seconds=30)


class SilenceIn(Strict):
    told_after: Wait = timedelta(seconds=300)
    told_after_if_due: Wait = timedelta(seconds=90)

    @model_validator(mode="after")
    def _sooner_if_due(self) -> SilenceIn:
        if "told_after_if_due" in self.model_fields_set and self.told_after_if_due > self.told_after:
            raise ValueError("'told_after_if_due' is longer than 'told_after'")
        return self


class MailIn(Strict):
    smtp: MailAddress


class WebhookIn(Strict):
    webhook: WebAddress
    secret: Secret = ""


class AppriseIn(Strict):
    apprise: Secret


ChannelIn = MailIn | WebhookIn | AppriseIn
CHANNELS: dict[str, type[ChannelIn]] = {"smtp": MailIn, "webhook": WebhookIn, "apprise": AppriseIn}


class PersonIn(Strict):
    id: Id
    name: Line
    language: Language = "vi"
    phone: Phone = ""
    communes: Many[CommuneName] = ()
    severities: Many[Annotated[Severity, BeforeValidator(values.choice(Severity, "severity"))]] = tuple(Severity)
    technician: Flag = True
    channels: Many[Any]
    also: Many[Any] = ()


class AlertsIn(Strict):
    page_url: WebAddress = ""
    smtp: SmtpIn | None = None
    wait: WaitIn = WaitIn()
    silence: SilenceIn = SilenceIn()
    fail_over: Annotated[timedelta, BeforeValidator(values.duration("30s", "20m"))] = timedelta(minutes=5)
    people: tuple[Any, ...]
    on_call: dict[str, Any] = Field(default_factory=dict)
    escalation: duty.EscalationIn = duty.EscalationIn()
    quiet: duty.QuietIn = duty.QuietIn()
    silences: tuple[Any, ...] = ()
    maintenance: tuple[Any, ...] = ()
    watch: WatchIn = WatchIn()


def read(sheet: Sheet, context: Context) -> AlertSettings | None:
    """Who is told and how, or None after the mistakes were recorded."""
    given = sheet.read(AlertsIn, (), context)
    people: dict[str, Person | None] = {}
    for steps, block in sheet.blocks("people"):
        _check_id(sheet, steps, block, people)
        person = _person(sheet, steps, block, context)
        people.setdefault(str(block.get("id")), person)
    shifts, hushes = duty.rota(sheet, people, context), duty.hushes(sheet, context)
    if given is None:
        return None
    return AlertSettings(
        people=tuple(person for person in people.values() if person),
        smtp=_smtp(given.smtp) if given.smtp else None,
        wait_critical_s=given.wait.critical.total_seconds(),
        wait_other_s=given.wait.other.total_seconds(),
        link_told_s=given.silence.told_after.total_seconds(),
        link_told_urgent_s=min(given.silence.told_after, given.silence.told_after_if_due).total_seconds(),
        page_url=given.page_url,
        failover_s=given.fail_over.total_seconds(),
        on_call=shifts,
        escalation=duty.escalation(sheet, given.escalation, shifts, context),
        hushes=hushes,
        night=duty.night(sheet, given.quiet),
        watch=watch.read(sheet, given.watch, people),
    )


def _check_id(sheet: Sheet, steps: Steps, block: Map, people: dict[str, Person | None]) -> None:
    name = block.get("id")
    if isinstance(name, str) and name in people:
        sheet.problem((*steps, "id"), f"person {shown(name)} is there already")


def _person(sheet: Sheet, steps: Steps, block: Map, context: Context) -> Person | None:
    channels = _channels(sheet, steps, block, "channels", context)
    also = _channels(sheet, steps, block, "also", context)
    if len(also) > MOST_COPIES:
        limit = Policy().limit
        message = (
            f"{len(also)} copies of each message: at most {MOST_COPIES}, as nobody gets more than {limit} in 10 min"
        )
        sheet.problem((*steps, "also", MOST_COPIES), message)
    given = sheet.read(PersonIn, steps, context)
    if given is None:
        return None
    return Person(
        id=given.id,
        name=given.name,
        language=given.language,
        channels=channels,
        communes=frozenset(given.communes),
        severities=frozenset(given.severities),
        phone=given.phone,
        technician=given.technician,
        also=also,
    )


def _channels(sheet: Sheet, steps: Steps, block: Map, key: str, context: Context) -> tuple[Channel, ...]:
    found = (_channel(sheet, inner, entry, context) for inner, entry in _entries(steps, block, key))
    return tuple(channel for channel in found if channel)


def _entries(steps: Steps, block: Map, key: str) -> list[tuple[Steps, Any]]:
    channels = block.get(key)
    if isinstance(channels, list):
        return [((*steps, key, number), entry) for number, entry in enumerate(channels)]
    return [((*steps, key), channels)] if channels else []


def _channel(sheet: Sheet, steps: Steps, entry: Any, context: Context) -> Channel | None:
    kinds = [key for key in entry if key in CHANNELS] if isinstance(entry, dict) else []
    if len(kinds) != 1:
        _explain_channel(sheet, steps, entry, kinds)
        return None
    given = sheet.read(CHANNELS[kinds[0]], steps, context)
    match given:
        case MailIn():
            return _mail(sheet, steps, given)
        case WebhookIn():
            return Channel("webhook", given.webhook, given.secret)
        case AppriseIn():
            return _apprise(sheet, steps, given)
    return None


def _explain_channel(sheet: Sheet, steps: Steps, entry: Any, kinds: list[str]) -> None:
    if len(kinds) > 1:
        message = f"'{kinds[0]}' and '{kinds[1]}' in one entry: give each a '-' of its own"
        sheet.problem((*steps, kinds[1]), message, at_key=True)
    elif isinstance(entry, dict) and entry:
        key = next(iter(entry))
        hint = did_you_mean({"email": "smtp", "mail": "smtp"}.get(key, key), CHANNELS)
        sheet.problem((*steps, key), f"unknown channel {shown(key)}: one of {', '.join(CHANNELS)}{hint}", at_key=True)
    else:
        what = "nothing" if entry is None else shown(entry)
        sheet.problem(steps, f"'smtp:', 'webhook:' or 'apprise:' is wanted here, not {what}")


def _mail(sheet: Sheet, steps: Steps, given: MailIn) -> Channel:
    if "smtp" not in sheet.root:
        sheet.problem((*steps, "smtp"), "a mail address, but there is no relay: add 'smtp:' with host and sender")
    return Channel("smtp", given.smtp)


def _apprise(sheet: Sheet, steps: Steps, given: AppriseIn) -> Channel:
    if reason := check_url(given.apprise):
        sheet.problem((*steps, "apprise"), reason)
    return Channel("apprise", given.apprise)


def _smtp(given: SmtpIn) -> Smtp:
    return Smtp(
        host=given.host,
        port=given.port,
        sender=given.sender,
        username=given.username,
        password=given.password,
        tls=given.tls,
        timeout_s=given.timeout.total_seconds(),
    )
