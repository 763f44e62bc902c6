"""The live table of a fleet."""

from __future__ import annotations

from rich.table import Table

from simulators.summary import Summary
from simulators.words import t


def table(summary: Summary) -> Table:
    """What the terminal shows of a fleet, anew each second."""
    rows = Table(title=t("simulated nodes"), show_header=False)
    rows.add_row(t("connected"), t("{connected} of {nodes}", connected=summary.connected, nodes=summary.nodes))
    if summary.trouble:
        rows.add_row(t("not connected because"), summary.trouble)
    rows.add_row(t("connections made"), _connections(summary))
    rows.add_row(t("without power"), str(summary.without_power))
    rows.add_row(t("playing"), str(summary.playing))
    rows.add_row(t("skew of the last start"), _skew(summary))
    fetched, rate = f"{summary.fetched_mb:.1f}", f"{summary.fetch_mb_s:.1f}"
    rows.add_row(t("audio fetched"), t("{mb} MB, now {rate} MB/s", mb=fetched, rate=rate))
    rows.add_row(t("assets to fetch"), str(summary.missing))
    rows.add_row(t("journal waiting"), str(summary.journal_waiting))
    rows.add_row(t("faults put in"), _faults(summary))
    rows.add_row(t("memory"), f"{summary.memory_mb:.0f} MB")
    return rows


def _connections(summary: Summary) -> str:
    if not summary.connections:
        return "0"
    return t(
        "{count}, at most {peak} a second, the last after {after} s",
        count=summary.connections,
        peak=summary.peak_per_s,
        after=f"{summary.connect_s:.0f}",
    )


def _skew(summary: Summary) -> str:
    skew = summary.skew_ms
    return "-" if skew is None else t("{skew} ms over {nodes} nodes", skew=f"{skew:.0f}", nodes=summary.started)


def _faults(summary: Summary) -> str:
    if not summary.broken:
        return t("none")
    left = summary.broken - len(summary.faults)
    return "\n".join([*summary.faults, *([t("and {more} more nodes", more=left)] if left > 0 else [])])
