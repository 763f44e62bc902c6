"""The texts a technician gets: plain, complete, in the technician's language. Pure.

Every message stands on its own (it may be the first one that reaches somebody): what is wrong, since when,
where, the measured evidence, what kind of job it is, safety, what to bring, what was due to be aired.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from controller.domain.faults import FaultRule, Severity, Text, Value, Visit
from controller.domain.incidents import Incident
from controller.domain.metrics import METRICS, UNITS_VI, Metric

SUBJECT_LIMIT = 70
"""Characters: what a phone shows of a subject without opening it."""

WHO = "who"
"""In the evidence of a fault that concerns a person or a role: the name. The title tells it."""

CHILDREN_LIMIT = 12
"""Nodes of a shared fault that a message names; it says how many there are."""


@dataclass(frozen=True, slots=True)
class Due:
    """A broadcast that was to sound at the place of an incident. `at` is aware UTC."""

    title: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Facts:
    """What a text needs beside the incident. Names are for people, not ids; what is not known stays empty.

    `node` is empty for an incident of a commune, feeder, uplink or of the centre; `children` are the names of
    the nodes it covers. `rule` is the fault rule of the incident's cause, None where it has none ("power", "network",
    "centre"). `told` holds the (recipient, channel) pairs that have outbox rows of this incident already
    (`escalation.told_of`); None when the caller does not know. `metrics` names what was measured.
    """

    site: str
    zone: ZoneInfo
    language: str = "vi"
    node: str = ""
    commune: str = ""
    communes: frozenset[str] = frozenset()
    """Ids of the communes that share what failed, where that is no single one's: a feeder's, an uplink's."""
    hit: tuple[str, ...] = ()
    """Names of those of them in which something failed."""
    hamlet: str = ""
    pole: str = ""
    lat: float | None = None
    lon: float | None = None
    """Degrees, of the node or of the middle of the area."""
    keeper: str = ""
    keeper_phone: str = ""
    rule: FaultRule | None = None
    next_due: Due | None = None
    children: tuple[str, ...] = ()
    told: frozenset[tuple[str, str]] | None = None
    link: str = ""
    """Where the recipient says that they take it and that it is mended; empty: by command."""
    metrics: Mapping[str, Metric] = field(default_factory=lambda: METRICS)
    step: int = 0
    """Steps of the escalation climbed, with the one that is told now."""
    ordinal: int = 1
    """Which one of its kind a message is."""
    waited: timedelta | None = None
    """How long people have known of it; None when the caller does not know."""
    called: tuple[str, ...] = ()
    """Who was told before: name and telephone."""
    assignee: str = ""
    """Id of the person whose work order it is; empty for nobody."""
    assigned_by: str = ""
    """The name of who gave it to them."""


@dataclass(frozen=True, slots=True)
class Message:
    """A text as it is sent. `subject` is one line of at most SUBJECT_LIMIT characters."""

    subject: str
    body: str


# --- words ------------------------------------------------------------------------------------------------


SEVERITIES = {
    Severity.CRITICAL: Text("nguy cấp", "critical"),
    Severity.MAJOR: Text("lớn", "major"),
    Severity.MINOR: Text("nhỏ", "minor"),
}

COMMUNES = {"xã": "commune", "phường": "ward", "thị trấn": "town", "đặc khu": "special zone"}
"""Kinds of commune, with which their names may begin, and their English names."""

GROUPS = {
    "feeder": Text("đường điện", "feeder"),
    "uplink": Text("đường truyền", "uplink"),
}
"""Scopes of incidents of what several nodes share."""

VISITS = {
    Visit.CLIMB: Text("phải trèo cột", "climb"),
    Visit.SITE: Text("đến tận nơi, không phải trèo", "on site, no climb"),
    Visit.OFFICE: Text("làm tại văn phòng, không phải đi", "office job, no trip"),
}

