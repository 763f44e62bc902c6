"""The page's words in both languages, and which of the two a reader wants."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

LANGUAGES = ("vi", "en")

COOKIE = "loa_lang"

WORDS: Mapping[str, tuple[str, str]] = {
    # frame
    "title": ("Truyền thanh", "Public address"),
    "skip": ("Tới nội dung chính", "Skip to content"),
    "language": ("Ngôn ngữ", "Language"),
    "live": ("Trực tiếp", "Live"),
    "connecting": ("Đang kết nối…", "Connecting…"),
    "lost": ("Mất kết nối", "Connection lost"),
    "lost-since": ("Mất kết nối: số liệu trên trang là của lúc {at}", "Connection lost: what you see is from {at}"),
    "noscript": (
        "Trang này cần JavaScript để tự cập nhật; tải lại trang để xem tình trạng mới nhất.",
        "This page needs JavaScript to update by itself; reload it for the latest state.",
    ),
    # overview
    "standby": (
        "Bộ điều khiển này đang chờ, không phát lệnh.",
        "This controller stands by and gives no orders.",
    ),
    "standby-for": ("Bộ điều khiển chính: {url}", "The one that leads: {url}"),
    "broker-down": (
        "Mất kết nối máy chủ MQTT: tình trạng các cụm loa bên dưới có thể đã cũ. Các cụm loa vẫn tự phát theo lịch "
        "đã nhận.",
        "The MQTT broker is not connected: what you see of the nodes may be old. The nodes go on playing what "
        "they hold.",
    ),
    "config-bad": (
        "Cấu hình mới có {n} lỗi nên chưa được áp dụng; đang phát theo cấu hình đúng gần nhất.",
        "The new configuration has {n} mistake(s) and is not in use; the last good one stays on air.",
    ),
    "config-warnings": ("Cấu hình có {n} cảnh báo", "The configuration has {n} warning(s)"),
    "last-change": ("Lần đổi lịch gần nhất", "Last change of the plan"),
    "change-added": ("{n} lần phát thêm", "{n} added"),
    "change-moved": ("{n} dời giờ", "{n} moved"),
    "change-changed": ("{n} sửa", "{n} changed"),
    "change-cancelled": ("{n} hủy", "{n} cancelled"),
    "change-none": ("không lần phát nào thay đổi", "no airing changes"),
    "nodes-online": ("Cụm loa trực tuyến", "Nodes online"),
    "of": ("trên {n}", "of {n}"),
    "incidents-open": ("Sự cố đang mở", "Open incidents"),
    "no-incidents": ("Không có sự cố", "No incidents"),
    "on-air-now": ("Đang phát", "On air"),
    "next-broadcast": ("Sắp phát", "Next broadcast"),
    "nothing-next": ("Không có trong 24 giờ tới", "Nothing in the next 24 hours"),
    "none-missing": ("Không thiếu cụm loa nào", "None is missing"),
    # emergencies
    "emergency": ("KHẨN CẤP · EMERGENCY", "KHẨN CẤP · EMERGENCY"),
    "drill": ("DIỄN TẬP · DRILL", "DIỄN TẬP · DRILL"),
    "ordered-by": ("{by} ra lệnh lúc {at}, hiệu lực đến {until}", "ordered by {by} at {at}, in force until {until}"),
    "not-sounding": ("{n} cụm loa chưa phát", "{n} nodes do not sound"),
    # the month's report
    "r-title": ("Báo cáo tháng {month}", "Report for {month}"),
    "r-span": ("Từ {start} đến {end}", "From {start} to {end}"),
    "r-availability": ("Tỷ lệ hoạt động", "Availability"),
    "r-mtta": ("Trung bình đến lúc nhận việc", "Mean time to acknowledge"),
    "r-mttr": ("Trung bình đến lúc phục hồi", "Mean time to recovery"),
    "r-verified": ("Sửa xong đo lại đạt", "Repairs verified"),
    "r-overdue": ("Phiếu quá hạn", "Overdue orders"),
    "r-repeats": ("Tái diễn trong 7 ngày", "Repeats within 7 days"),
    "r-missed": ("Số phút không phát được", "Minutes of air missed"),
    "r-nodes": ("Cụm loa", "Nodes"),
    "r-down": ("Mất liên lạc", "Down"),
    "r-told": ("Sự cố đã báo", "Incidents told"),
    "r-not-counted": ("Không tính", "Not counted"),
    "r-total": ("Toàn bộ", "Total"),
    "r-none": ("(không thuộc nhóm nào)", "(of none)"),
    "r-communes": ("Theo xã", "By commune"),
    "r-models": ("Theo loại thiết bị", "By model"),
    "r-time": (
        "Thời gian không tính là hoạt động cũng không tính là hỏng (cộng các cụm loa): chưa rõ {unknown}, trước khi có "
        "tin đầu tiên {before}, bảo trì {maintenance}.",
        "Time that counts neither as up nor as down, of all nodes together: unknown {unknown}, before the first word "
        "{before}, maintenance {maintenance}.",
    ),
    "r-words": (
        "Mọi số liệu đều tính lại được từ nhật ký sự kiện; định nghĩa trong docs/operator.md.",
        "Every figure can be recomputed from the event log; definitions are in docs/operator.md.",
    ),
    # the page behind a link
    "o-title": ("Phiếu sửa chữa", "Work order"),
    "o-unknown": (
        "Liên kết này không đúng. Hãy mở lại đúng liên kết trong tin báo.",
        "This link is not right. Open the one in the message again.",
    ),
    "o-often": ("Bạn mở quá nhiều lần. Chờ một phút rồi thử lại.", "Too many requests. Wait a minute and try again."),
    "o-expired": (
        "Liên kết này đã hết hạn: sự cố đã xong từ lâu.",
        "This link has expired: the incident is long over.",
    ),
    "o-superseded": (
        "Đã có tin báo mới hơn về sự cố này. Trang này chỉ để xem; hãy dùng liên kết trong tin mới nhất.",
        "There is a newer message about this incident. This page only shows; use the link in the newest one.",
    ),
    "o-old-page": (
        "Trang mở đã lâu nên chưa ghi được. Hãy bấm lại lần nữa.",
        "The page had been open for too long and nothing was written. Please tap once more.",
    ),
    "o-empty": ("Hãy viết ghi chú hoặc chọn ảnh.", "Write a note or choose a picture."),
    "o-too-many": ("Mỗi lần gửi tối đa {n} ảnh.", "At most {n} pictures at a time."),
    "o-too-long": ("Ghi chú dài quá 2000 ký tự.", "The note is longer than 2000 characters."),
    "o-photo-kind": (
        "Tệp này không phải ảnh. Chỉ nhận ảnh JPEG, PNG hoặc WebP. Chưa ghi gì cả.",
        "This file is no picture. JPEG, PNG and WebP are taken. Nothing was written.",
    ),
    "o-photo-size": (
        "Ảnh lớn quá 10 MB. Chưa ghi gì cả.",
        "The picture is larger than 10 MB. Nothing was written.",
    ),
    "o-photo-count": (
        "Phiếu này đã đủ 12 ảnh. Chưa ghi gì cả.",
        "This order has its 12 pictures already. Nothing was written.",
    ),
    "o-done": ("Đã ghi nhận. Cảm ơn!", "Noted. Thank you!"),
    "o-again": ("Đã ghi nhận từ trước; không ghi thêm lần nữa.", "This was noted before; nothing was done twice."),
    "o-measuring": ("Đang đo lại…", "Measuring again…"),
    "o-measuring-why": (
        "Cụm loa đang tự kiểm tra. Kết quả sẽ hiện ở đây, chậm nhất sau 30 phút.",
        "The node is testing itself. The verdict comes here, within 30 minutes.",
    ),
    "o-verified": ("Đo lại đạt: đã sửa xong", "Verified: mended"),
    "o-recovered": ("Đã phục hồi", "Recovered"),
    "o-closed-at": ("lúc {at}", "at {at}"),
    "o-not-verified": ("Đo lại chưa đạt", "Not verified"),
    "o-not-verified-why": (
        "Đã báo sửa xong nhưng phép đo chưa xác nhận. Hãy kiểm tra tiếp.",
        "It was said to be mended, but no measurement agrees. Please look again.",
    ),
    "o-assignee": ("Người sửa", "Assignee"),
    "o-overdue": ("quá hạn", "overdue"),
    "o-ack": ("Tôi nhận việc", "I take it"),
    "o-begin": ("Bắt đầu sửa", "I am at it"),
    "o-repaired": ("Đã sửa xong", "It is mended"),
    "o-note": ("Ghi chú", "Note"),
    "o-photo": ("Ảnh (tối đa {n} ảnh mỗi lần)", "Pictures (at most {n} at a time)"),
    "o-send-note": ("Gửi ghi chú, ảnh", "Send note and pictures"),
    "o-add-note": ("Thêm ghi chú hoặc ảnh", "Add a note or a picture"),
    "o-map": ("Mở bản đồ", "Open the map"),
    "o-keeper": ("Người trông coi", "Keeper"),
    "o-call": ("Gọi {n}", "Call {n}"),
    "o-history": ("Diễn biến", "History"),
    "o-picture": ("Ảnh lúc {at}, {by}", "Picture at {at}, {by}"),
    # air
    "on-air": ("Đang phát sóng", "On air now"),
    "silence": ("Không có chương trình nào đang phát.", "Nothing is on air."),
    "since": ("từ {at}", "since {at}"),
    "until": ("đến {at}", "until {at}"),
    "sounding": ("{n}/{of} cụm loa đang phát", "sounding on {n} of {of} nodes"),
    "waiting-start": ("Tới giờ phát, chưa có tin bắt đầu từ cụm loa nào", "Due now, no node has said that it started"),
    "interrupted": ("{n} cụm loa tạm ngừng", "{n} interrupted"),
    "everywhere": ("Toàn mạng", "Everywhere"),
    "more": ("và {n} xã nữa", "and {n} more"),
    "progress": ("Tiến độ", "Progress"),
    # next
    "next-24": ("24 giờ tới", "Next 24 hours"),
    "nothing-24": ("Không có chương trình nào trong 24 giờ tới.", "Nothing is planned for the next 24 hours."),
    "today": ("Hôm nay", "Today"),
    "tomorrow": ("Ngày mai", "Tomorrow"),
    "ready": ("{n}/{of} cụm loa đã sẵn sàng", "{n} of {of} nodes ready"),
    "all-ready": ("Sẵn sàng ở cả {of} cụm loa", "Ready on all {of} nodes"),
    "not-ready": ("{n} cụm loa chưa sẵn sàng", "{n} not ready"),
    "looked": ("Đã kiểm tra trước giờ phát lúc {at}", "Checked before air at {at}"),
    "cancelled": ("Đã hủy", "Cancelled"),
    # incidents
    "incidents": ("Sự cố", "Incidents"),
    "calm": ("Không có sự cố nào đang mở.", "No open incidents."),
    "what-to-do": ("Việc cần làm", "What to do"),
    "bring": ("Mang theo", "Bring"),
    "safety": ("An toàn", "Safety"),
    "measured": ("Đo được", "Measured"),
    "component": ("Bộ phận", "Component"),
    "started": ("Bắt đầu", "Began"),
    "told-people": ("Đã báo cho", "Told"),
    "next-step": ("Nhắc tiếp lúc", "Next step"),
    "silenced-until": ("Ngừng báo đến", "Silenced until"),
    "acknowledged-by": ("Người nhận việc", "Acknowledged by"),
    "nobody": ("chưa ai nhận", "nobody yet"),
    "messages": ("Tin báo", "Messages"),
    "messages-sent": ("{n} đã gửi", "{n} sent"),
    "messages-digested": ("{n} gộp trong tin khác", "{n} within another"),
    "messages-waiting": ("{n} đang chờ", "{n} waiting"),
    "messages-uncertain": ("{n} chưa chắc đã tới", "{n} uncertain"),
    "messages-dead": ("{n} không gửi được", "{n} undeliverable"),
    "messages-none": ("chưa gửi", "none yet"),
    "stale": ("Số liệu cũ", "No fresh data"),
    "flapping": ("Chập chờn", "Flapping"),
    "repeat": ("Tái diễn của sự cố {n}", "Repeat of incident {n}"),
    "explained": ("Do sự cố {n} gây ra", "Explained by incident {n}"),
    "explains": ("Kéo theo {n} sự cố", "Explains {n} incident(s)"),
    "covers": ("Gồm {n} cụm loa", "{n} nodes"),
    "work-order": ("Phiếu sửa chữa", "Work order"),
    "overdue": ("Quá hạn", "Overdue"),
    "due": ("hạn {at}", "due {at}"),
    "incident-n": ("Sự cố {n}", "Incident {n}"),
    "pole": ("cột {n}", "pole {n}"),
    # nodes
    "communes": ("Xã và cụm loa", "Communes and nodes"),
    "map": ("Bản đồ các cụm loa", "Map of the nodes"),
    "online-of": ("{n}/{of} trực tuyến", "{n} of {of} online"),
    "faulty": ("{n} có lỗi", "{n} with faults"),
    "plays": ("Đang phát", "Plays"),
    "silent": ("không phát", "nothing"),
    "faults": ("Lỗi", "Faults"),
    "no-faults": ("không có", "none"),
    "last-seen": ("Tin cuối", "Last heard of"),
    "never": ("chưa bao giờ", "never"),
    "state": ("Tình trạng", "State"),
    "where": ("Nơi đặt", "Where"),
    "held": ("Lịch đang giữ", "Playlists held"),
    "held-current": ("bản mới nhất ({n})", "the newest ({n})"),
    "held-older": ("bản {n}, mới nhất là {of}", "revision {n}, newest is {of}"),
    "held-none": ("chưa có", "none"),
    "measurements": ("Số đo", "Measurements"),
    "unmeasured": ("chưa có số đo", "not measured"),
    "no-nodes": ("Chưa khai báo cụm loa nào trong config/nodes.yaml.", "config/nodes.yaml names no nodes yet."),
    "find": ("Tìm", "Find"),
    "find-words": ("Tìm theo tên, thôn bản, cột, mã", "Name, hamlet, pole or id"),
    "commune": ("Xã", "Commune"),
    "every-commune": ("Mọi xã", "Every commune"),
    "every-state": ("Mọi tình trạng", "Every state"),
    "in-trouble": ("Đang có vấn đề", "In trouble"),
    "none-found": ("Không có cụm loa nào như vậy.", "No such nodes."),
    "pages": ("Các trang danh sách", "Pages of the list"),
    "page-before": ("Trước", "Before"),
    "page-after": ("Sau", "Next"),
    "page-of": ("{first}–{last} trong {n} cụm loa", "{first}–{last} of {n} nodes"),
    "selftests": ("Tự kiểm tra", "Self-tests"),
    "selftest-last": ("Lần cuối", "The last one"),
    "selftest-shown": ("{n} lần gần đây, cũ nhất bên trái", "{n} shown, the oldest on the left"),
    "other-values": ("Số đo khác", "Other values"),
    "verdict-passed": ("đạt", "passed"),
    "verdict-failed": ("không đạt", "failed"),
    "verdict-skipped": ("không thử", "skipped"),
    "trend-of": ("{n} lần đo", "{n} measurements"),
    "baseline": ("mốc {value}", "baseline {value}"),
    "commissioned-by": ("mốc nghiệm thu, {by}", "baseline, {by}"),
    "not-judged": ("Chưa đo được", "Not measured"),
    "needs-commissioning": ("cần nghiệm thu: loa commission", "needs commissioning: loa commission"),
    "needs-selftest": ("cần tự kiểm tra có đo số này", "needs a self-test that measures it"),
    "needs-sensor": ("loại máy này không gửi số đo này", "this node does not send it"),
    # people
    "on-call": ("Ai được báo", "Who is told"),
    "told-nobody": ("không có ai", "nobody"),
    "role-district": ("Trực huyện", "On call, district"),
    "role-manager": ("Quản lý trực", "On call, manager"),
    "hush-silence": ("Ngừng báo", "Silenced"),
    "hush-maintenance": ("Bảo trì", "Maintenance"),
    # times
    "just-now": ("vừa xong", "just now"),
    "ago": ("{t} trước", "{t} ago"),
    "in": ("sau {t}", "in {t}"),
    "s": ("{n} giây", "{n} s"),
    "min": ("{n} phút", "{n} min"),
    "h": ("{n} giờ", "{n} h"),
    "d": ("{n} ngày", "{n} d"),
}

WEEKDAYS = (
    ("Thứ Hai", "Monday"),
    ("Thứ Ba", "Tuesday"),
    ("Thứ Tư", "Wednesday"),
    ("Thứ Năm", "Thursday"),
    ("Thứ Sáu", "Friday"),
    ("Thứ Bảy", "Saturday"),
    ("Chủ Nhật", "Sunday"),
)

UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def choose(asked: str | None, cookie: str | None, accept: str | None, default: str) -> str:
    """The language of an answer: what the address asks for, else the kept choice, else the browser's, else the
    site's own."""
    for wish in (asked, cookie, accepted(accept or "")):
        if wish in LANGUAGES:
            return wish
    return default if default in LANGUAGES else LANGUAGES[0]


