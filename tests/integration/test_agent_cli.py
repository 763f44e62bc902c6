"""The program itself: what it says when it cannot run, and how it ends."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
import time
from pathlib import Path

import msgspec
import pytest

from controller.commands.simulate import tell
from controller.wire.messages import Enrolment, KeySet, MediaAccess, MqttAccess
from controller.wire.signing import generate_key
from tests.integration.agent_rig import ask

UNREACHABLE = "192.0.2.1"  # TEST-NET-1: packets vanish


async def program(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "simulators", *arguments, stderr=asyncio.subprocess.PIPE
    )


async def refusal(*arguments: str) -> str:
    process = await program(*arguments)
    _, said = await process.communicate()
    assert process.returncode == 1
    return said.decode()


async def test_an_empty_folder_is_explained_with_the_command_that_helps(tmp_path: Path) -> None:
    said = " ".join((await refusal("--enrolments", str(tmp_path))).split())
    assert "no enrolment files" in said
    assert "loa enroll NODE" in said


async def test_a_folder_that_is_not_there_is_said_so_in_the_language_of_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "there is no such folder" in " ".join((await refusal("--enrolments", str(tmp_path / "none"))).split())
    monkeypatch.setenv("LOA_LANG", "vi")
    assert "không có thư mục này" in " ".join((await refusal("--enrolments", str(tmp_path / "none"))).split())


async def test_a_file_that_is_no_enrolment_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text('{"node": 7}')
    said = await refusal("--enrolments", str(tmp_path))
    assert "bad.json" in said.replace("\n", "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_it_ends_at_once_even_while_the_broker_cannot_be_reached(tmp_path: Path, number: signal.Signals) -> None:
    enrolments = tmp_path / "enrolments"
    enrolments.mkdir()
    enrolment = Enrolment(
        "node-1",
        "loa/v1",
        MqttAccess(UNREACHABLE, 1883, "node-1", "secret"),
        MediaAccess("http://192.0.2.1:8080"),
        KeySet((generate_key().public_jwk,)),
    )
    (enrolments / "node-1.json").write_bytes(msgspec.json.encode(enrolment))
    control = tmp_path / "sock"
    arguments = ["--enrolments", str(enrolments), "--folder", str(tmp_path / "nodes"), "--control", str(control)]
    process = await program(*arguments)
    while not control.exists():
        assert process.returncode is None
        await asyncio.sleep(0.02)
    listing = (await ask(control, do="list"))["nodes"]
    assert listing["node-1"]["powered"]
    assert not listing["node-1"]["connected"]
    assert "another simulator" in await refusal(*arguments)
    assert control.exists(), "what refuses leaves the first one's socket alone"
    asked = time.monotonic()
    process.send_signal(number)
    assert await process.wait() == 0
    assert time.monotonic() - asked < 3


async def test_processes_share_the_nodes_and_add_up_at_the_end(tmp_path: Path) -> None:
    enrolments = tmp_path / "enrolments"
    enrolments.mkdir()
    for n in range(3):
        enrolment = Enrolment(
            f"node-{n}",
            "loa/v1",
            MqttAccess("127.0.0.1", 9, f"node-{n}", "secret"),
            MediaAccess("http://127.0.0.1:9"),
            KeySet((generate_key().public_jwk,)),
        )
        (enrolments / f"node-{n}.json").write_bytes(msgspec.json.encode(enrolment))
    control = tmp_path / "sock"
    for left in (control, tmp_path / "sock.2"):  # by fleets that were killed
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(left))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "simulators", "--enrolments", str(enrolments), "--folder", str(tmp_path / "nodes")),
        *("--control", str(control), "--processes", "2", "--json"),
        stdout=asyncio.subprocess.PIPE,
    )
    sockets = [tmp_path / "sock.0", tmp_path / "sock.1"]
    while not all(path.exists() for path in sockets):
        assert process.returncode is None
        await asyncio.sleep(0.02)
    shares = [set((await ask(path, do="list"))["nodes"]) for path in sockets]
    assert shares == [{"node-0", "node-2"}, {"node-1"}]
    for node in ("node-0", "node-1"):
        order = {"do": "inject", "node": node, "fault": "amplifier"}
        assert (await asyncio.to_thread(tell, control, order))["ok"], "whichever process has the node"
    assert not (await asyncio.to_thread(tell, control, {"do": "inject", "node": "node-7", "fault": "fan"}))["ok"]
    while (await ask(sockets[0], do="summary"))["summary"]["trouble"] == "":
        await asyncio.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    output, _ = await process.communicate()
    assert process.returncode == 0
    told = json.loads(output)
    assert (told["nodes"], told["connected"], told["broken"]) == (3, 0, 2)
    assert told["without_power"] == 0, "as it was when it was told to end, before every node said goodbye"
    assert told["trouble"] == "127.0.0.1:9: Connection refused"
