"""What states are called on screens, for the page, the API and the command line; faults, causes and metrics
are named in domain/wording.py, where the technicians' messages take them from too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from broadcasts.model import Priority
from controller.domain import wording
from controller.domain.asrun import Heard
from controller.domain.delivery import DeliveryState
from controller.domain.emergencies import Confirmed, EmergencyState, Step
from controller.domain.faults import Text
from controller.domain.incidents import IncidentState
from controller.domain.liveness import Liveness
from controller.domain.metrics import METRICS, Metric
from controller.domain.workorders import OrderState

K = TypeVar("K", bound=str)

LIVENESS: Mapping[str, Text] = {
    Liveness.ONLINE: Text("Trực tuyến", "Online"),
    Liveness.SUSPECT: Text("Nghi vấn", "Suspect"),
    Liveness.OFFLINE: Text("Mất liên lạc", "Offline"),
    Liveness.UNKNOWN: Text("Chưa rõ", "Unknown"),
}

PRIORITY: Mapping[str, Text] = {
    Priority.NORMAL: Text("Thường", "Normal"),
    Priority.PRIORITY: Text("Ưu tiên", "Priority"),
    Priority.EMERGENCY: Text("Khẩn cấp", "Emergency"),
}

INCIDENT_STATE: Mapping[str, Text] = {
    IncidentState.OPEN: Text("Chưa ai nhận", "Not acknowledged"),
    IncidentState.ACKNOWLEDGED: Text("Đã nhận", "Acknowledged"),
    IncidentState.IN_REPAIR: Text("Đang sửa", "In repair"),
    IncidentState.REPAIRED: Text("Báo đã sửa, đang đo lại", "Reported repaired, being measured"),
    IncidentState.RECOVERING: Text("Đang phục hồi", "Recovering"),
    IncidentState.CLOSED: Text("Đã khắc phục", "Closed"),
}

ORDER_STATE: Mapping[str, Text] = {
    OrderState.OPEN: Text("Chưa ai nhận", "Not accepted"),
    OrderState.ACCEPTED: Text("Đã nhận", "Accepted"),
    OrderState.IN_REPAIR: Text("Đang sửa", "In repair"),
    OrderState.REPAIRED: Text("Báo đã sửa, đang đo lại", "Reported repaired, being measured"),
    OrderState.NOT_VERIFIED: Text("Đo lại chưa đạt", "Not verified"),
    OrderState.VERIFIED: Text("Đo lại đạt, đã xong", "Verified"),
    OrderState.CLOSED: Text("Tự phục hồi, đã đóng", "Closed, recovered by itself"),
}

HAPPENED: Mapping[str, Text] = {
    "found": Text("Phát hiện lỗi", "Found"),
    "opened": Text("Đã báo người phụ trách", "Told"),
    "severity": Text("Nặng lên", "Got worse"),
    "acknowledged": Text("Nhận việc", "Taken"),
    "assigned": Text("Giao cho", "Given to"),
    "repair-begun": Text("Bắt đầu sửa", "Repair begun"),
    "repaired": Text("Báo đã sửa xong", "Reported repaired"),
    "recovering": Text("Đo lại thấy tốt, đang theo dõi", "Measured good, being watched"),
    "bad-again": Text("Đo lại vẫn hỏng", "Measured bad again"),
    "unverified": Text("Đo lại chưa đạt", "Not verified"),
    "note": Text("Ghi chú", "Note"),
    "reminder": Text("Đã nhắc", "Reminded"),
    "escalated": Text("Báo lên cấp trên", "Told one level up"),
    "overdue": Text("Quá hạn sửa", "Overdue"),
    "closed": Text("Đã khắc phục", "Closed"),
    "recovered": Text("Đã khắc phục", "Recovered"),
    "relapsed": Text("Hỏng trở lại", "There again"),
    "reopened": Text("Báo lại: tái phát", "Told again"),
}
"""What an incident's history is called on the page behind a link; steps that are not here are not shown there."""

COMPONENT: Mapping[str, Text] = {
    "network": Text("Mạng", "Network"),
    "power": Text("Nguồn điện", "Power"),
    "battery": Text("Ắc quy", "Battery"),
    "amplifier": Text("Tăng âm", "Amplifier"),
    "speaker line": Text("Đường dây loa", "Speaker line"),
    "horn": Text("Loa nén", "Horn"),
    "clock": Text("Đồng hồ", "Clock"),
    "storage": Text("Bộ nhớ", "Storage"),
    "microphone": Text("Micrô", "Microphone"),
    "source": Text("Nguồn tiếng", "Source"),
    "enclosure": Text("Tủ thiết bị", "Enclosure"),
    "controller board": Text("Bo điều khiển", "Controller board"),
    "identity": Text("An ninh", "Identity"),
    "service": Text("Dịch vụ phát thanh", "The service itself"),
    "centre": Text("Trung tâm", "Centre"),
    "broker": Text("Máy chủ MQTT", "MQTT broker"),
}

DELIVERY: Mapping[str, Text] = {
    DeliveryState.PLANNED: Text("Đã lên lịch", "Planned"),
    DeliveryState.PUBLISHED: Text("Đã gửi lịch tới cụm loa", "Sent to the node"),
    DeliveryState.ACCEPTED: Text("Cụm loa đã nhận lịch", "Accepted by the node"),
    DeliveryState.READY: Text("Cụm loa đã tải đủ âm thanh", "Audio is on the node"),
    DeliveryState.SOUNDING: Text("Bắt đầu phát", "Started"),
    DeliveryState.INTERRUPTED: Text("Tạm ngừng nhường chương trình khác", "Interrupted by another broadcast"),
    DeliveryState.COMPLETED: Text("Phát xong", "Completed"),
    DeliveryState.FAILED: Text("Phát hỏng", "Failed"),
    DeliveryState.SKIPPED: Text("Bỏ qua", "Skipped"),
    DeliveryState.CANCELLED: Text("Đã hủy", "Cancelled"),
    DeliveryState.UNKNOWN: Text("Không có tin từ cụm loa", "No word from the node"),
}