CAUSES = {
    "power": Text("mất điện cả khu vực", "area power cut"),
    "network": Text("mất mạng cả khu vực", "area network outage"),
    "centre": Text("phần lớn cụm loa mất liên lạc cùng lúc", "most nodes lost at once"),
    "broker": Text("mất kết nối máy chủ MQTT", "MQTT broker lost"),
    "link": Text("mất liên lạc", "no contact"),
    "not-ready": Text("chương trình sắp phát mà cụm loa chưa sẵn sàng", "nodes not ready for a broadcast"),
    "missed-broadcast": Text("chương trình không phát được", "broadcast missed"),
    "missed-together": Text("hầu hết cụm loa không phát được chương trình", "broadcast missed by most nodes"),
}
"""Titles of causes that may have no rule in config/faults.yaml."""

ADVICE = {
    "power": Text(
        "gọi điện lực hỏi sự cố lưới trước khi đi; kiểm tra aptomat tổng và đường dây chung.",
        "ask the utility about an outage before travelling; check the common breaker and feeder.",
    ),
    "network": Text(
        "hỏi nhà mạng về trạm phát sóng của xã; kiểm tra bộ phát chung nếu có. Các cụm loa vẫn tự phát "
        "theo lịch đã nhận.",
        "ask the operator about the commune's cell; check the shared uplink. The nodes go on playing what they hold.",
    ),
    "centre": Text(
        "kiểm tra máy chủ MQTT, mạng và nguồn của trung tâm. Trạng thái các cụm loa chưa thể kết luận.",
        "check the centre's broker, network and power. The state of the nodes cannot be judged now.",
    ),
    "link": Text(
        "gọi người trông coi: xem aptomat và đèn báo; so với các cụm loa cùng đường điện, cùng trạm sóng; "
        "sau đó mới đến nơi.",
        "phone the keeper: breaker, lights; compare with neighbours on the same feeder or cell; then visit.",
    ),
}
ADVICE["missed-together"] = Text(
    "tìm nguyên nhân chung trước khi đi: tệp âm thanh, lịch phát, lệnh của trung tâm; sau đó mới xem từng cụm loa.",
    "look for what they share before travelling: the audio, the plan, the centre's order; then at single nodes.",
)
ADVICE["broker"] = ADVICE["centre"]


# --- messages ---------------------------------------------------------------------------------------------


def opened(incident: Incident, facts: Facts, language: str, page_url: str, now: datetime) -> Message:
    """A new incident."""
    tag = SEVERITIES[incident.severity].in_language(language)
    return _calling(tag, incident, facts, language, page_url, now)


def raised(incident: Incident, facts: Facts, language: str, page_url: str, now: datetime) -> Message:
    """An incident that became more severe."""
    severity = SEVERITIES[incident.severity].in_language(language)
    tag = _say(language, f"tăng lên {severity}", f"now {severity}")
    return _calling(tag, incident, facts, language, page_url, now)


def reopened(incident: Incident, facts: Facts, language: str, page_url: str, now: datetime) -> Message:
    """A closed incident that is there again."""
    severity = SEVERITIES[incident.severity].in_language(language)
    tag = _say(language, f"tái phát, {severity}", f"again, {severity}")
    return _calling(tag, incident, facts, language, page_url, now)


def unverified(incident: Incident, facts: Facts, language: str, page_url: str, now: datetime) -> Message:
    """A repair that no measurement confirmed."""
    tag = _say(language, "chưa xác nhận sửa xong", "repair not verified")
    return _calling(tag, incident, facts, language, page_url, now)


def assigned(incident: Incident, facts: Facts, language: str, page_url: str, now: datetime) -> Message:
    """Somebody gave its repair to the recipient."""
    tag = _say(language, "giao cho bạn", "yours now")
    by = facts.assigned_by
    why = _say(language, f"{by} giao cho bạn sửa sự cố này.", f"{by} gave you the repair of this incident.")
    return _calling(tag, incident, facts, language, page_url, now, (why,))


def reminder(incident: Incident, facts: Facts, language: str, page_url: str, now: datetime) -> Message:
    """Nobody has taken it: to those who were told."""
    tag = _say(language, f"nhắc lần {facts.ordinal}", f"reminder {facts.ordinal}")
    return _calling(tag, incident, facts, language, page_url, now, (_untaken(facts, language),))


def escalated(incident: Incident, facts: Facts, language: str, page_url: str, now: datetime) -> Message:
    """Nobody has taken it: to somebody above them."""
    why = (_untaken(facts, language), _called(facts, language))
    return _calling(_say(language, "chưa ai nhận", "nobody has it"), incident, facts, language, page_url, now, why)


