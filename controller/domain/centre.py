"""What can be wrong with the centre itself, beside what befalls most nodes at once (domain/correlation.py). Pure.

The running controller says of each of these whether it is so now (`services.monitoring.Monitoring.centre`); what was
not looked at since the start stays as it was. Each is an incident of node "centre", with these texts and severities
unless config/faults.yaml has a rule of the same code.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from controller.domain.correlation import CENTRE
from controller.domain.faults import FaultRule, Severity, Text, Value, Visit

DATABASE = "centre-database"
DISK = "centre-disk"
CLOCK = "centre-clock"
CANARY = "canary"
UNREACHABLE_PERSON = "unreachable-person"
EMPTY_ROTA = "empty-rota"
EPOCH = "centre-epoch"
INTAKE = "centre-intake"


def _rule(code: str, severity: Severity, title: Text, advice: Text) -> FaultRule:
    return FaultRule(code, CENTRE, severity, title, advice, visit=Visit.OFFICE)


RULES: Mapping[str, FaultRule] = {
    rule.code: rule
    for rule in (
        _rule(
            DATABASE,
            Severity.CRITICAL,
            Text("Cơ sở dữ liệu của trung tâm có lỗi", "The centre's database is in trouble"),
            Text(
                "Xem lý do ở trên. Kiểm tra ổ đĩa và dung lượng trống của máy trung tâm; nếu dữ liệu hỏng thì dừng "
                "Loa và khôi phục từ bản sao lưu.",
                "See the reason above. Check the disk and the free space of the centre's machine; if data is damaged, "
                "stop Loa and restore the backup.",
            ),
        ),
        _rule(
            DISK,
            Severity.MAJOR,
            Text("Ổ đĩa của trung tâm sắp đầy", "The centre's disk is nearly full"),
            Text(
                "Xóa tệp không cần hoặc thêm dung lượng cho ổ đĩa chứa thư mục dữ liệu của Loa. Khi đầy, Loa không "
                "ghi được gì nữa.",
                "Remove files that nobody needs, or enlarge the disk of Loa's data folder. Once it is full, Loa can "
                "write nothing any more.",
            ),
        ),
        _rule(
            CLOCK,
            Severity.MAJOR,
            Text("Đồng hồ máy trung tâm không đúng", "The centre's clock cannot be trusted"),
            Text(
                "Kiểm tra đồng bộ giờ (chrony hoặc systemd-timesyncd) và kết nối tới máy chủ giờ. Lệnh khẩn cấp và "
                "lịch phát cần giờ đúng.",
                "Check time synchronisation (chrony or systemd-timesyncd) and the way to its time servers. Orders and "
                "plans need the right time.",
            ),
        ),
        _rule(
            CANARY,
            Severity.CRITICAL,
            Text("Lỗi thử không đi hết đường báo tin", "The test fault did not go all the way"),
            Text(
                "Tin báo sự cố có thể không tới người nhận. Xem khâu bị hỏng ở trên, `loa status` và nhật ký của Loa; "
                "theo dõi các cụm loa bằng cách khác cho tới khi hết lỗi.",
                "Messages about faults may not reach people. See the stage named above, `loa status` and Loa's log; "
                "watch the nodes in another way until this is over.",
            ),
        ),
        _rule(
            UNREACHABLE_PERSON,
            Severity.MAJOR,
            Text("Có người không nhận được tin báo", "A person cannot be reached"),
            Text(
                "Sửa kênh liên lạc của người này trong alerts.yaml, rồi thử bằng `loa alerts test`.",
                "Mend this person's channels in alerts.yaml, then try `loa alerts test`.",
            ),
        ),
        _rule(
            EPOCH,
            Severity.CRITICAL,
            Text("Cơ sở dữ liệu của trung tâm cũ hơn các cụm loa", "The centre's database is older than the nodes"),
            Text(
                "Có phải vừa khôi phục từ bản sao lưu? Các cụm loa từ chối mọi lịch và lệnh của trung tâm, kể cả khẩn "
                "cấp. Nếu không có bộ điều khiển nào khác đang chạy, gõ `loa epoch --raise` trên máy trung tâm.",
                "Was it restored from a backup? The nodes refuse every plan and order of this centre, emergencies "
                "too. If no other controller is running, type `loa epoch --raise` on the centre's machine.",
            ),
        ),
        _rule(
            INTAKE,
            Severity.MAJOR,
            Text("Trung tâm đọc tin của các cụm loa không kịp", "The centre cannot keep up with what nodes say"),
            Text(
                "Máy trung tâm quá tải: xem bộ xử lý và ổ đĩa. Khi chưa đọc kịp, Loa báo lỗi trễ và chưa kết luận cụm "
                "loa nào không phát hay mất liên lạc.",
                "The centre's machine is overloaded: look at its processor and its disk. Until it has caught up, Loa "
                "tells faults late and of no node that it is silent or has missed a broadcast.",
            ),
        ),
        _rule(
            EMPTY_ROTA,
            Severity.MAJOR,
            Text("Lịch trực không có người", "Nobody is on call"),
            Text("Bổ sung người trực trong alerts.yaml.", "Put somebody on the rota in alerts.yaml."),
        ),
    )
}
"""By code; the built-in rules of the centre's own faults."""


@dataclass(frozen=True, slots=True)
class CentreCondition:
    """One fault of the centre as it stands. `since`: monotonic seconds at which it was first found."""

    code: str
    severity: Severity
    since: float
    evidence: Mapping[str, Value] = field(default_factory=dict)


def rule_of(code: str, rules: Iterable[FaultRule]) -> FaultRule | None:
    """The rule that gives `code` its texts: of config/faults.yaml, or built in; None where it has none. What follows
    a `:` in a code only tells several faults of one kind apart."""
    code = code.partition(":")[0]
    return next((rule for rule in rules if rule.code == code), RULES.get(code))
