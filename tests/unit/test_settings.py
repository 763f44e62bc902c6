"""What a right configuration means."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from broadcasts.model import (
    EVERY_DAY,
    Chime,
    File,
    IfLate,
    InterruptAction,
    LateAction,
    Level,
    Pause,
    Priority,
    Say,
    Stream,
    Weekday,
)
from controller.domain.escalation import Channel, Smtp
from controller.domain.faults import Latch, Severity, Text, Visit
from controller.domain.site import Settings
from controller.settings import ConfigError, load
from controller.settings.schema import alerts, broadcasts, calendar, duty, faults, nodes, site
from controller.settings.sheet import Strict
from controller.wire.topics import NODE_ID

ROOT = Path(__file__).parent.parent.parent
GOOD = ROOT / "tests" / "config" / "good"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return Path(shutil.copytree(GOOD, tmp_path / "config"))


def with_broadcast(config: Path, keys: str) -> Settings:
    """The good configuration with one broadcast `x` of these keys."""
    lines = "".join(f"    {line}\n" for line in keys.splitlines())
    text = f"broadcasts:\n  - id: x\n    title: Tin\n{lines}"
    defaults = {"to": "all", "at": "05:30", "play": "[chime: open]"}
    given = {line.split(":")[0] for line in keys.splitlines()}
    for key in defaults.keys() - given - ({"at"} if "once" in given else set()):
        text += f"    {key}: {defaults[key]}\n"
    (config / "broadcasts.yaml").write_text(text)
    return load(config)


# --- the shipped example -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shipped() -> Settings:
    return load(ROOT / "config")


def test_the_shipped_district_has_no_problem_and_no_warning(shipped: Settings) -> None:
    assert shipped.warnings == ()


def test_the_shipped_district_has_twelve_communes_of_five_nodes(shipped: Settings) -> None:
    communes = [zone for zone in shipped.zones.values() if zone.is_commune]
    assert [len(zone.nodes) for zone in communes] == [5] * 12
    assert len(shipped.nodes) == 60
    assert set(shipped.zones["all"].nodes) == set(shipped.nodes)


def test_every_shipped_node_can_be_found_by_a_technician(shipped: Settings) -> None:
    for node in shipped.nodes.values():
        assert NODE_ID.fullmatch(node.id)
        assert node.lat is not None
        assert node.lon is not None
        assert 20.1 < node.lat < 20.5
        assert 104.5 < node.lon < 105.2
        assert all((node.hamlet, node.pole, node.feeder, node.uplink, node.keeper, node.keeper_phone))


def test_every_shipped_commune_has_one_technician(shipped: Settings) -> None:
    first, second = (person for person in shipped.alerts.people if person.technician)
    assert first.communes | second.communes == {zone.id for zone in shipped.zones.values() if zone.is_commune}
    assert not first.communes & second.communes


def test_shipped_broadcasts_sound_on_every_day_of_the_week_and_use_every_kind_of_file(shipped: Settings) -> None:
    recurring = [broadcast for broadcast in shipped.broadcasts.values() if broadcast.at]
    assert frozenset().union(*(broadcast.days for broadcast in recurring)) == EVERY_DAY
    kinds = {type(item) for broadcast in shipped.broadcasts.values() for item in broadcast.play}
    assert kinds == {Chime, File, Say, Pause}


def test_nothing_shipped_airs_between_nine_at_night_and_five_in_the_morning(shipped: Settings) -> None:
    for broadcast in shipped.broadcasts.values():
        local = [at.astimezone(shipped.site.zone).time() for at in broadcast.once]
        assert all(time(5) <= at < time(21) for at in (*broadcast.at, *local)), broadcast.id


def test_every_fault_of_the_table_has_a_rule(shipped: Settings) -> None:
    table = (
        "link mains-lost mains-high battery-low battery-aged charger amplifier amp-hot fan overload line-open "
        "line-short earth-fault horn horn-silent unscheduled-sound signal sim clock storage emergency-sound "
        "microphone relay enclosure reboots missed-broadcast security"
    )
    assert set(table.split()) <= {rule.code for rule in shipped.faults}


def test_whoever_climbs_or_meets_danger_is_told_about_safety(shipped: Settings) -> None:
    for rule in shipped.faults:
        if rule.visit is Visit.CLIMB and rule.severity is Severity.CRITICAL:
            assert rule.safety is not None, rule.code


def test_only_plain_values_leave_the_loader(shipped: Settings) -> None:
    """What still knew its place in a file would not go through the wire's encoder."""
    kinds = {type(value) for value in leaves(shipped)}
    assert {kind for kind in kinds if kind.__module__.startswith("controller.settings")} == set()