def overdue(incident: Incident, facts: Facts, language: str, page_url: str, now: datetime) -> Message:
    """It should have been mended by now."""
    tag = _say(language, "quá hạn sửa", "overdue")
    if facts.ordinal > 1:
        tag += _say(language, f", nhắc lần {facts.ordinal}", f", reminder {facts.ordinal}")
    ago = duration(now - incident.opened_at, language)
    late = _say(language, f"Sau {ago} vẫn chưa sửa xong.", f"Not mended after {ago}.")
    has = incident.acknowledged_by
    who = _say(language, f"Người nhận việc: {has}.", f"Taken by: {has}.") if has else _untaken(facts, language)
    return _calling(tag, incident, facts, language, page_url, now, (late, who, _called(facts, language)))


def _untaken(facts: Facts, language: str) -> str:
    """Nobody has said that they take care of it."""
    if facts.waited is None:
        return _say(language, "Chưa ai nhận việc.", "Nobody has taken it.")
    since = duration(facts.waited, language)
    return _say(language, f"Chưa ai nhận việc sau {since}.", f"Nobody has taken it after {since}.")


def _called(facts: Facts, language: str) -> str | None:
    if not facts.called:
        return None
    people = "; ".join(facts.called)
    return _say(language, f"Đã báo cho: {people}.", f"Told so far: {people}.")


def recovered(incident: Incident, facts: Facts, language: str, page_url: str, now: datetime) -> Message:
    """The end of an incident, and how long it lasted."""
    ended = incident.closed_at or now
    lasted = duration(ended - incident.opened_at, language)
    lines = [
        f"{_place(incident, facts, language)}: {what(incident, facts, language)}",
        _say(
            language,
            f"Đã phục hồi lúc {clock(ended, facts.zone, language)}, sau {lasted}.",
            f"Recovered at {clock(ended, facts.zone, language)}, after {lasted}.",
        ),
        _say(
            language,
            f"Bắt đầu từ: {clock(incident.opened_at, facts.zone, language)}",
            f"It began at: {clock(incident.opened_at, facts.zone, language)}",
        ),
        _where(facts, language),
        "",
        _say(language, f"Sự cố số {incident.id}.", f"Incident {incident.id}."),
        _page(page_url, incident, language),
    ]
    tag = _say(language, "đã phục hồi", "recovered")
    return Message(subject(tag, incident, facts, language), _joined(lines))


def _calling(
    tag: str,
    incident: Incident,
    facts: Facts,
    language: str,
    page_url: str,
    now: datetime,
    why: Sequence[str | None] = (),
) -> Message:
    """A message that wants somebody to act; `why` says first why it comes, if it is not the first one."""
    lines = [
        *why,
        "" if why else None,
        f"{_place(incident, facts, language)}: {what(incident, facts, language)}",
        _severity_line(incident, language),
        _since(incident, facts, language, now),
        _where(facts, language),
        _map(facts, language),
        _keeper(facts, language),
        _children(facts, language),
        _flapping(incident, language),
        _repeat(incident, language),
        "",
        *evidence_lines(incident, language, facts.metrics),
        "",
        *_work(incident, facts, language),
        "",
        _due(facts, language, now),
        "",
        *_answer(incident, facts, language),
        _page(page_url, incident, language),
    ]
    return Message(subject(tag, incident, facts, language), _joined(lines))


def combined(newest: Message, earlier: Sequence[str], language: str) -> Message:
    """One message instead of several: the newest, followed by the texts that never reached the person."""
    heading = _say(language, "--- Tin trước đó chưa gửi được ---", "--- Earlier, could not be delivered ---")
    parts = [newest.body]
    for text in earlier:
        parts += ["", heading, text]
    return Message(newest.subject, "\n".join(parts))


