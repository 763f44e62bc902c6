"""The words of the daily life sign: the system is alive, and how things are in a few numbers. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from controller.domain.escalation import AlertSettings, OutboxRow, rows_for
from controller.domain.wording import Message

KIND = "life-sign"
NAMED = 8
"""Broadcasts that it names; it says how many there are."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """How things are. `airing`: (local time as HH:MM, title) of what is to be aired today and has not begun."""

    site: str
    critical: int = 0
    major: int = 0
    minor: int = 0
    overdue: int = 0
    nodes: int = 0
    offline: int = 0
    airing: tuple[tuple[str, str], ...] = ()

    @property
    def open(self) -> int:
        return self.critical + self.major + self.minor


def rows(day: str, numbers: Numbers, alerts: AlertSettings, now: datetime) -> tuple[OutboxRow, ...]:
    """The outbox rows of one day's life sign; its name makes them unique, so it is never sent twice."""
    blank = OutboxRow(0, f"{KIND}-{day}", "", "", now, now, "", "")
    wanted = [person for person in alerts.people if person.id in alerts.watch.life_sign_to]
    return tuple(
        row
        for person in wanted
        for row in rows_for(person, blank, text(numbers, person.language, alerts.page_url), alerts.failover_s)
    )


def text(numbers: Numbers, language: str, page_url: str) -> Message:
    """In `language`, for one person."""
    if language == "en":
        subject = f"[Alive] {numbers.site}: the system is alive, {_faults_en(numbers.open)} open"
        lines = _english(numbers)
    else:
        subject = f"[Hoạt động] {numbers.site}: hệ thống đang hoạt động, {numbers.open} sự cố đang mở"
        lines = _vietnamese(numbers)
    page = [f"{'Page' if language == 'en' else 'Trang theo dõi'}: {page_url}"] if page_url else []
    return Message(subject, "\n".join([*lines, *page]))


def _faults_en(count: int) -> str:
    return f"{count} {'fault' if count == 1 else 'faults'}"


def _english(numbers: Numbers) -> list[str]:
    return [
        f"Open faults: {numbers.open} ({numbers.critical} critical, {numbers.major} major, {numbers.minor} minor); "
        f"overdue: {numbers.overdue}.",
        f"Nodes without contact: {numbers.offline} of {numbers.nodes}.",
        *_airing(numbers, "Still to be aired today", "nothing", "and {} more"),
        "If this message does not come one morning, somebody must look at the centre.",
    ]


def _vietnamese(numbers: Numbers) -> list[str]:
    return [
        f"Sự cố đang mở: {numbers.open} ({numbers.critical} nguy cấp, {numbers.major} lớn, {numbers.minor} nhỏ); "
        f"quá hạn xử lý: {numbers.overdue}.",
        f"Cụm loa mất liên lạc: {numbers.offline} trên {numbers.nodes}.",
        *_airing(numbers, "Còn phát trong hôm nay", "không có chương trình nào", "và {} chương trình nữa"),
        "Nếu sáng nào không nhận được tin này, phải có người kiểm tra trung tâm.",
    ]


def _airing(numbers: Numbers, heading: str, nothing: str, more: str) -> list[str]:
    if not numbers.airing:
        return [f"{heading}: {nothing}."]
    named = [f"- {at} {title}" for at, title in numbers.airing[:NAMED]]
    rest = len(numbers.airing) - NAMED
    return [f"{heading}: {len(numbers.airing)}", *named, *([f"- {more.format(rest)}"] if rest > 0 else [])]
