"""The service itself."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import sys
from typing import Annotated

import typer

from controller.commands import base
from controller.commands.base import CONFIG, ConfigOption, Failure, FolderArgument
from controller.commands.words import t


def run(
    folder: FolderArgument = None,
    config: ConfigOption = CONFIG,
    instance: Annotated[
        str, typer.Option(metavar="NAME", help=t("Name of this controller, where several share a database."))
    ] = "",
    http_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help=t("Port of the page, instead of the configured one."))
    ] = None,
) -> None:
    if instance and not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,31}", instance):
        raise Failure(t("'{name}' is no name: small letters, digits and '-'", name=instance), base.USAGE)
    config = folder or config
    settings = base.load_settings(config)
    os.umask(0o077)  # what Loa writes holds passwords' hashes and tokens
    set_up_logs()
    from broadcasts.studio.ffmpeg import FfmpegMissing
    from controller.adapters.broker import BrokerError
    from controller.adapters.keys import KeyFault
    from controller.adapters.lock import AlreadyRunning
    from controller.ports import StoreError
    from controller.runtime import CannotStart, Instance, serve
    from controller.services.leadership import SharedAccount
    from controller.web.server import ListenError

    try:
        with base.failing(BrokerError, KeyFault, StoreError, ListenError, FfmpegMissing, CannotStart, SharedAccount):
            asyncio.run(serve(settings, Instance(instance, http_port)))
    except AlreadyRunning:
        raise Failure(t("a controller runs on {folder} already", folder=settings.site.data)) from None


def set_up_logs() -> None:
    """Lines for people on a terminal, JSON otherwise; the standard library's loggers in the same form."""
    import structlog

    pretty = sys.stderr.isatty()
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if pretty else "iso", utc=not pretty),
    ]
    renderer: structlog.typing.Processor
    if pretty:
        renderer = structlog.dev.ConsoleRenderer()
    else:
        shared.append(structlog.processors.format_exc_info)
        renderer = structlog.processors.JSONRenderer(ensure_ascii=False)
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    formatter = structlog.stdlib.ProcessorFormatter(processor=renderer, foreign_pre_chain=shared)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