def digest(told: Sequence[tuple[int, str, str]], language: str, page_url: str, *, calm: bool = False) -> Message:
    """Many messages in one: number (0 for what is of no incident, as the daily life sign) and subject of each, oldest
    first, and the link to answer it (may be empty). `calm`: they waited for the morning."""
    count = len(told)
    critical = _critical(told)
    urgent = _say(language, f", có {critical} nguy cấp", f", {critical} critical") if critical else ""
    title = _say(language, f"[Tổng hợp] {count} tin báo sự cố{urgent}", f"[Digest] {count} incident messages{urgent}")
    why = _say(
        language,
        "Nhiều tin trong thời gian ngắn nên được gộp lại:",
        "Many messages in a short time were put into one:",
    )
    if calm:
        title = _say(language, f"[Tổng hợp sáng] {count} tin báo sự cố", f"[Morning digest] {count} incident messages")
        why = _say(language, "Sự cố nhỏ trong đêm, để đến sáng mới báo:", "Small faults of the night, kept until now:")
    more = _say(language, "Chi tiết: loa incidents, hoặc trang theo dõi", "Details: loa incidents, or the page")
    lines = [
        why,
        "",
        *(line for each in told for line in _entry(*each, language)),
        "",
        f"{more} {page_url}".rstrip(),
    ]
    return Message(title, "\n".join(lines))


def _critical(told: Sequence[tuple[int, str, str]]) -> int:
    """How many of these begin a critical incident, in whichever language they were written."""
    word = SEVERITIES[Severity.CRITICAL]
    tags = tuple(f"[{upper_first(tag)}]" for tag in (word.vi, word.en))
    return sum(text.startswith(tags) for _, text, _ in told)


def _entry(number: int, text: str, link: str, language: str) -> list[str]:
    """One incident of a digest; its link on a line of its own, so that a phone makes it one that can be tapped."""
    line = f"- {_say(language, 'số', 'no.')} {number}: {text}" if number else f"- {text}"
    return [line, f"  {link}"] if link else [line]


def trial(name: str, site: str, zone: ZoneInfo, language: str, now: datetime) -> Message:
    """A message that only shows that a channel works."""
    at = clock(now, zone, language)
    body = _say(
        language,
        f"Đây là tin thử gửi cho {name} lúc {at}. Không có sự cố nào, không cần làm gì.",
        f"This is a test message for {name}, sent at {at}. Nothing is wrong, and there is nothing to do.",
    )
    return Message(_say(language, f"[Tin thử] Loa {site}", f"[Test] Loa {site}"), unicodedata.normalize("NFC", body))


def subject(tag: str, incident: Incident, facts: Facts, language: str) -> str:
    """`[Tag] place: what`, at most SUBJECT_LIMIT characters, one line."""
    place, title = _place(incident, facts, language), what(incident, facts, language)
    text = " ".join(f"[{upper_first(tag)}] {place}: {title}".split())
    text = unicodedata.normalize("NFC", text)
    return text if len(text) <= SUBJECT_LIMIT else text[: SUBJECT_LIMIT - 1].rstrip() + "…"


def what(incident: Incident, facts: Facts, language: str) -> str:
    """The fault in words, in lower case, for the middle of a line; what comes after a `:` of its cause (a person, a
    role) is named too."""
    code, _, whom = incident.cause.partition(":")
    if facts.rule is not None:
        title = lower_first(facts.rule.title.in_language(language))
    else:
        known = CAUSES.get(code)
        title = known.in_language(language) if known else incident.cause
    return f"{title} ({incident.evidence.get(WHO, whom)})" if whom else title


# --- lines ------------------------------------------------------------------------------------------------


def _say(language: str, vi: str, en: str) -> str:
    return en if language == "en" else vi


def _joined(lines: Sequence[str | None]) -> str:
    """Lines that say something; blank ones separate, never twice in a row nor at an end."""
    kept: list[str] = []
    for line in lines:
        if line is None or (line == "" and (not kept or kept[-1] == "")):
            continue
        kept.append(line)
    return unicodedata.normalize("NFC", "\n".join(kept).strip())


def _place(incident: Incident, facts: Facts, language: str) -> str:
    """Where, so that it cannot be mistaken: nodes of different communes may have one name."""
    if facts.node:
        commune = bare(facts.commune)
        return facts.node if commune in facts.node else f"{commune}, {facts.node}"
    if incident.scope in GROUPS:
        return f"{upper_first(GROUPS[incident.scope].in_language(language))} {incident.subject}"
    if facts.commune:
        return upper_first(_commune(facts.commune, language))
    if incident.scope == "centre":
        return _say(language, "Trung tâm", "Centre")
    return incident.subject