def leaves(value: Any) -> Iterator[Any]:
    if dataclasses.is_dataclass(value):
        for part in dataclasses.fields(value):
            yield from leaves(getattr(value, part.name))
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield key
            yield from leaves(part)
    elif isinstance(value, (tuple, frozenset)):
        for part in value:
            yield from leaves(part)
    else:
        yield value


# --- broadcasts --------------------------------------------------------------------------------------------


def test_a_broadcast_says_what_where_and_when(config: Path) -> None:
    broadcast = with_broadcast(
        config,
        """to: [na-meo, son-thuy-01]
except: [na-meo-02]
at: ["05:30", 17:00]
days: [mon, weekend]
from: 2026-11-01
until: 2027-06-30
priority: priority
level: commune
volume: 65
if_late: {do: restart, within: 1h30m}
if_interrupted: join
play:
  - chime: close
  - file: audio/chieng.wav
  - say: >-
      Kính thưa
      bà con.
    voice: vi-vn-x-south
  - pause: 1.5s
  - stream: https://radio.example.vn/vov1.m3u8
    for: 30m
    on_silence: 10s
    fallback: audio/chieng.wav""",
    ).broadcasts["x"]
    sound = str(config / "audio" / "chieng.wav")
    assert broadcast.to == ("na-meo", "son-thuy-01")
    assert broadcast.exclude == ("na-meo-02",)
    assert broadcast.at == (time(5, 30), time(17))
    assert broadcast.days == {Weekday.MON, Weekday.SAT, Weekday.SUN}
    assert (broadcast.first, broadcast.last) == (date(2026, 11, 1), date(2027, 6, 30))
    assert (broadcast.priority, broadcast.level, broadcast.volume) == (Priority.PRIORITY, Level.COMMUNE, 65)
    assert broadcast.if_late == IfLate(LateAction.RESTART, 5400)
    assert broadcast.if_interrupted is InterruptAction.JOIN
    assert broadcast.place == f"{config}/broadcasts.yaml:2"
    assert broadcast.play == (
        Chime("close"),
        File(sound),
        Say("Kính thưa bà con.", "vi-vn-x-south"),
        Pause(1500),
        Stream("https://radio.example.vn/vov1.m3u8", 1_800_000, File(sound), 10),
    )


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("17:30", time(17, 30)),
        ("05:30", time(5, 30)),
        ("7:30", time(7, 30)),
        ("0:00", time()),
        ('"23:59"', time(23, 59)),
    ],
)
def test_a_time_without_quotes_is_the_time_it_means_and_not_a_number_of_base_sixty(
    written: str, meant: time, config: Path
) -> None:
    assert with_broadcast(config, f"at: {written}").broadcasts["x"].at == (meant,)
    assert with_broadcast(config, f"at: [{written}]").broadcasts["x"].at == (meant,)


@pytest.mark.parametrize(
    ("days", "meant"),
    [
        ("every day", EVERY_DAY),
        ("weekdays", EVERY_DAY - {Weekday.SAT, Weekday.SUN}),
        ("weekend", {Weekday.SAT, Weekday.SUN}),
        ("[sun]", {Weekday.SUN}),
    ],
)
def test_days_by_name_and_by_group(days: str, meant: frozenset[Weekday], config: Path) -> None:
    assert with_broadcast(config, f"days: {days}").broadcasts["x"].days == meant


def test_once_is_local_to_the_site(config: Path) -> None:
    broadcast = with_broadcast(config, "once: [2026-11-25 16:45, 2026-11-24T06:00:30]").broadcasts["x"]
    assert broadcast.once == (
        datetime(2026, 11, 23, 23, 0, 30, tzinfo=UTC),
        datetime(2026, 11, 25, 9, 45, tzinfo=UTC),
    )
    assert broadcast.at == ()


@pytest.mark.parametrize(
    ("local", "meant"),
    [
        ("2026-03-29 02:30", datetime(2026, 3, 29, 1, 0, tzinfo=UTC)),  # skipped: first valid instant
        ("2026-10-25 02:30", datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),  # twice: the first
    ],
)
def test_an_hour_that_is_missing_or_comes_twice(local: str, meant: datetime, config: Path) -> None:
    text = (config / "site.yaml").read_text().replace("Asia/Ho_Chi_Minh", "Europe/Berlin")
    (config / "site.yaml").write_text(text)
    assert with_broadcast(config, f"once: {local}").broadcasts["x"].once == (meant,)


