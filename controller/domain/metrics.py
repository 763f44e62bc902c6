"""What is measured: the name of each metric for people, its unit, and which have a baseline. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from controller.domain.faults import Text


@dataclass(frozen=True, slots=True)
class Metric:
    """How a measured value is shown: its name for people, its unit, its decimals. `baseline`: it is measured when the
    node is commissioned, and rules compare with that (`base_name`)."""

    label: Text
    unit: str
    decimals: int = 0
    baseline: bool = False


@dataclass(frozen=True, slots=True)
class Model:
    """What is known of a hardware model: the ranges in which a sound node of it measures (metric -> lowest, highest),
    and whether it can test itself without a sound."""

    expected: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    soundless: bool = False


METRICS: Mapping[str, Metric] = {
    "mains_v": Metric(Text("điện lưới", "mains"), "V"),
    "batt_v": Metric(Text("ắc quy", "battery"), "V", 1),
    "batt_r_mohm": Metric(Text("điện trở trong ắc quy", "battery resistance"), "mΩ", baseline=True),
    "chg_a": Metric(Text("dòng nạp", "charging current"), "A", 1),
    "amp_pilot_db": Metric(Text("tín hiệu dò tăng âm", "amplifier pilot"), "dB"),
    "src_dbfs": Metric(Text("tín hiệu vào", "input signal"), "dBFS"),
    "amp_vrms": Metric(Text("điện áp ra tăng âm", "amplifier output"), "V", 1),
    "amp_temp_c": Metric(Text("nhiệt độ tăng âm", "amplifier temperature"), "°C"),
    "fan_rpm": Metric(Text("tốc độ quạt", "fan speed"), "rpm"),
    "load_w": Metric(Text("công suất tải", "load"), "W"),
    "line_z_ohm": Metric(Text("trở kháng đường loa", "line impedance"), "Ω", 1, baseline=True),
    "earth_kohm": Metric(Text("cách điện với đất", "insulation to earth"), "kΩ"),
    "mic_spl_db": Metric(Text("âm lượng đo tại loa", "sound level at the horn"), "dB", baseline=True),
    "level_db": Metric(Text("mức âm phát ra", "level heard"), "dB"),
    "rsrp_dbm": Metric(Text("sóng 4G (RSRP)", "4G signal (RSRP)"), "dBm"),
    "sinr_db": Metric(Text("nhiễu 4G (SINR)", "4G quality (SINR)"), "dB"),
    "sim_state": Metric(Text("SIM", "SIM"), ""),
    "data_left_mb": Metric(Text("dung lượng còn lại", "data left"), "MB"),
    "sim_exp_d": Metric(Text("SIM hết hạn sau", "SIM expires in"), "d"),
    "clock.offset_ms": Metric(Text("lệch giờ", "clock offset"), "ms"),
    "clock.synced": Metric(Text("đồng bộ giờ", "clock synchronised"), ""),
    "disk_free_pct": Metric(Text("bộ nhớ trống", "disk free"), "%"),
    "io_err_n": Metric(Text("lỗi đọc ghi", "I/O errors"), ""),
    "mic_pilot_ok": Metric(Text("tín hiệu dò micrô", "microphone pilot"), ""),
    "ptt_s": Metric(Text("thời gian giữ phím nói", "talk key held"), "s"),
    "door": Metric(Text("cửa tủ", "door"), ""),
    "rh_pct": Metric(Text("độ ẩm", "humidity"), "%"),
    "spd_ok": Metric(Text("chống sét", "surge protector"), ""),
    "batt_r_base_mohm": Metric(Text("điện trở trong ắc quy ban đầu", "battery resistance when new"), "mΩ"),
    "line_z_base_ohm": Metric(Text("trở kháng đường loa ban đầu", "line impedance when new"), "Ω", 1),
    "mic_spl_base_db": Metric(Text("âm lượng ban đầu", "sound level when new"), "dB"),
    "load_rated_w": Metric(Text("công suất định mức", "rated load"), "W"),
    "data_quota_mb": Metric(Text("gói dung lượng", "data plan"), "MB"),
    "assets_missing": Metric(Text("tệp âm thanh còn thiếu", "audio still to come"), ""),
    "stream_silent_s": Metric(Text("đài tiếp sóng im tiếng", "relayed station silent for"), "s"),
    "sounds_corrupt": Metric(Text("âm báo khẩn cấp bị hỏng", "damaged emergency sounds"), ""),
    "sound_due": Metric(Text("đang có lịch phát", "something is due"), ""),
    "airing": Metric(Text("chương trình", "broadcast"), ""),
    "missed": Metric(Text("không phát", "not played"), ""),
    "broken_off": Metric(Text("đang phát thì ngắt", "broke off"), ""),
    "late_s": Metric(Text("phát trễ", "late by"), "s"),
    "played_pct": Metric(Text("phần đã phát", "share played"), "%"),
    "free_mb": Metric(Text("đĩa còn trống", "free on the disk"), "MB"),
    "inodes_free_pct": Metric(Text("số tệp còn tạo được", "files that can still be made"), "%", 1),
    "write_s": Metric(Text("thời gian ghi cơ sở dữ liệu", "time to write to the database"), "s", 1),
    "behind_s": Metric(Text("đọc trễ", "reading late by"), "s"),
    "stepped_s": Metric(Text("đồng hồ bị chỉnh", "the clock was stepped by"), "s", 1),
    "epoch": Metric(Text("epoch của trung tâm", "epoch of the centre"), ""),
    "nodes_epoch": Metric(Text("epoch cao nhất của cụm loa", "highest epoch of a node"), ""),
    "nodes_ahead": Metric(Text("số cụm loa từ chối lệnh", "nodes that refuse orders"), ""),
    "reason": Metric(Text("lý do", "reason"), ""),
    "boots_24h": Metric(Text("số lần khởi động trong 24 giờ", "starts in 24 h"), ""),
}
"""Metrics of the protocol, and what the controller adds; others are made known in config/faults.yaml."""

UNITS_VI = {"rpm": "vòng/phút", "d": "ngày", "s": "giây"}


def base_name(metric: str) -> str:
    """The name by which rules know the value at commissioning: `line_z_ohm` -> `line_z_base_ohm`."""
    stem, _, unit = metric.rpartition("_")
    return f"{stem}_base_{unit}" if stem else f"{metric}_base"


def baselines(metrics: Mapping[str, Metric]) -> dict[str, str]:
    """Metric -> name of its baseline, of all that have one."""
    return {name: base_name(name) for name, metric in metrics.items() if metric.baseline}


def known(declared: Mapping[str, Metric]) -> dict[str, Metric]:
    """The metrics of the protocol and the declared ones, with the baselines of all that have one."""
    found = {**METRICS, **declared}
    return {**{base: _base(found[name]) for name, base in baselines(found).items()}, **found}


def _base(metric: Metric) -> Metric:
    label = Text(f"{metric.label.vi} khi lắp đặt", f"{metric.label.en} at commissioning")
    return Metric(label, metric.unit, metric.decimals)


def missing(names: Iterable[str], measured: Mapping[str, object]) -> tuple[str, ...]:
    """Those of `names` that are not measured, sorted."""
    return tuple(sorted(name for name in names if measured.get(name) is None))