def _commune(name: str, language: str) -> str:
    """A commune's name with what it is, for the middle of a line."""
    kind = next((kind for kind in COMMUNES if name.casefold().startswith(f"{kind} ")), "xã")
    alone = bare(name)
    return f"{alone} {COMMUNES[kind]}" if language == "en" else f"{kind} {alone}"


def bare(commune: str) -> str:
    """Its name alone: `Xã Na Mèo` -> `Na Mèo`."""
    for kind in COMMUNES:
        if commune.casefold().startswith(f"{kind} "):
            return commune[len(kind) :].strip()
    return commune


def _severity_line(incident: Incident, language: str) -> str:
    severity = SEVERITIES[incident.severity].in_language(language)
    return _say(language, f"Mức độ: {severity}", f"Severity: {severity}")


def _since(incident: Incident, facts: Facts, language: str, now: datetime) -> str:
    start = clock(incident.opened_at, facts.zone, language)
    ago = duration(now - incident.opened_at, language)
    return _say(language, f"Từ: {start} ({ago} trước)", f"Since: {start} ({ago} ago)")


def _where(facts: Facts, language: str) -> str | None:
    parts = [_commune(facts.commune, language)] if facts.commune else []
    if not (facts.commune or facts.node):
        more = ["…"] if len(facts.hit) > CHILDREN_LIMIT else []
        parts = [*(_commune(name, language) for name in facts.hit[:CHILDREN_LIMIT]), *more] or [facts.site]
    if facts.hamlet:
        parts.append(facts.hamlet if language == "en" else lower_first(facts.hamlet))
    if facts.pole:
        parts.append(_say(language, f"cột {facts.pole}", f"pole {facts.pole}"))
    return _say(language, "Nơi: ", "Where: ") + ", ".join(parts) if parts else None


def _map(facts: Facts, language: str) -> str | None:
    if facts.lat is None or facts.lon is None:
        return None
    link = f"https://www.openstreetmap.org/?mlat={facts.lat:.5f}&mlon={facts.lon:.5f}"
    if not facts.node:
        return _say(language, f"Bản đồ (giữa khu vực): {link}", f"Map (middle of the area): {link}")
    return _say(language, f"Bản đồ: {link}", f"Map: {link}")


def _keeper(facts: Facts, language: str) -> str | None:
    if not (facts.keeper or facts.keeper_phone):
        return None
    who = ", ".join(part for part in (facts.keeper, facts.keeper_phone) if part)
    return _say(language, f"Người trông coi: {who}", f"Keeper: {who}")


def _children(facts: Facts, language: str) -> str | None:
    if not facts.children:
        return None
    count = len(facts.children)
    names = ", ".join(facts.children[:CHILDREN_LIMIT]) + ("…" if count > CHILDREN_LIMIT else "")
    return _say(language, f"Gồm {count} cụm loa: {names}", f"{count} nodes: {names}")


def _flapping(incident: Incident, language: str) -> str | None:
    if not incident.flapping:
        return None
    return _say(
        language,
        "Lỗi lúc có lúc không: sẽ không báo từng lần nữa cho đến khi ổn định.",
        "It comes and goes: no message for each time until it is steady.",
    )


def _repeat(incident: Incident, language: str) -> str | None:
    if incident.repeat_of is None:
        return None
    return _say(
        language,
        f"Lặp lại trong vòng 7 ngày: xem sự cố số {incident.repeat_of}.",
        f"Again within 7 days: see incident {incident.repeat_of}.",
    )


def evidence_lines(incident: Incident, language: str, metrics: Mapping[str, Metric] = METRICS) -> list[str]:
    """What was measured, one line a metric with its unit."""
    found = sorted((name, value) for name, value in incident.evidence.items() if name != WHO)
    if not found:
        return []
    shown = [f"- {measured(name, value, language, metrics)}" for name, value in found]
    return [_say(language, "Đo được:", "Measured:"), *shown]