HEARD: Mapping[str, Text] = {
    Heard.HEARD: Text("Đã phát, đo được tiếng", "Heard, level measured"),
    Heard.UNVERIFIED: Text("Đã phát, chưa đo được tiếng", "Played, level not measured"),
    Heard.SOUNDING: Text("Đang phát", "Sounding"),
    Heard.PENDING: Text("Chưa có kết quả", "No result yet"),
    Heard.STOPPED: Text("Đã dừng theo lệnh", "Stopped by order"),
    Heard.FAILED: Text("Phát hỏng", "Failed"),
    Heard.SKIPPED: Text("Bỏ qua", "Skipped"),
    Heard.CANCELLED: Text("Đã hủy", "Cancelled"),
    Heard.UNKNOWN: Text("Không rõ", "Unknown"),
}

DIFFERENCE: Mapping[str, Text] = {
    "added": Text("Thêm", "Added"),
    "moved": Text("Dời giờ", "Moved"),
    "changed": Text("Sửa", "Changed"),
    "cancelled": Text("Hủy", "Cancelled"),
}
"""What a change of the plan does to an airing."""

ALTERED: Mapping[str, Text] = {
    "title": Text("tên", "title"),
    "length": Text("độ dài", "length"),
    "audio": Text("nội dung", "content"),
    "volume": Text("âm lượng", "volume"),
    "priority": Text("mức ưu tiên", "priority"),
    "rule": Text("cách xử lý khi trễ hoặc bị ngắt", "what is done when late or interrupted"),
    "nodes": Text("nơi phát", "where it sounds"),
}
"""What is different about an airing that keeps its place or moves."""

EMERGENCY: Mapping[str, Text] = {
    EmergencyState.ACTIVE: Text("Đang hiệu lực", "Active"),
    EmergencyState.ENDED: Text("Đã chấm dứt", "Ended"),
    EmergencyState.EXPIRED: Text("Đã hết hiệu lực", "Expired"),
}

EMERGENCY_STEP: Mapping[str, Text] = {
    Step.ORDERED: Text("Lệnh khẩn cấp", "Emergency ordered"),
    Step.UPDATED: Text("Thay đổi lệnh", "Emergency updated"),
    Step.ENDED: Text("Chấm dứt lệnh", "Emergency ended"),
    Step.EXPIRED: Text("Lệnh hết hiệu lực", "Emergency expired"),
}

CONFIRMED: Mapping[str, Text] = {
    Confirmed.SOUNDING: Text("Đang phát", "Sounding"),
    Confirmed.ENDED: Text("Đã phát, đã dừng", "Sounded, now silent"),
    Confirmed.REFUSED: Text("Từ chối", "Refused"),
    Confirmed.WAITING: Text("Đang chờ trả lời", "Waiting for its answer"),
    Confirmed.SILENT: Text("Không trả lời", "No answer"),
}

REASON: Mapping[str, Text] = {
    "late": Text("đã quá giờ", "too late"),
    "cancelled": Text("đã được rút lại", "it was taken back"),
    "preempted": Text("nhường chương trình ưu tiên", "a higher rank held the horn"),
    "duplicate": Text("đã phát rồi", "already played"),
    "clock": Text("đồng hồ cụm loa chưa đúng", "the node's clock is not set"),
    "missing-audio": Text("thiếu tệp âm thanh", "audio missing"),
    "restart": Text("cụm loa mất điện giữa chừng", "the node lost power meanwhile"),
    "player-hung": Text("bộ phát của cụm loa bị treo", "the node's player hung"),
    "stopped": Text("đã có lệnh dừng", "stopped by an order"),
    "interrupted": Text("bị ngắt để nhường chương trình ưu tiên", "broken off for a higher rank"),
    "expired": Text("lịch mà cụm loa đang giữ đã hết hạn", "the node's plan had run out"),
    "configuration changed": Text("cấu hình thay đổi", "configuration changed"),
    "controller started": Text("cấu hình đã khác khi bộ điều khiển khởi động", "not planned any more at a start"),
    "a new day": Text("lịch của ngày mới", "the plan of a new day"),
    "stopped by an operator": Text("người vận hành đã dừng", "stopped by an operator"),
    **{
        f"no word by the deadline; last known: {state}": Text(
            f"tới hạn vẫn không có tin; biết gần nhất: {said.vi[:1].lower()}{said.vi[1:]}",
            f"no word by the deadline; last known: {said.en[:1].lower()}{said.en[1:]}",
        )
        for state, said in DELIVERY.items()
    },
}


def named(table: Mapping[K, Text], key: K) -> Text:
    """What `key` is called, ready to stand alone; the key itself when the table has no name for it."""
    found = table.get(key) or Text(key, key)
    return Text(wording.upper_first(found.vi), wording.upper_first(found.en))


def measured(metric: str, known: Mapping[str, Metric] = METRICS) -> Metric:
    """How a metric is shown; one that nobody named is shown by its own name, with two decimals."""
    return known.get(metric) or Metric(Text(metric, metric), "", 2)
