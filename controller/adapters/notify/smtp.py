"""Mail over SMTP: one connection a message, every reply classified.

smtplib's own `send_message` cannot say whether the message was already handed over when the connection
broke, so the dialogue is led here step by step.
"""

from __future__ import annotations

import re
import smtplib
import ssl
from email.errors import MessageError
from email.header import Header
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as WIRE_FORMAT
from email.utils import format_datetime

from controller.adapters.notify.threads import in_own_thread
from controller.domain.escalation import Channel, Smtp
from controller.domain.site import Settings
from controller.ports import Clock, NotifyError, Outgoing

WHOLE_S = 50.0
"""Limit of one delivery, under the lease of its claim: a relay that dawdles at every step is given up."""


class SmtpNotifier:
    """Sends to channels of kind "smtp", whose address is one mail address."""

    def __init__(self, relay: Smtp | None, clock: Clock) -> None:
        self._relay = relay
        self._clock = clock

    def reload(self, settings: Settings) -> None:
        """Take the relay of new settings, from the next message on."""
        self._relay = settings.alerts.smtp

    async def send(self, channel: Channel, message: Outgoing) -> None:
        """Returns when the relay took the message. NotifyError: permanent if it refused this recipient or
        this message for good, uncertain if it fell silent after it had the whole message."""
        relay = self._relay
        if relay is None:
            raise NotifyError("alerts.yaml names no mail relay (smtp:)")
        mail = self._compose(relay, channel.address, message)
        await in_own_thread(lambda: _deliver(relay, self._clock, channel.address, mail), "smtp")

    def _compose(self, relay: Smtp, to: str, message: Outgoing) -> bytes:
        mail = EmailMessage(policy=WIRE_FORMAT)
        mail["From"] = relay.sender
        mail["To"] = _recipient(to)
        mail["Date"] = format_datetime(self._clock.now())
        mail["Message-ID"] = f"<{re.sub(r'[^A-Za-z0-9._-]', '-', message.key)}@{_domain(relay.sender)}>"
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(message.body, charset="utf-8", cte="base64")
        return _subject(message.subject) + mail.as_bytes()


def _subject(text: str) -> bytes:
    """The header on its own: EmailMessage folds a long one so that its readers join two words."""
    line = " ".join(text.split())
    plain = line.isascii() and "=?" not in line
    header = Header(line, "us-ascii" if plain else "utf-8", header_name="Subject")
    return f"Subject: {header.encode(linesep=WIRE_FORMAT.linesep)}{WIRE_FORMAT.linesep}".encode("ascii")


def _recipient(to: str) -> Address:
    try:
        address = Address(addr_spec=to)
    except (ValueError, IndexError, MessageError) as error:
        raise NotifyError(f"not a mail address: {to!r}", permanent=True) from error
    if not (address.username and address.domain and to.isascii()):
        raise NotifyError(f"not a mail address: {to!r}", permanent=True)
    return address


def _deliver(smtp: Smtp, clock: Clock, to: str, mail: bytes) -> None:
    dialogue = _Dialogue(smtp, clock)
    try:
        dialogue.lead(to, mail)
    except smtplib.SMTPResponseException as error:
        raise dialogue.refused(error.smtp_code, error.smtp_error) from error
    except (smtplib.SMTPException, OSError, ValueError) as error:  # ValueError: a password that is not ASCII
        raise dialogue.broken(error) from error
    finally:
        dialogue.close()


class _Dialogue:
    """One delivery. `step` is where it stands, for the error's text; `handed` is True once the relay may have
    the whole message."""

    def __init__(self, smtp: Smtp, clock: Clock) -> None:
        self._smtp = smtp
        self._clock = clock
        self._end = clock.monotonic() + WHOLE_S
        self._server: smtplib.SMTP | None = None
        self.step = "connect"
        self.handed = False

    def lead(self, to: str, mail: bytes) -> None:
        server = self._server = self._connect()
        self._log_in(server)
        self._begin("MAIL FROM")
        _expect(server.mail(_bare(self._smtp.sender)), 250)
        self._begin("RCPT TO")
        _expect(server.rcpt(to), 250, 251)
        self._begin("DATA")
        _expect(server.docmd("DATA"), 354)
        server.send(_dotted(mail))
        self._begin("end of message")
        self.handed = True
        server.send(b".\r\n")
        _expect(server.getreply(), 250)

    def _begin(self, step: str) -> None:
        self.step = step
        left = self._end - self._clock.monotonic()
        if left <= 0:
            raise TimeoutError(f"too slow: {WHOLE_S:.0f} s are over")
        if self._server is not None and self._server.sock is not None:
            self._server.sock.settimeout(min(left, self._smtp.timeout_s))

    def _connect(self) -> smtplib.SMTP:
        smtp, name = self._smtp, _domain(self._smtp.sender)
        if smtp.tls == "tls":
            context = ssl.create_default_context()
            return smtplib.SMTP_SSL(smtp.host, smtp.port, local_hostname=name, timeout=smtp.timeout_s, context=context)
        return smtplib.SMTP(smtp.host, smtp.port, local_hostname=name, timeout=smtp.timeout_s)

    def _log_in(self, server: smtplib.SMTP) -> None:
        self._begin("EHLO")
        server.ehlo_or_helo_if_needed()
        if self._smtp.tls == "starttls":
            self._begin("STARTTLS")
            _expect(server.starttls(context=ssl.create_default_context()), 220)
            server.ehlo_or_helo_if_needed()
        if self._smtp.username:
            self._begin("login")
            server.login(self._smtp.username, self._smtp.password)

    def refused(self, code: int, text: bytes | str) -> NotifyError:
        """The relay answered with an error. For good only where it speaks of this message or recipient: a
        relay that is misconfigured will be mended, and the message shall go then."""
        said = text.decode(errors="replace") if isinstance(text, bytes) else text
        about_message = self.step in ("MAIL FROM", "RCPT TO", "DATA", "end of message")
        return NotifyError(
            f"{self._where()}: {self.step}: {code} {' '.join(said.split())}",
            permanent=about_message and 500 <= code < 600,
        )

    def broken(self, error: Exception) -> NotifyError:
        """The connection failed."""
        return NotifyError(f"{self._where()}: {self.step}: {error}", uncertain=self.handed)

    def close(self) -> None:
        if self._server is not None:
            self._server.close()

    def _where(self) -> str:
        return f"smtp://{self._smtp.host}:{self._smtp.port}"


def _expect(reply: tuple[int, bytes], *codes: int) -> None:
    if reply[0] not in codes:
        raise smtplib.SMTPResponseException(*reply)


def _dotted(mail: bytes) -> bytes:
    """Body of a DATA command without its end: CRLF lines, leading dots doubled."""
    lines = mail.splitlines()
    return b"".join((b"." + line if line.startswith(b".") else line) + b"\r\n" for line in lines)


def _bare(sender: str) -> str:
    """The address in `Name <address>`."""
    found = re.search(r"<([^<>]+)>\s*$", sender)
    return found.group(1) if found else sender.strip()


def _domain(sender: str) -> str:
    """Said in EHLO and Message-ID, so that no name server is asked for our own name."""
    return _bare(sender).rpartition("@")[2] or "localhost"