def test_if_late_may_be_one_word(config: Path) -> None:
    assert with_broadcast(config, "if_late: drop").broadcasts["x"].if_late.do is LateAction.DROP


def test_an_emergency_may_be_louder_than_the_site_allows(config: Path) -> None:
    keys = "priority: emergency\nvolume: 100"
    assert with_broadcast(config, keys).broadcasts["x"].volume == 100


def test_a_broadcast_without_volume_keeps_to_the_site(config: Path) -> None:
    text = (config / "site.yaml").read_text().replace("80", "50")
    (config / "site.yaml").write_text(text)
    assert with_broadcast(config, "").broadcasts["x"].volume == 50


def test_broadcasts_may_be_spread_over_files(config: Path) -> None:
    (config / "broadcasts").mkdir()
    (config / "broadcasts" / "na-meo.yaml").write_text(
        (config / "broadcasts.yaml").read_text().replace("ban-tin-sang", "cua-xa")
    )
    assert list(load(config).broadcasts) == ["ban-tin-sang", "cua-xa"]


# --- network, faults, alerts, site -------------------------------------------------------------------------


def test_communes_hamlets_and_zones_are_zones(config: Path) -> None:
    settings = load(config)
    assert {name: zone.nodes for name, zone in settings.zones.items()} == {
        "all": ("na-meo-01", "na-meo-02", "son-thuy-01"),
        "na-meo": ("na-meo-01", "na-meo-02"),
        "cha-khot": ("na-meo-01",),
        "son-thuy": ("son-thuy-01",),
        "thuy-son": ("son-thuy-01",),
        "bien-gioi": ("na-meo-01", "na-meo-02", "son-thuy-01"),
    }
    assert settings.nodes["na-meo-01"].hamlet == "Bản Cha Khót"
    assert settings.nodes["na-meo-01"].zones == ("bien-gioi",)


def test_an_id_in_quotes_may_be_any_word(config: Path) -> None:
    text = (config / "nodes.yaml").read_text().replace("cha-khot", '"no"')
    (config / "nodes.yaml").write_text(text)
    assert with_broadcast(config, 'to: ["no"]').targets(["no"]) == ("na-meo-01",)


def test_a_phone_number_keeps_its_zero(config: Path) -> None:
    text = (config / "nodes.yaml").read_text().replace("0900 000 001", "0123456")
    (config / "nodes.yaml").write_text(text)
    assert load(config).nodes["na-meo-01"].keeper_phone == "0123456"


def test_a_fault_rule_in_full(config: Path) -> None:
    (config / "faults.yaml").write_text(
        """metrics: [fuse_ok]
faults:
  - code: line-open
    component: speaker line
    severity: critical
    raise: line_z_ohm > 2 * line_z_base_ohm and fuse_ok
    clear: line_z_ohm < 1.2 * line_z_base_ohm
    critical: line_z_ohm > 900
    hold: {open: 2 tests}
    latch: selftest
    visit: climb
    models: [loa-100]
    evidence: [fuse_ok]
    reported: yes
    title: {vi: Đứt đường loa, en: Speaker line open}
    advice: {vi: Lần theo dây., en: Follow the cable.}
    parts: {vi: Dây, en: Cable}
    safety: {vi: Đeo dây an toàn., en: Wear the harness.}
  - code: line-open
    component: speaker line
    severity: major
    raise: line_z_ohm > 500
    hold: {open: 10s, clear: 1m}
    models: [loa-50]
    title: {vi: Đứt đường loa, en: Speaker line open}
    advice: {vi: Lần theo dây., en: Follow the cable.}
"""
    )
    first, second = load(config).faults
    assert (first.raise_tests, first.clear_tests, first.hold_open_s, first.hold_clear_s) == (2, 2, 0, 0)
    assert (second.raise_tests, second.clear_tests, second.hold_open_s, second.hold_clear_s) == (0, 0, 10, 60)
    assert (first.latch, first.visit, first.reported) == (Latch.SELFTEST, Visit.CLIMB, True)
    assert (first.models, first.evidence) == ({"loa-100"}, ("fuse_ok",))
    assert (first.raise_when, first.clear_when, first.critical_when) == (
        "line_z_ohm > 2 * line_z_base_ohm and fuse_ok",
        "line_z_ohm < 1.2 * line_z_base_ohm",
        "line_z_ohm > 900",
    )
    assert (first.title, first.parts) == (Text("Đứt đường loa", "Speaker line open"), Text("Dây", "Cable"))
    assert (second.latch, second.visit, second.safety, second.parts) == (Latch.NONE, Visit.SITE, None, None)


