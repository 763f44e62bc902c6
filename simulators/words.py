"""What the simulator says on a terminal, in Vietnamese or English. It shares nothing with the controller but the
protocol, so it has a catalogue of its own; the variables are those that `loa` looks at."""

from __future__ import annotations

import os
from collections.abc import Mapping

VARIABLES = ("LOA_LANG", "LC_ALL", "LC_MESSAGES", "LANG")

VIETNAMESE: Mapping[str, str] = {
    "simulated nodes": "cụm loa mô phỏng",
    "connected": "đã kết nối",
    "{connected} of {nodes}": "{connected} trên {nodes}",
    "not connected because": "lý do chưa kết nối",
    "connections made": "số lần kết nối",
    "{count}, at most {peak} a second, the last after {after} s": (
        "{count}, nhiều nhất {peak} lần mỗi giây, lần cuối ở giây thứ {after}"
    ),
    "without power": "đã tắt nguồn",
    "playing": "đang phát",
    "skew of the last start": "lệch giờ phát lần gần nhất",
    "{skew} ms over {nodes} nodes": "{skew} ms trên {nodes} cụm loa",
    "audio fetched": "âm thanh đã tải",
    "{mb} MB, now {rate} MB/s": "{mb} MB, hiện {rate} MB/s",
    "assets to fetch": "tệp còn phải tải",
    "journal waiting": "nhật ký chờ gửi",
    "faults put in": "lỗi đã gây ra",
    "and {more} more nodes": "và {more} cụm loa nữa",
    "none": "không có",
    "memory": "bộ nhớ",
    "{folder}: there is no such folder": "{folder}: không có thư mục này",
    "{folder}: no enrolment files (*.json); write them with: loa enroll NODE": (
        "{folder}: không có tệp tài khoản nào (*.json); tạo bằng lệnh: loa enroll CỤM_LOA"
    ),
    "{folder}: {known} enrolment files, {asked} nodes asked for": (
        "{folder}: có {known} tệp tài khoản, nhưng yêu cầu {asked} cụm loa"
    ),
    "{control}: another simulator listens there; give this one a folder or a --control of its own": (
        "{control}: một trình mô phỏng khác đang dùng socket này; hãy chọn --folder hoặc --control khác"
    ),
}


def t(text: str, /, **values: object) -> str:
    """`text` in the language of the terminal, its {places} filled."""
    chosen = next((os.environ[name] for name in VARIABLES if os.environ.get(name)), "")
    said = VIETNAMESE.get(text, text) if chosen.lower().startswith("vi") else text
    return said.format(**values) if values else said
