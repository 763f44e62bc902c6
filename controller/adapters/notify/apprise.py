"""Everything else (Telegram, Zalo, ntfy, SMS gateways...) through Apprise, one URL a channel."""

from __future__ import annotations

import difflib

from controller.adapters.notify.threads import in_own_thread
from controller.domain.escalation import Channel
from controller.ports import NotifyError, Outgoing


def check_url(url: str) -> str:
    """Why Apprise cannot use `url`, in one line; empty when it can. Apprise itself only says False."""
    # Imported here: Apprise takes longer to load than most commands that read the configuration to answer.
    import apprise
    from apprise.manager_plugins import NotificationManager

    scheme, separator, _ = url.strip().partition("://")
    if not separator:
        return "not a URL of the form service://..."
    if apprise.Apprise.instantiate(url, suppress_exceptions=True) is not None:
        return ""
    known: list[str] = sorted(NotificationManager().schemas())  # type: ignore[no-untyped-call]
    if scheme.lower() in known:
        return f"the URL lacks something that {scheme}:// needs"
    near = difflib.get_close_matches(scheme.lower(), known, 1)
    hint = f" (did you mean '{near[0]}://'?)" if near else ""
    return f"Apprise knows no service {scheme}://{hint}"


class AppriseNotifier:
    """Sends to channels of kind "apprise".

    Apprise says no more than yes or no: a refusal, a timeout and a wrong password look alike. So a no is
    tried again, and a service that took a message in spite of its no gets it twice.
    """

    async def send(self, channel: Channel, message: Outgoing) -> None:
        """Returns when the service took the message; NotifyError otherwise."""
        await in_own_thread(lambda: _notify(channel.address, message), "apprise")


def _notify(url: str, message: Outgoing) -> None:
    import apprise  # see check_url
    from apprise.common import OverflowMode

    # A fresh instance per message: Apprise paces the messages of one instance by sleeping in between.
    service = apprise.Apprise()
    scheme = url.partition("://")[0]  # the rest of the URL holds tokens, which no log should
    if not service.add(url):
        raise NotifyError(f"Apprise cannot use this {scheme}:// URL", permanent=True)
    if "overflow=" not in url:
        # A digest may be longer than a service takes (Telegram: 4,096 characters), which then refuses it at every
        # attempt. In parts it would be more messages than anybody should get.
        for plugin in service:
            plugin.overflow_mode = OverflowMode.TRUNCATE
    if not service.notify(body=message.body, title=message.subject, body_format=apprise.NotifyFormat.TEXT):
        raise NotifyError(f"{scheme}://: not accepted")