def test_alerts_in_full_with_secrets_from_elsewhere(config: Path) -> None:
    (config / "webhook-key").write_text("s3cret\n")
    (config / "alerts.yaml").write_text(
        """page_url: https://loa.example.vn
wait: {critical: 5s, other: 1m}
silence: {told_after: 10m, told_after_if_due: 2m}
smtp:
  {host: smtp.example.vn, port: 587, sender: loa@example.vn, tls: starttls, username: loa, password: env:MAIL_KEY}
people:
  - id: hung
    name: Lò Văn Hùng
    language: en
    phone: 0900 000 101
    communes: na-meo
    severities: [critical]
    channels:
      - webhook: https://bot.example.vn/x
        secret: file:webhook-key
      - smtp: hung@example.vn
"""
    )
    settings = load(config, environ={"MAIL_KEY": "hunter2"})
    told = settings.alerts
    (person,) = told.people
    assert told.smtp == Smtp("smtp.example.vn", 587, "loa@example.vn", "loa", "hunter2", "starttls")
    assert (told.wait_critical_s, told.wait_other_s, told.link_told_s, told.link_told_urgent_s) == (
        5,
        60,
        600,
        120,
    )
    assert told.page_url == "https://loa.example.vn"
    assert person.channels == (
        Channel("webhook", "https://bot.example.vn/x", "s3cret"),
        Channel("smtp", "hung@example.vn"),
    )
    assert (person.language, person.communes, person.severities) == ("en", {"na-meo"}, {Severity.CRITICAL})
    assert settings.warnings == ("alerts.yaml: nobody is told about faults in commune 'son-thuy'",)


def test_a_commune_without_a_node_is_a_warning(config: Path) -> None:
    text = (config / "nodes.yaml").read_text().replace("zones:", "  - {id: tam-thanh, name: Xã Tam Thanh}\nzones:")
    (config / "nodes.yaml").write_text(text)
    assert load(config).warnings == ("nodes.yaml: commune 'tam-thanh' has no node",)


def test_with_something_due_nobody_is_told_later_than_without(config: Path) -> None:
    alerts_file = config / "alerts.yaml"
    alerts_file.write_text(alerts_file.read_text() + "silence: {told_after: 1m}\n")
    told = load(config).alerts
    assert (told.link_told_s, told.link_told_urgent_s) == (60, 60)


def test_a_slip_in_the_name_of_a_model_takes_no_rule_away_unseen(config: Path) -> None:
    rules, nodes = config / "faults.yaml", config / "nodes.yaml"
    model = "models:\n  - {model: loa-sim-1, soundless_selftest: yes}\n"
    rule = "  - code: mains-lost\n"
    text = rules.read_text()
    assert rule in text
    rules.write_text(model + text.replace(rule, f"{rule}    models: [loa-sin-1]\n", 1))
    nodes.write_text(nodes.read_text().replace("commune: na-meo}", "commune: na-meo, model: lao-sim-1}", 1))
    assert set(load(config).warnings) == {
        "faults.yaml: the rule 'mains-lost' is for model 'loa-sin-1', and no node is (did you mean 'loa-sim-1'?)",
        "nodes.yaml: faults.yaml describes no model 'lao-sim-1' (did you mean 'loa-sim-1'?)",
    }


def test_faults_of_the_centre_can_be_silenced_in_the_file_as_on_the_page(config: Path) -> None:
    silence = "silences:\n  - {codes: [centre-disk, link], until: 2026-12-01 08:00, reason: new disk}\n"
    alerts_file = config / "alerts.yaml"
    alerts_file.write_text(alerts_file.read_text() + silence)
    assert load(config).alerts.hushes[0].codes == ("centre-disk", "link")