def accepted(header: str) -> str | None:
    """The language of ours that an Accept-Language header likes best; None when it names none of them."""
    wishes = [_wish(part) for part in header.split(",")]
    ours = [(quality, language) for quality, language in wishes if language in LANGUAGES and quality > 0]
    return max(ours, key=lambda wish: wish[0])[1] if ours else None


def _wish(part: str) -> tuple[float, str]:
    tag, _, parameter = part.strip().partition(";")
    name, _, quality = parameter.strip().partition("=")
    try:
        weight = float(quality) if name.strip() == "q" else 1.0
    except ValueError:
        weight = 0.0
    return weight, tag.strip().lower().split("-")[0]


class Speaker:
    """Says things in one language, in the site's local time. Template functions are its methods."""

    def __init__(self, language: str, zone: ZoneInfo, now: datetime) -> None:
        self.language = language
        self.zone = zone
        self.now = now

    def t(self, key: str, **values: object) -> str:
        """The words called `key`; KeyError for one that nobody wrote."""
        vi, en = WORDS[key]
        return (en if self.language == "en" else vi).format(**values)

    def tx(self, text: Mapping[str, str] | None) -> str:
        """The right one of a text in both languages."""
        return text[self.language] if text else ""

    def clock(self, iso: str) -> str:
        """Local time, with the date unless it is today's."""
        local = self._local(iso)
        same_day = local.date() == self.now.astimezone(self.zone).date()
        return f"{local:%H:%M}" if same_day else f"{local:%H:%M} {local:%d/%m}"

    def hour(self, iso: str) -> str:
        return f"{self._local(iso):%H:%M}"

    def full(self, iso: str) -> str:
        """Local time to the second, with its date."""
        return f"{self._local(iso):%H:%M:%S %d/%m/%Y}"

    def day(self, iso: str) -> str:
        """Today, tomorrow, or the weekday and date."""
        local, today = self._local(iso).date(), self.now.astimezone(self.zone).date()
        if local == today:
            return self.t("today")
        if local == today + timedelta(days=1):
            return self.t("tomorrow")
        vi, en = WEEKDAYS[local.weekday()]
        return f"{en if self.language == 'en' else vi} {local:%d/%m}"

    def ago(self, iso: str) -> str:
        """How long ago, or in how long, in its largest unit. static/page.js says the same, second by second."""
        seconds = int((self.now - datetime.fromisoformat(iso)).total_seconds())
        if abs(seconds) < 5:
            return self.t("just-now")
        unit, size = next(each for each in UNITS if abs(seconds) >= each[1])
        return self.t("ago" if seconds > 0 else "in", t=self.t(unit, n=abs(seconds) // size))

    def _local(self, iso: str) -> datetime:
        return datetime.fromisoformat(iso).astimezone(self.zone)
