"""Passwords and signing keys: what is on disk, and what is refused."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from controller.adapters import keys
from controller.adapters.credentials import hash_password, random_password, verify
from controller.adapters.keys import KeyFault


def test_the_right_password_fits_and_no_other() -> None:
    password = random_password()
    stored = hash_password(password)
    assert verify(password, stored)
    assert not verify(password + "x", stored)
    assert not verify("", stored)


def test_two_nodes_never_share_a_password_or_a_salt() -> None:
    assert len({random_password() for _ in range(100)}) == 100
    assert hash_password("same") != hash_password("same")


@pytest.mark.parametrize(
    "stored",
    ["", "$7$", "plain", "$7$0$YQ==$YQ==", "$7$-1$YQ==$YQ==", "$6$101$YQ==$YQ==", "$7$101$???$YQ==", "$7$x$YQ==$YQ=="],
)
def test_a_damaged_hash_lets_nobody_in(stored: str) -> None:
    assert not verify("", stored)


def test_a_hash_with_a_huge_cost_cannot_hold_the_server() -> None:
    assert not verify("x", "$7$999999999999$YQ==$YQ==")


def test_passwords_from_the_network_may_hold_any_character() -> None:
    assert verify("mật khẩu\udcff", hash_password("mật khẩu\udcff"))


@pytest.mark.skipif(not shutil.which("mosquitto_passwd"), reason="mosquitto_passwd is not installed")
def test_a_hash_written_by_mosquitto_itself_fits(tmp_path: Path) -> None:
    file = tmp_path / "passwords"
    file.touch()
    subprocess.run(["mosquitto_passwd", "-b", str(file), "na-meo-01", "bí-mật"], check=True)
    name, _, stored = file.read_text().strip().partition(":")
    assert name == "na-meo-01"
    assert verify("bí-mật", stored)


def test_the_key_stays_the_same_across_restarts(tmp_path: Path) -> None:
    first = keys.load_or_create(tmp_path / "keys")
    assert keys.load_or_create(tmp_path / "keys").signing.kid == first.signing.kid


def test_nobody_but_the_owner_can_read_a_key(tmp_path: Path) -> None:
    ring = keys.load_or_create(tmp_path / "keys")
    seed = tmp_path / "keys" / f"{ring.signing.kid}.seed"
    assert stat.S_IMODE(seed.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700
    assert os.listdir(tmp_path / "keys") == [seed.name]


def test_a_rotation_keeps_two_keys_valid_until_the_old_one_is_dropped(tmp_path: Path) -> None:
    old = keys.load_or_create(tmp_path).signing
    new = keys.add(tmp_path)
    keys.use(tmp_path, old.kid)
    assert [jwk["kid"] for jwk in keys.load_or_create(tmp_path).public.keys] == [old.kid, new.kid]
    keys.use(tmp_path, new.kid)
    assert [jwk["kid"] for jwk in keys.load_or_create(tmp_path).public.keys] == [new.kid, old.kid]
    keys.drop(tmp_path, old.kid)
    assert [jwk["kid"] for jwk in keys.load_or_create(tmp_path).public.keys] == [new.kid]


def test_the_signing_key_cannot_be_dropped_by_accident(tmp_path: Path) -> None:
    ring = keys.load_or_create(tmp_path)
    with pytest.raises(KeyFault, match="let another one sign first"):
        keys.drop(tmp_path, ring.signing.kid)


def test_a_truncated_key_file_is_named_and_never_replaced_silently(tmp_path: Path) -> None:
    ring = keys.load_or_create(tmp_path)
    seed = tmp_path / f"{ring.signing.kid}.seed"
    seed.write_bytes(b"short")
    with pytest.raises(KeyFault, match=f"{ring.signing.kid}.seed: 5 bytes"):
        keys.load_or_create(tmp_path)
