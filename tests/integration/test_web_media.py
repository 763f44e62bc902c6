"""Audio for the nodes: who gets it, in what pieces, and how little it costs to ask twice."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest

from controller.adapters import credentials
from controller.web import media
from tests.district import PASSWORD, District, reader

CONTENT = bytes(range(256)) * 1000
NODE = httpx.BasicAuth("na-meo-01", PASSWORD)


@pytest.fixture
async def district(tmp_path: Path) -> AsyncIterator[District]:
    opened = await District.opened(tmp_path)
    await opened.enrolled("na-meo-01")
    yield opened
    await opened.store.close()


@pytest.fixture
async def web(district: District) -> AsyncIterator[httpx.AsyncClient]:
    async with reader(district, auth=NODE) as client:
        yield client


@pytest.fixture
def asset(district: District) -> str:
    return f"/media/{district.library.put(CONTENT)}.opus"


async def test_a_node_gets_exactly_the_bytes_its_hash_names(web: httpx.AsyncClient, asset: str) -> None:
    answer = await web.get(asset)
    assert answer.status_code == 200
    assert hashlib.sha256(answer.content).hexdigest() in asset
    assert answer.headers["content-length"] == str(len(CONTENT))
    assert answer.headers["content-type"] == "audio/ogg"
    assert answer.headers["accept-ranges"] == "bytes"
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["etag"].strip('"') in asset


@pytest.mark.parametrize(
    ("wanted", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=100-199", 100, 199),
        ("bytes=255000-", 255_000, 255_999),
        ("bytes=-1000", 255_000, 255_999),
        ("bytes=255990-999999", 255_990, 255_999),
    ],
)
async def test_a_broken_download_is_resumed_where_it_broke(
    web: httpx.AsyncClient, asset: str, wanted: str, first: int, last: int
) -> None:
    answer = await web.get(asset, headers={"Range": wanted})
    assert answer.status_code == 206
    assert answer.content == CONTENT[first : last + 1]
    assert answer.headers["content-range"] == f"bytes {first}-{last}/256000"
    assert answer.headers["content-length"] == str(last - first + 1)


async def test_a_range_beyond_the_end_is_416_with_the_true_length(web: httpx.AsyncClient, asset: str) -> None:
    answer = await web.get(asset, headers={"Range": "bytes=256000-"})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == "bytes */256000"


async def test_several_ranges_are_answered_with_the_whole_file(web: httpx.AsyncClient, asset: str) -> None:
    answer = await web.get(asset, headers={"Range": "bytes=0-9,20-29"})
    assert (answer.status_code, answer.content) == (200, CONTENT)


async def test_resuming_another_file_starts_over(web: httpx.AsyncClient, asset: str) -> None:
    answer = await web.get(asset, headers={"Range": "bytes=10-", "If-Range": '"another"'})
    assert (answer.status_code, answer.content) == (200, CONTENT)
    etag = answer.headers["etag"]
    assert (await web.get(asset, headers={"Range": "bytes=10-", "If-Range": etag})).status_code == 206


async def test_head_tells_the_length_and_sends_nothing(web: httpx.AsyncClient, asset: str) -> None:
    answer = await web.head(asset)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == str(len(CONTENT))


@pytest.mark.parametrize("form", ['"{}"', 'W/"{}"', '"x", "{}"', "*"])
async def test_what_the_node_has_is_not_sent_again(web: httpx.AsyncClient, asset: str, form: str) -> None:
    name = asset.removeprefix("/media/").removesuffix(".opus")
    answer = await web.get(asset, headers={"If-None-Match": form.format(name)})
    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["etag"] == f'"{name}"'
    assert (await web.get(asset, headers={"If-None-Match": f'"{name[:-1]}"'})).status_code == 200


@pytest.mark.parametrize(
    "name",
    [
        "x.opus",
        "0" * 64 + ".opus",
        "0" * 64 + ".mp3",
        "A" * 64 + ".opus",
        "../secret",
        "..%2fsecret",
        "%2e%2e/secret",
        "0" * 64 + ".opus%00",
        "0" * 64 + ".opus/",
        "",
    ],
)
async def test_only_names_of_assets_are_answered(
    web: httpx.AsyncClient, district: District, asset: str, name: str
) -> None:
    (district.library.folder.parent / "secret").write_text("secret")
    answer = await web.get(f"/media/{name}")
    assert answer.status_code == 404
    assert "secret" not in answer.text


@pytest.mark.parametrize(
    "auth",
    [
        None,
        httpx.BasicAuth("na-meo-01", "wrong"),
        httpx.BasicAuth("na-meo-01", ""),
        httpx.BasicAuth("na-meo-02", PASSWORD),
        httpx.BasicAuth("", PASSWORD),
    ],
)
async def test_nobody_else_gets_audio(web: httpx.AsyncClient, asset: str, auth: httpx.Auth | None) -> None:
    web.auth = auth
    answer = await web.get(asset)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Basic")


@pytest.mark.parametrize("given", ["Basic", "Basic !!!", "Basic /w==", "Bearer x", "Basic bmE="])
async def test_a_garbled_login_is_a_refusal_not_a_crash(web: httpx.AsyncClient, asset: str, given: str) -> None:
    web.auth = None
    assert (await web.get(asset, headers={"Authorization": given})).status_code == 401


async def test_a_node_that_fetches_in_a_thousand_pieces_costs_one_key_derivation(
    web: httpx.AsyncClient, asset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    derived: list[str] = []
    monkeypatch.setattr(media, "verify", counting(derived, credentials.verify))
    for n in range(20):
        assert (await web.get(asset, headers={"Range": f"bytes={n}-{n}"})).status_code == 206
    assert derived == [PASSWORD]


def counting(derived: list[str], verify: Callable[[str, str], bool]) -> Callable[[str, str], bool]:
    def count(password: str, stored: str) -> bool:
        derived.append(password)
        return verify(password, stored)

    return count


async def test_a_withdrawn_password_opens_nothing_after_a_minute(
    web: httpx.AsyncClient, district: District, asset: str
) -> None:
    assert (await web.get(asset)).status_code == 200
    await district.store.transact(lambda tx: tx.drop_credential("na-meo-01"))
    await district.clock.advance(61)
    assert (await web.get(asset)).status_code == 401


async def test_a_new_password_works_at_once(web: httpx.AsyncClient, district: District, asset: str) -> None:
    assert (await web.get(asset)).status_code == 200
    await district.enrolled("na-meo-01", "another")
    web.auth = httpx.BasicAuth("na-meo-01", "another")
    assert (await web.get(asset)).status_code == 200


async def test_an_asset_that_was_collected_meanwhile_is_404(
    web: httpx.AsyncClient, district: District, asset: str
) -> None:
    (district.library.folder / Path(asset).name).unlink()
    assert (await web.get(asset)).status_code == 404


async def test_a_long_document_goes_to_its_own_node_only(web: httpx.AsyncClient, district: District) -> None:
    name = hashlib.sha256(b"signed").hexdigest()
    district.dispatch.documents["na-meo-01", name] = b"signed"
    answer = await web.get(f"/media/{name}.jws")
    assert (answer.status_code, answer.content) == (200, b"signed")
    await district.enrolled("na-meo-02")
    web.auth = httpx.BasicAuth("na-meo-02", PASSWORD)
    assert (await web.get(f"/media/{name}.jws")).status_code == 404
