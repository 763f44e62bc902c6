"""Our own senders against real receivers: what is sent, and what each answer is taken for."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import json
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from controller.adapters.notify.apprise import AppriseNotifier, check_url
from controller.adapters.notify.smtp import SmtpNotifier
from controller.adapters.notify.webhook import WebhookNotifier, pause_asked
from controller.domain.escalation import Channel, Smtp
from controller.ports import NotifyError, Outgoing
from tests.alerts_support import hook, mail, settings
from tests.fakes import START, FakeClock
from tests.receivers import HttpReceiver, MailServer

SUBJECT = "[Nguy cấp] Na Mèo 03: hỏng tăng âm"
BODY = "Na Mèo 03: hỏng tăng âm\n.một dòng bắt đầu bằng dấu chấm\n" + "Sự cố số 12. " * 40
MESSAGE = Outgoing("quan-son.12.opened.0a1b", SUBJECT, BODY, {"incident": 12, "severity": "critical"})


def relay(server: MailServer | None = None, **changes: object) -> Smtp:
    port = server.port if server else 9
    made = Smtp(host="127.0.0.1", port=port, sender="Loa Quan Sơn <loa@quan-son.example>", timeout_s=5)
    return replace(made, **changes)  # type: ignore[arg-type]


async def refusal(sending: object) -> NotifyError:
    with pytest.raises(NotifyError) as caught:
        await sending  # type: ignore[misc]
    return caught.value


def kind(error: NotifyError) -> str:
    return "permanent" if error.permanent else "uncertain" if error.uncertain else "transient"


# --- mail ---------------------------------------------------------------------------------------------------


@pytest.fixture
async def server() -> AsyncIterator[MailServer]:
    async with MailServer() as made:
        yield made


async def test_a_mail_arrives_with_its_diacritics_and_a_key_for_its_receiver(server: MailServer) -> None:
    await SmtpNotifier(relay(server), FakeClock()).send(mail("lan@example.org"), MESSAGE)
    [got] = server.mails
    assert got["Subject"] == SUBJECT
    assert got.get_content().split() == BODY.split()
    assert (got["From"], got["To"]) == ("Loa Quan Sơn <loa@quan-son.example>", "lan@example.org")
    assert got["Message-ID"] == "<quan-son.12.opened.0a1b@quan-son.example>"
    assert got["Date"].datetime == START
    assert (got["Auto-Submitted"], got.get_content_type()) == ("auto-generated", "text/plain")


async def test_no_word_of_a_long_subject_runs_into_the_next(server: MailServer) -> None:
    """Wherever the line is folded."""
    tail = "Sơn Hà, Chợ xã: loa phát tiếng ngoài lịch, quạt làm mát không quay"
    subjects = [f"[{'Chưa ai nhận'[:length]}] {tail}" for length in range(1, 13)]
    subjects += ["Amplifier dead " * 12 + ".", "a word =?utf-8?q?like_this?= one"]
    notifier = SmtpNotifier(relay(server), FakeClock())
    for subject in subjects:
        await notifier.send(mail("lan@example.org"), replace(MESSAGE, subject=subject))
    assert [got["Subject"] for got in server.mails] == subjects


async def test_a_subject_can_not_smuggle_in_headers(server: MailServer) -> None:
    sly = replace(MESSAGE, subject="hỏng\r\nBcc: all@example.org")
    await SmtpNotifier(relay(server), FakeClock()).send(mail(), sly)
    assert server.mails[0]["Bcc"] is None
    assert server.mails[0]["Subject"] == "hỏng Bcc: all@example.org"


@pytest.mark.parametrize(
    ("step", "reply", "meaning"),
    [
        ("rcpt", "550 no such user", "permanent"),
        ("rcpt", "450 mailbox busy", "transient"),
        ("data", "554 looks like spam", "permanent"),
        ("data", "452 disk full", "transient"),
    ],
)
async def test_a_reply_is_taken_for_what_it_says(server: MailServer, step: str, reply: str, meaning: str) -> None:
    setattr(server, step, reply)
    error = await refusal(SmtpNotifier(relay(server), FakeClock()).send(mail(), MESSAGE))
    assert kind(error) == meaning
    assert reply in str(error)


async def test_nobody_listening_is_tried_again() -> None:
    server = MailServer()
    async with server:
        pass
    error = await refusal(SmtpNotifier(relay(server), FakeClock()).send(mail(), MESSAGE))
    assert kind(error) == "transient"
    assert f"smtp://127.0.0.1:{server.port}: connect" in str(error)


async def test_a_relay_that_falls_silent_with_the_whole_message_is_uncertain(server: MailServer) -> None:
    server.hang = True
    error = await refusal(SmtpNotifier(relay(server, timeout_s=0.2), FakeClock()).send(mail(), MESSAGE))
    assert kind(error) == "uncertain"
    assert len(server.mails) == 1


async def test_a_relay_that_never_greets_is_tried_again_and_surely_has_nothing() -> None:
    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    listening = await asyncio.start_server(mute, "127.0.0.1", 0)
    async with listening:
        port = listening.sockets[0].getsockname()[1]
        error = await refusal(SmtpNotifier(relay(None, port=port, timeout_s=0.2), FakeClock()).send(mail(), MESSAGE))
    assert kind(error) == "transient"


async def test_a_relay_that_dawdles_at_every_step_is_given_up_while_it_surely_has_nothing(
    server: MailServer,
) -> None:
    class Racing(FakeClock):
        def monotonic(self) -> float:
            self.mono += 20
            return self.mono

    error = await refusal(SmtpNotifier(relay(server), Racing()).send(mail(), MESSAGE))
    assert (kind(error), server.mails) == ("transient", [])
    assert "too slow" in str(error)


async def test_a_relay_that_is_configured_later_is_used_without_a_restart(server: MailServer) -> None:
    notifier = SmtpNotifier(None, FakeClock())
    assert kind(await refusal(notifier.send(mail(), MESSAGE))) == "transient"
    site = settings()
    notifier.reload(replace(site, alerts=replace(site.alerts, smtp=relay(server))))
    await notifier.send(mail(), MESSAGE)
    assert len(server.mails) == 1


@pytest.mark.parametrize("address", ["lan at home", "", "lan@", "@x", "<a@b>", "lân@x.vn", "a@b\nRCPT", "a@b,c@d"])
async def test_an_address_that_is_none_is_refused_for_good(server: MailServer, address: str) -> None:
    error = await refusal(SmtpNotifier(relay(server), FakeClock()).send(mail(address), MESSAGE))
    assert (kind(error), server.mails) == ("permanent", [])


@pytest.mark.parametrize("changes", [{"host": "a..b"}, {"host": ""}, {"sender": "lơa@x.vn"}])
async def test_a_relay_that_is_configured_wrongly_costs_no_message(server: MailServer, changes: dict[str, str]) -> None:
    error = await refusal(SmtpNotifier(relay(server, **changes), FakeClock()).send(mail(), MESSAGE))
    assert kind(error) == "transient"


async def test_a_wrong_password_is_the_relays_trouble_and_not_the_end_of_the_message() -> None:
    async with MailServer(password="right") as server:
        for wrong, said in (("sai", "login: 535"), ("bí mật", "login: 'ascii' codec")):
            notifier = SmtpNotifier(relay(server, username="loa", password=wrong), FakeClock())
            error = await refusal(notifier.send(mail(), MESSAGE))
            assert kind(error) == "transient"
            assert said in str(error)


async def test_starttls_encrypts_when_the_certificate_is_good(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    async with MailServer(tls=_served(certificate)) as server:
        await SmtpNotifier(relay(server, tls="starttls"), FakeClock()).send(mail(), MESSAGE)
    assert server.encrypted == [True]


async def test_an_unknown_certificate_stops_the_mail_before_it_is_told(certificate: Path) -> None:
    async with MailServer(tls=_served(certificate)) as server:
        error = await refusal(SmtpNotifier(relay(server, tls="starttls"), FakeClock()).send(mail(), MESSAGE))
    assert (kind(error), server.mails) == ("transient", [])
    assert "certificate" in str(error)


async def test_a_relay_without_starttls_gets_nothing_in_the_clear(server: MailServer) -> None:
    error = await refusal(SmtpNotifier(relay(server, tls="starttls"), FakeClock()).send(mail(), MESSAGE))
    assert (kind(error), server.mails) == ("transient", [])


def _served(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    return context


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mail.test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    file.with_suffix(".key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return file


# --- webhooks -----------------------------------------------------------------------------------------------


@pytest.fixture
def receiver() -> Iterator[HttpReceiver]:
    with HttpReceiver() as made:
        yield made


@pytest.fixture
async def webhook() -> AsyncIterator[WebhookNotifier]:
    made = WebhookNotifier(FakeClock(), timeout_s=5)
    yield made
    await made.close()


async def test_a_webhook_gets_the_text_the_facts_and_a_key(receiver: HttpReceiver, webhook: WebhookNotifier) -> None:
    await webhook.send(hook(receiver.url), MESSAGE)
    [request] = receiver.requests
    assert json.loads(request.body) == {
        "key": MESSAGE.key,
        "subject": SUBJECT,
        "body": BODY,
        "incident": 12,
        "severity": "critical",
    }
    assert request.headers["idempotency-key"] == MESSAGE.key
    assert "x-loa-signature" not in request.headers


async def test_a_receiver_can_check_who_sent_it_by_the_documented_rule(
    receiver: HttpReceiver, webhook: WebhookNotifier
) -> None:
    await webhook.send(hook(receiver.url, "bí mật"), MESSAGE)
    [request] = receiver.requests
    timestamp = request.headers["x-loa-timestamp"]
    expected = hmac.new("bí mật".encode(), f"{timestamp}.".encode() + request.body, hashlib.sha256)
    assert request.headers["x-loa-signature"] == f"sha256={expected.hexdigest()}"
    assert int(timestamp) == int(START.timestamp())


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        (301, "permanent"),
        (400, "permanent"),
        (401, "permanent"),
        (404, "permanent"),
        (410, "permanent"),
        (408, "transient"),
        (425, "transient"),
        (429, "transient"),
        (500, "transient"),
        (503, "transient"),
    ],
)
async def test_a_status_is_taken_for_what_it_says(
    receiver: HttpReceiver, webhook: WebhookNotifier, status: int, meaning: str
) -> None:
    receiver.answer = lambda request: (status, {})
    error = await refusal(webhook.send(hook(receiver.url), MESSAGE))
    assert (kind(error), error.retry_after_s) == (meaning, None)
    assert str(status) in str(error)


async def test_the_pause_that_a_receiver_asks_for_is_passed_on(
    receiver: HttpReceiver, webhook: WebhookNotifier
) -> None:
    receiver.answer = lambda request: (429, {"Retry-After": "120"})
    assert (await refusal(webhook.send(hook(receiver.url), MESSAGE))).retry_after_s == 120


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120),
        ("Mon, 23 Nov 2026 01:01:00 GMT", 60),
        ("Mon, 23 Nov 2026 00:00:00 GMT", 0),
        ("Mon, 23 Nov 2026 01:01:00 -0000", 60),
        ("soon", None),
        ("-5", None),
        ("", None),
        ("²", None),
    ],
)
def test_retry_after_is_a_number_or_a_date(header: str, seconds: float | None) -> None:
    assert pause_asked(header, START) == seconds


async def test_silence_after_the_request_is_uncertain(receiver: HttpReceiver) -> None:
    receiver.hang = threading.Event()
    hasty = WebhookNotifier(FakeClock(), timeout_s=0.2)
    error = await refusal(hasty.send(hook(receiver.url), MESSAGE))
    await hasty.close()
    assert kind(error) == "uncertain"
    assert len(receiver.requests) == 1


async def test_a_closed_port_is_tried_again(webhook: WebhookNotifier) -> None:
    with HttpReceiver() as gone:
        url = gone.url
    assert kind(await refusal(webhook.send(hook(url), MESSAGE))) == "transient"


@pytest.mark.parametrize(
    "url",
    ["ftp://127.0.0.1/x", "http://", "http://[::1", "not a url", "", "http://127.0.0.1:99999/", "http://xn--/"],
)
async def test_a_url_that_is_none_is_refused_for_good(webhook: WebhookNotifier, url: str) -> None:
    assert kind(await refusal(webhook.send(hook(url), MESSAGE))) == "permanent"


# --- apprise ------------------------------------------------------------------------------------------------


async def test_apprise_sends_plain_text_with_its_diacritics(receiver: HttpReceiver) -> None:
    url = receiver.url.replace("http://", "json://")
    receiver.answer = lambda request: (200, {})
    await AppriseNotifier().send(Channel("apprise", url), MESSAGE)
    told = json.loads(receiver.requests[0].body)
    assert (told["title"], told["message"].split()) == (SUBJECT, BODY.split())


@pytest.mark.parametrize(("more", "whole"), [("", False), ("&overflow=split", True)])
async def test_what_is_too_long_for_a_service_arrives_as_one_message_with_its_beginning(
    receiver: HttpReceiver, more: str, whole: bool
) -> None:
    """Unless the URL says otherwise. ntfy takes 7,800 characters with the title."""
    receiver.answer = lambda request: (200, {})
    url = receiver.url.replace("http://", "ntfy://") + "?mode=private" + more
    await AppriseNotifier().send(Channel("apprise", url), replace(MESSAGE, body="Đầu." + "." * 9_000 + "Cuối."))
    told = [json.loads(request.body)["message"] for request in receiver.requests]
    assert told[0].startswith("Đầu.")
    assert (len(told) > 1, told[-1].endswith("Cuối.")) == (whole, whole)


async def test_what_apprise_could_not_send_is_tried_again(receiver: HttpReceiver) -> None:
    receiver.answer = lambda request: (500, {})
    url = receiver.url.replace("http://", "json://")
    error = await refusal(AppriseNotifier().send(Channel("apprise", url), MESSAGE))
    assert kind(error) == "transient"


async def test_an_apprise_url_that_is_none_is_refused_for_good_and_its_token_not_logged() -> None:
    error = await refusal(AppriseNotifier().send(Channel("apprise", "tgramm://123:secret"), MESSAGE))
    assert kind(error) == "permanent"
    assert "secret" not in str(error)


async def test_messages_in_a_row_are_not_paced_by_apprise(receiver: HttpReceiver) -> None:
    receiver.answer = lambda request: (200, {})
    url = receiver.url.replace("http://", "json://")
    for _ in range(3):
        await AppriseNotifier().send(Channel("apprise", url), MESSAGE)
    assert len(receiver.requests) == 3


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("json://127.0.0.1:8080/x", ""),
        ("tgram://123456789:abcdefg_hijklmnop/12315544/", ""),
        ("ntfi://x", "Apprise knows no service ntfi:// (did you mean 'ntfy://'?)"),
        ("tgram://", "the URL lacks something that tgram:// needs"),
        ("lan@example.org", "not a URL of the form service://..."),
        ("", "not a URL of the form service://..."),
    ],
)
def test_a_bad_apprise_url_is_found_at_load(url: str, problem: str) -> None:
    assert check_url(url) == problem
