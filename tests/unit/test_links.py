"""Links in messages: what can be forged, replayed or outlived."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from controller.domain.escalation import AlertSettings, Channel, OutboxRow, Person, messages_for
from controller.domain.faults import Severity
from controller.domain.incidents import Incident, IncidentState
from controller.domain.wording import Facts
from controller.services.links import NONCE_LIFE, Links, Standing, Ticket, standing
from controller.web.rate import Rate
from tests.district import HANOI

NOW = datetime(2026, 11, 23, 1, tzinfo=UTC)
LINKS = Links(bytes(range(32)))
OTHERS = Links(bytes(32))
HUNG = Ticket(12, "severity-2", "lo-van-hung")
INCIDENT = Incident(
    id=12,
    scope="node",
    subject="na-meo-03",
    commune="na-meo",
    cause="amplifier",
    component="amplifier",
    severity=Severity.CRITICAL,
    state=IncidentState.OPEN,
    opened_at=NOW,
    updated_at=NOW,
)

tickets = st.builds(
    Ticket,
    st.integers(1, 10**9),
    st.sampled_from(("opened", "opened-2", "severity", "reopened-13")),
    st.from_regex(r"[a-zÀ-ỹ0-9.-]{1,60}", fullmatch=True),
)


@given(tickets)
def test_a_token_is_read_back_by_who_made_it_and_by_nobody_else(ticket: Ticket) -> None:
    token = LINKS.token(ticket)
    assert LINKS.read(token) == ticket
    assert OTHERS.read(token) is None
    assert LINKS.token(ticket) == token, "rendered again after a crash, a message has the same link"
    assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")


@given(tickets, tickets)
def test_a_token_fits_one_incident_one_person_and_one_occasion(one: Ticket, other: Ticket) -> None:
    told, _, _ = LINKS.token(one).partition(".")
    _, _, mac = LINKS.token(other).partition(".")
    assert (LINKS.read(f"{told}.{mac}") is not None) == (one == other)


@given(st.text(max_size=80) | st.binary(max_size=60).map(lambda raw: raw.decode("latin-1")))
def test_whatever_is_made_up_is_no_token(made_up: str) -> None:
    assert LINKS.read(made_up) is None


def test_a_changed_letter_is_no_token() -> None:
    token = LINKS.token(HUNG)
    for at in range(len(token)):
        changed = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
        if LINKS.read(changed) is not None:  # the last letter of base64 has spare bits
            assert LINKS.read(changed) == HUNG


def test_a_nonce_fits_one_link_and_a_day_of_work() -> None:
    token, other = LINKS.token(HUNG), LINKS.token(Ticket(13, "opened", "lo-van-hung"))
    nonce = LINKS.nonce(token, "salt", NOW)
    assert LINKS.is_good(token, nonce, NOW + NONCE_LIFE)
    assert not LINKS.is_good(other, nonce, NOW)
    assert not LINKS.is_good(token, nonce, NOW + NONCE_LIFE + timedelta(seconds=1))
    assert not LINKS.is_good(token, nonce, NOW - timedelta(seconds=1)), "made in the future"
    assert not LINKS.is_good(token, nonce.replace("salt", "tlas"), NOW)
    for made_up in ("", ".", "1.2.3", nonce.rpartition(".")[0], "x.y." + "A" * 27, "ÿ.ÿ.ÿ"):
        assert not LINKS.is_good(token, made_up, NOW)


def _row(id: int, transition: str, recipient: str = "hung") -> OutboxRow:
    return OutboxRow(12, transition, recipient, "smtp:a", NOW, NOW, "s", "b", id=id)


def test_what_one_agreed_to_before_it_grew_worse_counts_no_more() -> None:
    rows = [_row(1, "opened"), _row(2, "opened", "sua"), _row(3, "unverified"), _row(4, "severity", "sua")]

    def good(transition: str, recipient: str, more: list[OutboxRow]) -> Standing:
        return standing(Ticket(12, transition, recipient), INCIDENT, [*rows, *more], ("hung", "sua"), NOW)

    assert good("opened", "hung", []) is Standing.GOOD, "a reminder or a verdict asks for the same"
    assert good("opened", "sua", []) is Standing.SUPERSEDED
    assert good("severity", "sua", []) is Standing.GOOD
    assert good("opened", "hung", [_row(5, "reopened")]) is Standing.SUPERSEDED


def test_a_link_ends_with_its_incident_and_with_its_person() -> None:
    ticket, rows = Ticket(12, "opened", "hung"), [_row(1, "opened")]
    closed = replace(INCIDENT, state=IncidentState.CLOSED, closed_at=NOW)
    assert standing(ticket, closed, rows, ("hung",), NOW + timedelta(days=7)) is Standing.GOOD
    assert standing(ticket, closed, rows, ("hung",), NOW + timedelta(days=8)) is Standing.EXPIRED
    assert standing(ticket, INCIDENT, rows, ("sua",), NOW) is Standing.EXPIRED
    assert standing(ticket, None, [], ("hung",), NOW) is Standing.EXPIRED


def test_every_message_that_calls_has_a_link_of_its_own() -> None:
    people = tuple(Person(id, id, "vi", (Channel("smtp", f"{id}@x"),)) for id in ("hung", "sua"))
    alerts = AlertSettings(people=people, page_url="https://loa.example/")
    plan = LINKS.linking(messages_for)
    rows = plan(INCIDENT, "opened", alerts, Facts("Quan Sơn", HANOI), NOW)
    links = {row.recipient: next(word for word in row.body.split() if "/o/" in word) for row in rows}
    for person, link in links.items():
        assert link.startswith("https://loa.example/o/")
        assert LINKS.read(link.rpartition("/")[2]) == Ticket(12, "opened", person)
        assert LINKS.of(next(row for row in rows if row.recipient == person), alerts.page_url) == link
    assert len(set(links.values())) == 2
    plain = plan(INCIDENT, "opened", replace(alerts, page_url=""), Facts("Quan Sơn", HANOI), NOW)
    assert all("loa ack 12" in row.body and "/o/" not in row.body for row in plain)
    assert {LINKS.of(row, "https://loa.example/") for row in plain} == {""}, "a digest links to what has a link"


def test_too_often_is_refused_until_a_minute_has_passed() -> None:
    rate = Rate(2)
    assert [rate.allows("a", 0), rate.allows("a", 10), rate.allows("a", 59.9)] == [True, True, False]
    assert rate.allows("b", 59.9)
    assert rate.allows("a", 60)
