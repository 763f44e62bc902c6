"""The figures of the main job, on a real network of 60 nodes: heard as rendered, in step, whatever dies; faults told.

Real Mosquitto, controller, nodes, mail and webhook receivers as processes, a real Chromium for "on the page". Takes
about six minutes, most of it hold times.
"""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from playwright.async_api import Page, async_playwright

from benchmarks.report import Report
from tests.e2e.network import Json, Network

CHROMIUM = "/usr/bin/chromium"
LISTENED = "muong-min-01"
IDLE_S = 60.0
SETTLE_S = 15.0
AMPLIFIER_HOLD_S = 10.0
CRITICAL_WAIT_S = 15.0


async def sounding(network: Network, report: Report) -> None:
    """Figures 2 and 3: what one node gave against what was rendered; how far apart 60 nodes start."""
    skews, offsets, correlations, lates = [], [], [], []
    for n in range(5):
        text = f"Bản tin số {n + 1}. Kính mời bà con đến họp tại nhà văn hóa lúc 7 giờ tối nay."
        occurrence, start = await network.queue(f"tin-{n}", 10, text)
        lines = await network.heard(occurrence)
        starts = [datetime.fromisoformat(line["started_at"]).timestamp() for line in lines]
        skews.append((max(starts) - min(starts)) * 1000)
        lates += [(each - start.timestamp()) * 1000 for each in starts]
        found = await network.match(occurrence, LISTENED, start)
        correlations.append(found.correlation)
        offsets.append(found.offset_ms)
    report.spread("heard_correlation", correlations, "0..1")
    report.spread("heard_start_offset", offsets, "ms")
    report.spread("start_skew_60_nodes", skews, "ms")
    report.spread("start_after_plan", lates, "ms")


async def without(network: Network, report: Report, what: str) -> None:
    """Figure 4: `what` ("broker" or "controller") is killed 5 s before air time and comes back 8 s after."""
    occurrence, start = await network.queue(f"khong-{what}", 15, "Tin này vang lên dù trung tâm đã chết.")
    await _instant(start - timedelta(seconds=5))
    if what == "broker":
        network.kill_broker()
    else:
        await network.end("controller", signal.SIGKILL)
    await _instant(start + timedelta(seconds=8))
    back = time.monotonic()
    await (network.start_broker() if what == "broker" else network.start_controller())
    lines = await network.heard(occurrence, within=120)
    report.add(f"without_{what}_journals_back", time.monotonic() - back, "s")
    report.add(f"without_{what}_nodes_heard", len(lines), "nodes")
    report.spread(f"without_{what}_start_after_plan", [_late_ms(line, start) for line in lines], "ms")


async def amplifier(network: Network, report: Report, page: Page) -> None:
    """Figure 5: a dead amplifier, from the injection to the page and to the webhook, and from repair to closed."""
    flags, hooks = [], []
    for node in ("na-meo-02", "son-thuy-03", "muong-min-04"):
        network.alerts.clear()
        began = time.time()
        await network.control(do="inject", node=node, fault="amplifier")
        incident = await network.incident(node, "amplifier")
        await page.locator(f"#incident-{incident['id']}").wait_for(timeout=30_000)
        flags.append(time.time() - began - AMPLIFIER_HOLD_S)
        hooks.append(await _webhook(network, 1) - began - AMPLIFIER_HOLD_S - CRITICAL_WAIT_S)
    report.spread("amplifier_on_page_after_hold", flags, "s")
    report.spread("amplifier_at_webhook_after_hold_and_wait", hooks, "s")
    await network.control(do="mend", node=node, fault="amplifier")
    mended = time.time()
    await network.post(f"incidents/{incident['id']}/repaired", by="bench", note="")
    await page.locator(f"#incident-{incident['id']}").wait_for(state="detached", timeout=180_000)
    report.add("amplifier_repaired_to_closed", time.time() - mended, "s (clear hold 60 s)")


async def power_cut(network: Network, report: Report) -> None:
    """Figure 6: five nodes of one commune lose their mains."""
    network.alerts.clear()
    began = time.time()
    for n in range(1, 6):
        await network.control(do="inject", node=f"tam-thanh-0{n}", fault="mains-lost")
    first = await _webhook(network, 1)
    await asyncio.sleep(30)  # whatever else would be said is said by then
    rows = (await network.get("incidents"))["incidents"]
    shown = [row for row in rows if row["parent"] is None and "tam-thanh" in (row["subject"], row["commune"])]
    hooks = [alert for _, alert in network.alerts if alert.channel == "webhook" and "Tam Thanh" in alert.body]
    report.add("power_cut_to_webhook", first - began, "s")
    report.add("power_cut_incidents", len(shown), "incidents")
    report.add("power_cut_messages_per_channel", len(hooks), "messages")


async def idle(network: Network, report: Report) -> None:
    """Figure 9: what the controller takes while nothing happens but heartbeats: after every node has its audio."""

    async def all_fetched() -> bool:
        nodes = (await network.control(do="list"))["nodes"].values()
        return all(node["missing"] == 0 for node in nodes)

    await network.until(all_fetched, within=180, every=1.0)
    await asyncio.sleep(SETTLE_S)
    pid = network.pid("controller")
    before, began = _cpu_s(pid), time.monotonic()
    await asyncio.sleep(IDLE_S)
    report.add("idle_cpu", 100 * (_cpu_s(pid) - before) / (time.monotonic() - began), "% of a core")
    report.add("idle_memory", _rss_mb(pid), "MB")


async def _webhook(network: Network, count: int) -> float:
    async def came() -> float | None:
        hooks = [at for at, alert in network.alerts if alert.channel == "webhook"]
        return hooks[count - 1] if len(hooks) >= count else None

    at = await network.until(came, within=120)
    assert at is not None
    return at


async def _instant(at: datetime) -> None:
    await asyncio.sleep(max(0.0, (at - datetime.now(UTC)).total_seconds()))


def _late_ms(line: Json, start: datetime) -> float:
    return (datetime.fromisoformat(line["started_at"]) - start).total_seconds() * 1000


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _rss_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


async def _measure(report: Report) -> None:
    with tempfile.TemporaryDirectory(prefix="loa-bench-") as name:
        folder = Path(name)
        os.chmod(name, 0o711)  # the broker, which gives up root's rights, must reach its part
        async with Network(folder) as network, async_playwright() as playwright:
            await idle(network, report)
            await sounding(network, report)
            await without(network, report, "broker")
            await without(network, report, "controller")
            browser = await playwright.chromium.launch(executable_path=CHROMIUM)
            page: Any = await browser.new_page()
            await page.goto(network.page)
            await amplifier(network, report, page)
            await power_cut(network, report)
            await browser.close()


def main() -> None:
    report = Report("main_job")
    try:
        asyncio.run(_measure(report))
    finally:
        report.write()


if __name__ == "__main__":
    main()