def test_the_site_and_its_defaults(config: Path) -> None:
    place = load(config).site
    assert (place.id, place.zone, place.language) == ("thu-nghiem", ZoneInfo("Asia/Ho_Chi_Minh"), "vi")
    assert place.data == str(config.parent / "var")
    assert place.store_url == f"sqlite:///{config.parent}/var/loa.db"
    assert (place.horizon_days, place.heartbeat_s, place.volume_max) == (7, 10, 80)
    assert (place.mqtt.host, place.mqtt.port, place.mqtt.root, place.mqtt.managed) == (
        "127.0.0.1",
        1883,
        "loa/v1",
        True,
    )
    assert (place.http.host, place.http.port, place.http.public_url) == ("127.0.0.1", 8080, "")
    assert place.studio.loudness_lufs == -18


def test_the_site_in_full(config: Path) -> None:
    (config / "site.yaml").write_text(
        """id: muong-son
name: Mường Sơn
timezone: Asia/Ho_Chi_Minh
language: en
data: /var/lib/loa
store: env:LOA_STORE
horizon: 14d
heartbeat: 30s
volume_max: 90
mqtt: {managed: no, host: mqtt.example.vn, port: 8883, root: huyen/loa, tls: yes, ca: ca.pem,
       username: loa, password: hunter2}
http: {host: 0.0.0.0, port: 80, public_url: "http://10.0.0.5"}
studio: {loudness_lufs: -16.5, true_peak_dbtp: -2, highpass_hz: 300, bitrate_kbps: 32, voice: vi-vn-x-central,
         words_per_minute: 130, max_item: 2h, assemble_up_to: 2m, ffmpeg: /usr/bin/ffmpeg}
"""
    )
    settings = load(config, environ={"LOA_STORE": "postgresql+psycopg://loa@db/loa"})
    place = settings.site
    assert (place.store_url, place.horizon_days, place.heartbeat_s) == ("postgresql+psycopg://loa@db/loa", 14, 30)
    assert dataclasses.astuple(place.mqtt) == (
        "mqtt.example.vn", 8883, "huyen/loa", False, True, str(config / "ca.pem"), "loa", "hunter2",
    )  # fmt: skip
    assert dataclasses.astuple(place.http) == ("0.0.0.0", 80, "http://10.0.0.5")
    assert dataclasses.astuple(place.studio) == (
        -16.5, -2, 300, 32, "vi-vn-x-central", 130, 7200, 120, "/usr/bin/ffmpeg",
    )  # fmt: skip


# --- reload ------------------------------------------------------------------------------------------------


def test_the_digest_is_the_same_for_the_same_files(config: Path) -> None:
    assert load(config).digest == load(config).digest


@pytest.mark.parametrize("name", ["site.yaml", "nodes.yaml", "broadcasts.yaml", "faults.yaml", "alerts.yaml"])
def test_a_change_in_any_file_changes_the_digest(name: str, config: Path) -> None:
    before = load(config)
    with (config / name).open("a") as file:
        file.write("# changed\n")
    assert load(config).digest != before.digest
    assert str(config / name) in before.files


def test_a_replaced_audio_file_and_a_new_secret_change_the_digest(config: Path) -> None:
    sound = config / "audio" / "chieng.wav"
    before = with_broadcast(config, "play: [file: audio/chieng.wav]")
    assert str(sound) in before.files
    sound.write_bytes(sound.read_bytes() + b"more")
    assert load(config).digest != before.digest


def test_an_audio_file_of_another_time_counts_as_another_file(config: Path) -> None:
    sound = config / "audio" / "chieng.wav"
    before = with_broadcast(config, "play: [file: audio/chieng.wav]")
    os.utime(sound, (0, 0))
    assert load(config).digest != before.digest


# --- docs --------------------------------------------------------------------------------------------------


MODELS = [
    kind for module in (alerts, broadcasts, calendar, duty, faults, nodes, site) for kind in vars(module).values()
]


@pytest.mark.parametrize(
    "model",
    [kind for kind in MODELS if isinstance(kind, type) and issubclass(kind, Strict) and kind is not Strict],
    ids=lambda model: model.__name__,
)
def test_every_key_is_in_the_reference(model: Any) -> None:
    reference = (ROOT / "docs" / "configuration.md").read_text()
    for name, part in model.model_fields.items():
        assert f"`{part.alias or name}`" in reference


@pytest.mark.parametrize("name", ["broadcasts.yaml", "calendar.yaml"])
def test_the_example_in_the_reference_is_right(name: str, config: Path) -> None:
    reference = (ROOT / "docs" / "configuration.md").read_text()
    example = reference.split(f"<!-- {name} -->\n```yaml\n")[1].split("```")[0]
    (config / name).write_text(example)
    try:
        load(config)
    except ConfigError as error:
        pytest.fail(str(error))