def measured(name: str, value: Value, language: str, metrics: Mapping[str, Metric] = METRICS) -> str:
    """A measured value with its name and unit; one that nobody named is shown by its own name."""
    metric = metrics.get(name)
    if metric is None:
        return f"{name}: {_value(value, 2, language)}"
    unit = metric.unit if language == "en" else UNITS_VI.get(metric.unit, metric.unit)
    return f"{metric.label.in_language(language)}: {_value(value, metric.decimals, language)} {unit}".rstrip()


def _value(value: Value, decimals: int, language: str) -> str:
    if isinstance(value, bool):
        return _say(language, "có" if value else "không", "yes" if value else "no")
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return str(value)
    text = f"{value:.{decimals}f}"
    return text.replace(".", ",") if language != "en" else text


def _work(incident: Incident, facts: Facts, language: str) -> list[str | None]:
    rule = facts.rule
    if rule is None:
        known = ADVICE.get(incident.cause.partition(":")[0])
        advice = known.in_language(language) if known else ""
        return [_advice(advice, "", language)]
    visit = VISITS[rule.visit].in_language(language)
    return [
        _advice(rule.advice.in_language(language), visit, language),
        _optional("An toàn: ", "Safety: ", rule.safety, language),
        _optional("Mang theo: ", "Bring: ", rule.parts, language),
    ]


def _advice(advice: str, visit: str, language: str) -> str | None:
    if not advice:
        return None
    kind = f" ({visit})" if visit else ""
    return _say(language, f"Việc cần làm{kind}: ", f"To do{kind}: ") + advice


def _optional(vi: str, en: str, text: Text | None, language: str) -> str | None:
    return None if text is None else _say(language, vi, en) + text.in_language(language)


def _due(facts: Facts, language: str, now: datetime) -> str | None:
    due = facts.next_due
    if due is None:
        return None
    when = clock(due.at, facts.zone, language)
    if due.at <= now:
        return _say(language, f"Đang phát dở: “{due.title}” ({when})", f"On air: “{due.title}” ({when})")
    return _say(language, f"Sắp phát tại đây: “{due.title}” lúc {when}", f"Due here: “{due.title}” at {when}")


def _answer(incident: Incident, facts: Facts, language: str) -> list[str]:
    number = incident.id
    first = _say(language, f"Sự cố số {number}.", f"Incident {number}.")
    if facts.link:
        return [first, _say(language, f"Nhận việc, báo sửa xong: {facts.link}", f"Take it, report: {facts.link}")]
    return [
        first,
        _say(language, f"Nhận việc: loa ack {number}", f"Acknowledge: loa ack {number}"),
        _say(language, f"Sửa xong: loa repaired {number}", f"When mended: loa repaired {number}"),
    ]


def _page(page_url: str, incident: Incident, language: str) -> str | None:
    if not page_url:
        return None
    link = f"{page_url.rstrip('/')}/#incident-{incident.id}"
    return _say(language, f"Trang theo dõi: {link}", f"Page: {link}")


# --- small words ------------------------------------------------------------------------------------------


def clock(at: datetime, zone: ZoneInfo, language: str) -> str:
    """`at` as the site's people read it: local time and date."""
    local = at.astimezone(zone)
    return local.strftime("%Y-%m-%d %H:%M") if language == "en" else local.strftime("%H:%M ngày %d/%m/%Y")


def duration(length: timedelta, language: str) -> str:
    """The two largest units of `length`; a negative one counts as none."""
    seconds = max(0, int(length.total_seconds()))
    units = [
        (seconds // 86400, "ngày", "d"),
        (seconds % 86400 // 3600, "giờ", "h"),
        (seconds % 3600 // 60, "phút", "min"),
        (seconds % 60, "giây", "s"),
    ]
    first = next((index for index, (count, _, _) in enumerate(units) if count), len(units) - 1)
    shown = [unit for unit in units[first : first + 2] if unit[0] or unit is units[first]]
    return " ".join(f"{count} {en if language == 'en' else vi}" for count, vi, en in shown)


def lower_first(text: str) -> str:
    """Lower the first letter, unless the word is an acronym (SIM, NTP)."""
    return text if len(text) > 1 and text[1].isupper() else text[:1].lower() + text[1:]


def upper_first(text: str) -> str:
    return text[:1].upper() + text[1:]
