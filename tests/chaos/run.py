"""One run: the network up, acts and programme for a while, everything mended, silence awaited, promises judged."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx

from controller.ports import StoreError, Tx
from tests.chaos.disk import BALLAST, own_mounts
from tests.chaos.hands import Hands
from tests.chaos.operator import Operator
from tests.chaos.plan import Act, Kind, acts, counted, programme
from tests.chaos.promises import Evidence, Verdict, damage, judged
from tests.chaos.stage import NODES, Stage, find_libfaketime
from tests.e2e.kills import COMMUNES, TARGETS, Recorder
from tests.postgresql import Cluster

SETTLE_S = 150.0
CANARY = "amp-hot"
"""A fault that is put in when all is over: the way from a part to a person is open."""
INTERRUPTING = (Kind.KILL_CONTROLLER, Kind.STOP_CONTROLLER, Kind.KILL_RECEIVERS, Kind.STOP_RECEIVERS)


@dataclass(slots=True)
class Outcome:
    """What was done, counted, and what did not hold."""

    seed: int
    length_s: float
    done: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    fell: list[str] = field(default_factory=list)
    verdict: Verdict = field(default_factory=Verdict)


def impossible(cluster: Cluster | None) -> dict[Kind, str]:
    """What cannot be done here, and why. Call it before any thread starts (see `own_mounts`)."""
    without: dict[Kind, str] = {}
    if find_libfaketime() is None:
        without[Kind.STEP_CLOCK] = "libfaketime is not installed"
    if cluster is not None:
        without[Kind.FILL_DISK] = "the database is PostgreSQL, whose disk is its own"
        return without
    without |= dict.fromkeys((Kind.KILL_DATABASE, Kind.STOP_DATABASE), "SQLite is no process")
    if why := own_mounts():
        without[Kind.FILL_DISK] = why
    return without


async def run(
    folder: Path,
    *,
    seed: int,
    length_s: float,
    without: dict[Kind, str],
    cluster: Cluster | None = None,
    only: Collection[Kind] = (),
    tell: Callable[[str], None] = lambda _: None,
    keep: Path | None = None,
) -> Outcome:
    """Do `length_s` seconds of what `seed` says in `folder`, and judge. `keep`: where everything is left of a run that
    broke a promise, or that could not be judged."""
    stage = Stage(folder, cluster=cluster, disk=Kind.FILL_DISK not in without, clocks=Kind.STEP_CLOCK not in without)
    plan = planned(seed, length_s, without, only)
    outcome = Outcome(seed, length_s, skipped={kind.value: why for kind, why in without.items()})
    async with stage, Recorder(stage.access) as recorder, _kept(stage, outcome, keep):
        operator = Operator(stage, recorder, programme(seed, length_s, TARGETS), seed)
        hands = Hands(stage, operator, tell)
        watch = asyncio.create_task(_versions(stage, outcome), name="versions")
        began = time.monotonic()
        await asyncio.gather(hands.carry_out(plan, began), operator.work(began))
        watch.cancel()
        tell(f"{time.monotonic() - began:7.1f} everything is mended")
        await _mend(stage, operator, hands)
        outcome.verdict.add("alert path", await _canary(stage))
        evidence = await _settled(stage, hands, operator, recorder, tell)
        outcome.verdict.counts |= (verdict := await asyncio.to_thread(judged, evidence)).counts
        for promise, lines in verdict.broken.items():
            outcome.verdict.add(promise, lines)
        outcome.verdict.add("not back", await _not_back(stage, operator, recorder))
        outcome.verdict.add("database", damage(stage.store_url))
    outcome.done, outcome.refused, outcome.fell = counted(hands.done), hands.refused, stage.fell
    return outcome


def planned(seed: int, length_s: float, without: Collection[Kind], only: Collection[Kind] = ()) -> list[Act]:
    """What is done; `only` these kinds if there are any, `without` those that cannot be done here."""
    leave_out = set(without) | ({*Kind} - set(only) if only else set())
    return acts(seed, length_s, nodes=NODES, communes=COMMUNES, without=leave_out)


@asynccontextmanager
async def _kept(stage: Stage, outcome: Outcome, keep: Path | None) -> AsyncIterator[None]:
    """While the small disk is still there: the database lies on it."""
    well = False
    try:
        yield
        well = not outcome.verdict.broken
    finally:
        if keep is not None and not well:
            ignored = shutil.ignore_patterns("ctl", BALLAST)
            await asyncio.to_thread(shutil.copytree, stage.folder, keep, dirs_exist_ok=True, ignore=ignored)


async def _versions(stage: Stage, outcome: Outcome) -> None:
    """What the database says of epochs and revisions, again and again."""
    newest: dict[str, tuple[int, int]] = {}
    while True:
        with suppress(StoreError):
            for node, version in (await stage.stored(_desired)).items():
                if version < newest.get(node, (0, 0)):
                    outcome.verdict.add("backwards", [f"{node}: {version} stored after {newest[node]}"])
                newest[node] = version
        await asyncio.sleep(1)


def _desired(tx: Tx) -> dict[str, tuple[int, int]]:
    return {node: (row.epoch, row.rev) for node, row in tx.desired().items()}


# --- until all is quiet -------------------------------------------------------------------------------------


async def _mend(stage: Stage, operator: Operator, hands: Hands) -> None:
    operator.mend()
    await stage.until(stage.leader, within=90)
    await stage.until(lambda: _answers(stage), within=30)
    await hands.lay_down()
    for alarm in hands.alarms:
        if alarm.id and not alarm.ended:
            await stage.until(lambda id=alarm.id: _taken_back(stage, id))  # type: ignore[misc]
    for one in (await stage.ask("emergency"))["active"]:  # ordered, though the answer was lost
        await stage.order(f"emergency/{one['id']}/end", by="đình")


async def _taken_back(stage: Stage, id: str) -> bool:
    """Ended now, or before: the order may have been taken although its answer was lost, and a second one is refused."""
    await stage.order(f"emergency/{id}/end", by="đình")
    return not (await stage.ask(f"emergency/{id}"))["active"]


async def _answers(stage: Stage) -> bool:
    return bool((await stage.control(do="list"))["nodes"])


async def _settled(
    stage: Stage, hands: Hands, operator: Operator, recorder: Recorder, tell: Callable[[str], None]
) -> Evidence:
    """The evidence once nothing is on its way any more, or after SETTLE_S as it is then."""
    patience, told = time.monotonic() + SETTLE_S, ""
    while True:
        evidence = await _evidence(stage, hands, operator, recorder)
        # the cables are in this loop: while it reckons, nothing would pass
        late = await asyncio.to_thread(_on_the_way, evidence)
        waiting = [*await _not_back(stage, operator, recorder), *late]
        if not waiting or time.monotonic() > patience:
            return evidence
        if waiting[0] != told:
            tell(f"          waiting for {len(waiting)}: {waiting[0]}")
            told = waiting[0]
        await asyncio.sleep(0.5)


def _on_the_way(evidence: Evidence) -> list[str]:
    verdict = judged(evidence)
    slow = ("silent", "alert lost", "forgotten", "gaps in a journal", "still sounding", "emergency")
    return [line for promise in slow for line in verdict.broken.get(promise, [])]


async def _evidence(stage: Stage, hands: Hands, operator: Operator, recorder: Recorder) -> Evidence:
    cuts = sum(act.kind in INTERRUPTING for act in hands.done) + len(stage.fell)
    evidence = Evidence(
        promises=operator.promises,
        alarms=hands.alarms,
        troubles=stage.troubles,
        recorder=recorder,
        arrived=stage.arrived(),
        repeats_allowed=cuts * len(COMMUNES) * 2,
        people=[f"tho-{commune}" for commune in COMMUNES],
        faults=hands.faults,
    )
    await stage.stored(evidence.read)
    return evidence


async def _not_back(stage: Stage, operator: Operator, recorder: Recorder) -> list[str]:
    """Nodes that are not online, hold not what they are to hold, or have something left to say or to play."""
    try:
        own = (await stage.control(do="list"))["nodes"]
        told = {one["id"]: one for commune in (await stage.ask("nodes"))["communes"] for one in commune["nodes"]}
    except (httpx.HTTPError, OSError, ValueError) as error:
        return [f"no answer: {type(error).__name__}"]
    over = all(one.start + timedelta(seconds=3) < datetime.now(UTC) for one in operator.promises.values())
    wrong = [] if over else ["the last airing is not over"]
    for node in NODES:
        wrong += [f"{node} is {told[node]['state']}"] if told[node]["state"] != "online" else []
        wrong += [f"{node} holds {told[node]['held']}"] if told[node]["held"] != told[node]["wanted"] else []
        wrong += [
            f"{node}: {own[node][what]} {what}" for what in ("journal_backlog", "missing", "playing") if own[node][what]
        ]
    return wrong


async def _canary(stage: Stage) -> list[str]:
    """A fault now is told of, after all that."""
    node = NODES[0]
    await stage.control(do="inject", node=node, fault=CANARY)

    async def told() -> bool:
        rows = (await stage.ask("incidents"))["incidents"]
        return any(row["subject"] == node and row["cause"] == CANARY and row["messages"]["total"] for row in rows)

    try:
        await stage.until(told, within=60, every=0.5)
    except AssertionError:
        return [f"{CANARY} at {node} was told to nobody within a minute"]
    await stage.control(do="mend", node=node, fault=CANARY)
    return []
