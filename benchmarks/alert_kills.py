"""The controller killed during incidents and while it tells people: what was lost, what was told twice; and restarts.

`python -m benchmarks.alert_kills --kills 1000`, or `make chaos-alerts`: half a second a kill on an idle machine, most
of it the life before. Real SQLite, mail server, webhook receiver and SIGKILL; see tests/integration/incident_kills.py.
Then a controller over 200 open faults is started anew 100 times, each time with a minute of heartbeats by the clock
port: it has nothing to tell. The seed replays the same moments of death; the machine's own timing varies. Ends with
status 1 if anything was lost or doubled.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from benchmarks.report import Report, size
from controller.adapters.store.sql import SqlStore
from tests.health_support import Busy, Ward, district
from tests.integration.incident_kills import Account, account_of

COMMUNES, NODES_EACH = 40, 10
BROKEN_EACH = 5
RESTARTS = 100


def main() -> None:
    asked = _arguments(sys.argv[1:] if sys.argv[0].endswith("alert_kills.py") else [])
    with tempfile.TemporaryDirectory(prefix="loa-alert-kills-") as name:
        folder = Path(name)
        account = asyncio.run(account_of(folder, asked.kills, seed=asked.seed, tell=_tell))
        standing, told = asyncio.run(_restarts(folder, asked.restarts))
    _write(account, asked.restarts, standing, told)
    for what, rows in account.wrong.items():
        print(f"{what}:", *rows[:20], sep="\n  ")
    if account.wrong or told or account.wire_doubles > account.kills:
        sys.exit(1)


def _arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=size("KILLS", 60, 1000))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--restarts", type=int, default=RESTARTS)
    return parser.parse_args(words)


def _tell(done: int) -> None:
    print(f"{done} kills", flush=True)


async def _restarts(folder: Path, restarts: int) -> tuple[int, int]:
    """(open faults, messages of all restarts): five nodes of each commune are too hot, so that no commune is out."""
    store = SqlStore(f"sqlite:///{folder}/restarts.db")
    await store.open()
    ward = Ward(district(COMMUNES, NODES_EACH), store=Busy(store))
    await ward.begin()
    await ward.all_born()
    for n, speaker in enumerate(ward.speakers.values()):
        if n % NODES_EACH < BROKEN_EACH:
            speaker.metrics["amp_temp_c"] = 80.0
    await ward.pass_time(300)
    before, standing = await _written(store), len(await ward.open())
    for n in range(restarts):
        await ward.restart(down_s=n % 7 * 60)
        await ward.pass_time(60)
    told, still = await _written(store) - before, len(await ward.open())
    await ward.end()
    await store.close()
    assert before >= COMMUNES * BROKEN_EACH, "all of them were told"
    assert standing == still == COMMUNES * BROKEN_EACH, f"{standing} open faults before, {still} after"
    return standing, told


async def _written(store: SqlStore) -> int:
    return len(await store.transact(lambda tx: tx.outbox(limit=1_000_000)))


def _write(account: Account, restarts: int, standing: int, told: int) -> None:
    report = Report("alert_kills")
    figures = {
        "kills": account.kills,
        "incidents": account.incidents,
        "messages": account.rows,
        "lost": len(account.lost),
        "doubled_by_key": len(account.doubled),
        "told_backwards": len(account.backwards),
        "incidents_left_open": len(account.still_open),
        "on_the_wire": account.wire,
        "doubles_on_the_wire": account.wire_doubles,
        "doubles_on_the_wire_per_kill": account.wire_doubles / max(1, account.kills),
        "kills_that_doubled_two": account.twice_doubling_kills,
        "restarts": restarts,
        "open_faults_at_each": standing,
        "messages_of_all_restarts": told,
    }
    for figure, value in figures.items():
        report.add(figure, value, "")
    report.add("duration_of_the_kills", account.seconds, "s")
    report.write()


if __name__ == "__main__":
    main()
