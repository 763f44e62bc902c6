"""What a node keeps: nothing that was promised is lost, nothing half written is believed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from controller.wire.messages import JournalEntry
from simulators.disk import Disk
from simulators.journal import WINDOW, Journal
from simulators.memory import Memory
from simulators.speaker import Heard
from tests.unit.test_speaker import playlist

AT = datetime(2026, 11, 23, tzinfo=UTC)


@pytest.fixture
async def disk() -> AsyncIterator[Disk]:
    disk = Disk()
    yield disk
    await disk.close()


def entry(reason: str) -> JournalEntry:
    return JournalEntry(log="-", n=1, at=AT, kind="skipped", reason=reason)


def journal(folder: Path, disk: Disk) -> Journal:
    book = Journal(folder, disk, lambda: None)
    book.open()
    return book


def reasons(payloads: list[bytes]) -> list[str]:
    return [json.loads(payload)["reason"] for payload in payloads]


async def test_many_writes_at_once_are_all_there_in_their_order(tmp_path: Path, disk: Disk) -> None:
    writes = [disk.append(tmp_path / f"{n % 20}", f"{n}\n".encode()) for n in range(200)]
    await asyncio.gather(*writes)
    assert [int(line) for line in (tmp_path / "7").read_text().split()] == list(range(7, 200, 20))


async def test_a_replacement_is_whole_and_later_appends_follow_it(tmp_path: Path, disk: Disk) -> None:
    path = tmp_path / "file"
    await asyncio.gather(disk.append(path, b"old"), disk.replace(path, b"new"), disk.append(path, b"er"))
    assert path.read_bytes() == b"newer"
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


async def test_a_write_that_fails_says_so_and_harms_no_other(tmp_path: Path, disk: Disk) -> None:
    bad = disk.append(tmp_path / "no-such-folder" / "file", b"x")
    good = disk.append(tmp_path / "file", b"y")
    with pytest.raises(FileNotFoundError):
        await bad
    await good
    assert (tmp_path / "file").read_bytes() == b"y"


async def test_entries_are_offered_only_when_they_are_on_the_disk(tmp_path: Path, disk: Disk) -> None:
    book = journal(tmp_path, disk)
    book.add(entry("a"))
    assert book.take() == []
    await disk.close()
    await asyncio.sleep(0)
    assert reasons(book.take()) == ["a"]
    assert book.take() == []


async def test_after_a_crash_everything_not_acknowledged_comes_again(tmp_path: Path, disk: Disk) -> None:
    book = journal(tmp_path, disk)
    for reason in "abc":
        book.add(entry(reason))
    await disk.close()
    assert book.acknowledge(book.log, 1)
    await disk.close()
    again = journal(tmp_path, disk)
    assert (again.log, again.upto, again.last) == (book.log, 1, 3)
    assert reasons(again.take()) == ["b", "c"]


async def test_a_last_line_cut_short_by_a_crash_is_not_an_entry(tmp_path: Path, disk: Disk) -> None:
    book = journal(tmp_path, disk)
    book.add(entry("a"))
    book.add(entry("b"))
    await disk.close()
    path = tmp_path / "journal.log"
    path.write_bytes(path.read_bytes()[:-9])
    again = journal(tmp_path, disk)
    again.add(entry("c"))
    await disk.close()
    assert [json.loads(line).get("reason") for line in path.read_bytes().splitlines()[1:]] == ["a", "c"]
    assert again.last == 2


async def test_a_new_storage_is_a_new_log(tmp_path: Path, disk: Disk) -> None:
    first = journal(tmp_path, disk)
    (tmp_path / "journal.log").unlink()
    assert journal(tmp_path, disk).log != first.log


async def test_an_acknowledgement_of_another_log_or_of_the_future_is_none(tmp_path: Path, disk: Disk) -> None:
    book = journal(tmp_path, disk)
    book.add(entry("a"))
    await disk.close()
    assert not book.acknowledge("other", 1)
    assert not book.acknowledge(book.log, 2)
    assert book.backlog == 1


async def test_no_more_in_flight_than_the_window(tmp_path: Path, disk: Disk) -> None:
    book = journal(tmp_path, disk)
    for number in range(WINDOW + 30):
        book.add(entry(str(number)))
    await disk.close()
    await asyncio.sleep(0)
    assert len(book.take()) == WINDOW
    book.acknowledge(book.log, 20)
    assert len(book.take()) == 20
    await disk.close()


async def test_a_long_life_does_not_fill_the_disk(tmp_path: Path, disk: Disk) -> None:
    book = journal(tmp_path, disk)
    for number in range(1, 1300):
        book.add(entry("x" * 100))
        book.acknowledge(book.log, number)
    await disk.close()
    assert (tmp_path / "journal.log").stat().st_size < 200_000
    again = journal(tmp_path, disk)
    assert (again.upto, again.last, again.backlog) == (1299, 1299, 0)


async def test_what_was_begun_obeyed_and_ordered_is_known_after_a_crash(tmp_path: Path, disk: Disk) -> None:
    memory = Memory(tmp_path, disk)
    memory.open()
    now = playlist("now", 0)
    await asyncio.gather(
        memory.remember_begun("a"),
        memory.remember_begun("b"),
        memory.remember_over("a"),
        memory.remember_command("c1"),
        memory.remember_emergency("flood", Heard(2, "words", over=True)),
        memory.remember_ordered(now),
        memory.remember_fault("clock", raised=True),
        memory.remember_epoch(7),
        memory.hold(b"document"),
    )
    again = Memory(tmp_path, disk)
    for round in range(2):
        if round == 1:  # a log grown long is compacted, and reads back the same
            with (tmp_path / "memory.log").open("ab") as file:
                file.write(b'{"epoch":1}\n' * 30_000)
        known = again.open()
        assert known.begun == {"a": True, "b": False}
        assert again.unfinished() == ["b"]
        assert known.commands == {"c1": True}
        assert known.emergencies == {"flood": Heard(2, "words", over=True)}
        assert known.ordered == {"now": now}
        assert known.faults == {"clock"}
        assert known.epoch == 7
        assert again.document() == b"document"
