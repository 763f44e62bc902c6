"""The `loa` command: what there is, how it is called, and how it ends."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from controller.commands import base
from controller.commands.listing import Commands, Entry, Listing
from controller.commands.words import t

EPILOG = t(
    "Exit status: 0 fine, 1 problems or failure, 2 wrong usage, 3 no controller is running. "
    "Language: LOA_LANG, LC_ALL or LANG (vi, en)."
)

SEE, AIR, FIX, RUN = t("Plan and check"), t("On air"), t("State and repair"), t("Running it")

ENTRIES = (
    Entry("check", "plan:check", t("Validate everything, listen to all audio, print all problems."), "loa check", SEE),
    Entry(
        "plan",
        "plan:plan",
        t("What will sound where and when."),
        "loa plan --from 2026-11-25 --days 2 --node na-meo-01",
        SEE,
    ),
    Entry(
        "import",
        "imports.command:import_",
        t("Take announcements over from a spreadsheet or a calendar, after showing what that changes."),
        "loa import lich-phat.csv",
        SEE,
    ),
    Entry("changes", "changes:changes", t("What edits changed of the plan, when and by whom."), "loa changes", SEE),
    Entry("say", "air:say", t("Speak a text now."), 'loa say "Kính mời bà con đi tiêm chủng" --to na-meo', AIR),
    Entry("play", "air:play", t("Play an audio file now."), "loa play config/audio/thong-bao.wav --to all", AIR),
    Entry("stop", "air:stop", t("Silence what sounds now."), "loa stop --to na-meo", AIR),
    Entry("volume", "air:volume", t("Turn what sounds now up or down."), "loa volume 60 --to na-meo", AIR),
    Entry(
        "emergency",
        "emergency:emergency_app",
        t("Over everything, at once: start (may be left out), update, end, list; each with --json."),
        "loa emergency lu-quet --to na-meo --drill",
        AIR,
    ),
    Entry("log", "ledger:log", t("What was really heard on one day."), "loa log --date 2026-11-24 --nodes", AIR),
    Entry(
        "why",
        "ledger:why",
        t("The whole story of one airing: why it did or did not play."),
        "loa why ban-tin-sang@2026-11-24T05:30 na-meo-01",
        AIR,
    ),
    Entry("status", "state:status", t("The whole on one screen."), "loa status", FIX),
    Entry("nodes", "state:nodes", t("Every node: alive, playing, its faults."), "loa nodes --json", FIX),
    Entry("incidents", "state:incidents", t("What is broken and what to do about it."), "loa incidents --all", FIX),
    Entry("orders", "work:orders", t("Who repairs what, by when; what is overdue."), "loa orders --overdue", FIX),
    Entry("assign", "work:assign", t("Give a work order to somebody."), "loa assign 12 lo-van-hung", FIX),
    Entry("ack", "work:ack", t("Take an incident: reminders stop."), "loa ack 12", FIX),
    Entry("begin", "work:begin", t("Say that you are on the way or repairing."), "loa begin 12", FIX),
    Entry(
        "repaired",
        "work:repaired",
        t("Say that it is mended."),
        'loa repaired 12 --note "thay cầu chì" --photo cau-chi.jpg',
        FIX,
    ),
    Entry("note", "work:note", t("Add a note or a picture to an incident."), 'loa note 12 "cần thang 6 m"', FIX),
    Entry(
        "commission",
        "commission:commission",
        t("Take what a node measures now as its baseline, after showing it."),
        'loa commission na-meo-01 --by "Lò Văn Hùng"',
        FIX,
    ),
    Entry(
        "report",
        "report:report",
        t("The figures of a month: availability, repairs, air missed."),
        "loa report --month 2026-11 --format csv",
        FIX,
    ),
    Entry("selftest", "state:selftest", t("Let a node test its own parts."), "loa selftest na-meo-01", FIX),
    Entry(
        "alerts",
        "alerts:alerts_app",
        t("Who is told of faults: test, who, check, silence, silences, end."),
        "loa alerts who na-meo-01",
        FIX,
    ),
    Entry("run", "run:run", t("The service."), "loa run", RUN),
    Entry(
        "epoch",
        "epoch:epoch",
        t("Whether nodes obey this controller; what to do after a backup was restored."),
        "loa epoch --raise",
        RUN,
    ),
    Entry("enroll", "enroll:enroll", t("Give a node its credentials."), "loa enroll na-meo-01", RUN),
    Entry("listen", "listen:listen", t("Decoded, verified messages as they pass."), "loa listen 'up/na-meo-01/#'", RUN),
    Entry("simulate", "simulate:simulate", t("Nodes in software, against any broker."), "loa simulate --nodes 60", RUN),
    Entry("inject", "simulate:inject", t("Break a part of a simulated node."), "loa inject na-meo-01 amplifier", RUN),
    Entry("mend", "simulate:mend", t("Mend a part of a simulated node."), "loa mend na-meo-01 amplifier", RUN),
    Entry("demo", "demo:demo", t("A whole network on this machine."), "loa demo --for 60s", RUN),
    Entry("keys", "enroll:keys_app", t("The keys that sign what nodes obey."), "loa keys new", RUN),
)

app = Commands(
    cls=Listing.of(ENTRIES),
    name="loa",
    help=t("Loa: announcements on time on every loudspeaker, and every fault told within seconds."),
    epilog=EPILOG,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

GlobalConfig = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="DIR", help=t("The configuration folder; ./config if not given.")),
]


@app.callback()
def _globals(config: GlobalConfig = None) -> None:
    if config is not None:
        os.environ["LOA_CONFIG"] = str(config)  # where every command's own --config looks


def main() -> None:
    """The command's entry point. The only place where an unexpected error ends up."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    try:
        app()
    except base.Failure as failure:
        _end(str(failure), failure.status)
    except BrokenPipeError:
        # who read our output has gone; Python must not complain about it when it flushes
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:  # noqa: BLE001 - the one place that reports what nobody expected
        _end(t("this should not have happened: {error}; details are in {file}", error=_line(error), file=_report()))


def _end(message: str, status: int = base.PROBLEMS) -> None:
    base.complain(f"loa: {message}")
    sys.exit(status)


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]


def _report() -> str:
    """Write the traceback of the current error to a file of its own; its path."""
    import tempfile
    import traceback

    with tempfile.NamedTemporaryFile("w", prefix="loa-error-", suffix=".log", delete=False) as file:
        file.write(f"{' '.join(sys.argv)}\n{traceback.format_exc()}")
    return file.name


if __name__ == "__main__":
    main()
