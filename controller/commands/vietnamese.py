"""The terminal's texts in Vietnamese, by their English originals. Vocabulary: docs/architecture.md."""

from __future__ import annotations

from collections.abc import Mapping

CATALOGUE: Mapping[str, str] = {
    # --- the command itself
    "Loa: announcements on time on every loudspeaker, and every fault told within seconds.": (
        "Loa: thông báo đúng giờ trên mọi cụm loa, hỏng ở đâu biết ngay trong vài giây."
    ),
    "Exit status: 0 fine, 1 problems or failure, 2 wrong usage, 3 no controller is running. "
    "Language: LOA_LANG, LC_ALL or LANG (vi, en).": (
        "Mã kết thúc: 0 tốt, 1 có lỗi, 2 dùng sai cách, 3 bộ điều khiển không chạy. "
        "Ngôn ngữ: LOA_LANG, LC_ALL hoặc LANG (vi, en)."
    ),
    "Plan and check": "Lập lịch và kiểm tra",
    "On air": "Phát sóng",
    "State and repair": "Tình trạng và sửa chữa",
    "Running it": "Vận hành",
    "Example": "Ví dụ",
    "Show this message and exit.": "Hiện hướng dẫn này rồi thoát.",
    "Options": "Tùy chọn",
    "Arguments": "Tham số",
    "Commands": "Lệnh",
    "Error": "Lỗi",
    "[default: {}]": "[mặc định: {}]",
    "[required]": "[bắt buộc]",
    "Try [blue]'{command_path} {help_option}'[/] for help.": "Xem hướng dẫn: [blue]{command_path} {help_option}[/]",
    "Validate everything, listen to all audio, print all problems.": (
        "Kiểm tra toàn bộ cấu hình, nghe thử mọi tệp âm thanh, in ra mọi lỗi."
    ),
    "What will sound where and when.": "Sẽ phát gì, ở đâu, lúc nào.",
    "What edits changed of the plan, when and by whom.": "Lịch phát đã đổi những gì, lúc nào, do ai.",
    "Speak a text now.": "Đọc ngay một văn bản.",
    "Play an audio file now.": "Phát ngay một tệp âm thanh.",
    "Silence what sounds now.": "Dừng những gì đang phát.",
    "What was really heard on one day.": "Nhật ký phát sóng của một ngày: thực tế đã nghe được gì.",
    "The whole story of one airing: why it did or did not play.": (
        "Toàn bộ diễn biến của một lần phát: vì sao đã phát hoặc không phát."
    ),
    "The whole on one screen.": "Tình trạng chung trên một màn hình.",
    "Every node: alive, playing, its faults.": "Từng cụm loa: có liên lạc không, đang phát gì, lỗi gì.",
    "What is broken and what to do about it.": "Đang hỏng gì và cần làm gì.",
    "Take an incident: reminders stop.": "Nhận xử lý một sự cố: thôi nhắc lại.",
    "Say that it is mended.": "Báo đã sửa xong.",
    "The figures of a month: availability, repairs, air missed.": (
        "Số liệu một tháng: tỷ lệ hoạt động, sửa chữa, số phút không phát được."
    ),
    "As 2026-11; this month if not given.": "Ví dụ 2026-11; mặc định là tháng này.",
    "Only this commune.": "Chỉ xã này.",
    "table for people, csv for spreadsheets, html to print.": ("table cho người đọc, csv cho bảng tính, html để in."),
    "unknown commune '{commune}'": "không có xã '{commune}'",
    "Nodes": "Cụm loa",
    "Up (%)": "Hoạt động (%)",
    "Verified (%)": "Sửa đạt (%)",
    "Overdue": "Quá hạn",
    "Repeats": "Tái diễn",
    "Air missed min": "Không phát, phút",
    "MTTA h:min": "Nhận việc, h:ph",
    "MTTR h:min": "Phục hồi, h:ph",
    "Total": "Toàn bộ",
    "Communes": "Theo xã",
    "Models": "Theo loại thiết bị",
    "(of none)": "(không thuộc nhóm nào)",
    "Not counted: unknown {unknown}, before the first word {commissioning}, maintenance {maintenance}.": (
        "Không tính: chưa rõ {unknown}, trước khi có tin đầu tiên {commissioning}, bảo trì {maintenance}."
    ),
    "Who repairs what, by when; what is overdue.": "Ai sửa gì, hạn đến lúc nào; việc nào đã quá hạn.",
    "Give a work order to somebody.": "Giao một phiếu sửa chữa cho ai đó.",
    "Say that you are on the way or repairing.": "Báo đang trên đường đến hoặc đang sửa.",
    "Add a note or a picture to an incident.": "Thêm ghi chú hoặc ảnh vào một sự cố.",
    "A picture (JPEG, PNG, WebP); may be given several times.": "Một ảnh (JPEG, PNG, WebP); có thể ghi nhiều lần.",
    "Only this one, with its whole history.": "Chỉ phiếu này, với toàn bộ diễn biến.",
    "Only this person's.": "Chỉ của người này.",
    "Only those past their time.": "Chỉ những phiếu đã quá hạn.",
    "Ended ones of the last 30 days too.": "Cả những phiếu đã xong trong 30 ngày qua.",
    "Who gets it, as alerts.yaml calls them.": "Giao cho ai, theo mã trong alerts.yaml.",
    "What is worth knowing.": "Điều cần ghi lại.",
    "No work orders.": "Không có phiếu sửa chữa nào.",
    "No.": "Số",
    "State": "Tình trạng",
    "What": "Việc",
    "Where": "Nơi",
    "Assignee": "Người sửa",
    "Due": "Hạn",
    "overdue": "quá hạn",
    "To do": "Việc cần làm",
    "Safety": "An toàn",
    "Bring": "Mang theo",
    "picture": "ảnh",
    "Incident {id}: given to {name}.": "Sự cố {id}: đã giao cho {name}.",
    "Incident {id}: in repair.": "Sự cố {id}: đang sửa.",
    "Incident {id}: noted.": "Sự cố {id}: đã ghi.",
    "Let a node test its own parts.": "Cho một cụm loa tự kiểm tra.",
    "The service.": "Chạy bộ điều khiển.",
    "Give a node its credentials.": "Cấp tài khoản cho một cụm loa.",
    "Decoded, verified messages as they pass.": "Theo dõi các bản tin đi qua, đã giải mã và xác thực.",
    "Nodes in software, against any broker.": "Chạy các cụm loa mô phỏng.",
    "Break a part of a simulated node.": "Làm hỏng một bộ phận của cụm loa mô phỏng.",
    "Mend a part of a simulated node.": "Sửa một bộ phận của cụm loa mô phỏng.",
    "A whole network on this machine.": "Chạy thử cả mạng lưới ngay trên máy này.",
    "The keys that sign what nodes obey.": "Các khóa ký lệnh mà cụm loa tuân theo.",
    "this should not have happened: {error}; details are in {file}": (
        "lỗi không lường trước: {error}; chi tiết ghi trong {file}"
    ),
    # --- options
    "The configuration folder; ./config if not given.": "Thư mục cấu hình; mặc định là ./config.",
    "The configuration folder.": "Thư mục cấu hình.",
    "The configuration folder; the same as --config.": "Thư mục cấu hình, như --config.",
    "Print data as JSON.": "In dữ liệu dạng JSON.",
    "A commune, zone or node; may be given several times.": "Xã, vùng hoặc cụm loa; có thể ghi nhiều lần.",
    "What to say, in Vietnamese with its diacritics.": "Nội dung cần đọc, tiếng Việt có dấu.",
    "An audio file: WAV, MP3, OGG, Opus, FLAC, M4A.": "Tệp âm thanh: WAV, MP3, OGG, Opus, FLAC, M4A.",
    "Volume, 0 to 100.": "Âm lượng, từ 0 đến 100.",
    "Why it must be, in quiet hours or past another guard; the reason is kept.": (
        "Vì sao vẫn phải phát, trong giờ yên tĩnh hoặc quá một giới hạn khác; lý do được lưu lại."
    ),
    "A local day; today if not given.": "Một ngày; mặc định là hôm nay.",
    "A line for every node.": "Một dòng cho mỗi cụm loa.",
    "As loa log shows it: broadcast@time.": "Mã lần phát như trong loa log: chương-trình@giờ.",
    "First local day, as 2026-11-25; now if not given.": "Ngày đầu tiên, như 2026-11-25; mặc định là từ bây giờ.",
    "How many days.": "Số ngày.",
    "What this node plays only.": "Chỉ những gì cụm loa này phát.",
    "table for people, json for programs, csv for spreadsheets, ics for calendars.": (
        "table cho người đọc, json cho chương trình, csv cho bảng tính, ics cho lịch."
    ),
    "Instead, what DIR would change of what the nodes hold now.": (
        "Thay vào đó: DIR sẽ làm thay đổi gì so với lịch các cụm loa đang giữ."
    ),
    "To: {names} ({count} nodes)": "Nơi phát: {names} ({count} cụm loa)",
    "Except: {names}": "Trừ: {names}",
    "Skipped: {reason}": "Bỏ qua: {reason}",
    "Closed ones of the last 30 days too.": "Kể cả sự cố đã đóng trong 30 ngày qua.",
    "Number of the incident, see loa incidents.": "Số của sự cố, xem loa incidents.",
    "Who says so; you, if not given.": "Người báo; mặc định là bạn.",
    "What was done.": "Đã làm gì.",
    "A node of config/nodes.yaml.": "Một cụm loa trong config/nodes.yaml.",
    "Every node that is not enrolled yet, a file for each.": "Mọi cụm loa chưa được cấp, mỗi cụm một tệp.",
    "Where to write the node's file; NODE.json if not given.": "Ghi tệp của cụm loa vào đâu; mặc định là NODE.json.",
    "Enrol again: a new password, the old one ends.": "Cấp lại: mật khẩu mới, mật khẩu cũ hết hiệu lực.",
    "Make a second key. Enrol the nodes again, then let it sign: loa keys use KID": (
        "Tạo khóa thứ hai. Cấp lại cho các cụm loa, rồi cho khóa đó ký: loa keys use KID"
    ),
    "Let a key sign, from the controller's next start.": "Cho một khóa ký, từ lần khởi động sau của bộ điều khiển.",
    "Forget a key that no longer signs.": "Bỏ một khóa không còn dùng để ký.",
    "Below the root, as up/na-meo-01/#; everything if not given.": "Chủ đề, như up/na-meo-01/#; mặc định là tất cả.",
    "End after so many messages; 0: with Ctrl-C only.": "Kết thúc sau chừng này bản tin; 0: chỉ khi bấm Ctrl-C.",
    "Files that loa enroll wrote; if not given, nodes are enrolled.": (
        "Thư mục các tệp do loa enroll ghi; nếu bỏ trống thì cấp mới."
    ),
    "How many nodes; 0: all.": "Số cụm loa; 0: tất cả.",
    "Where the nodes keep what a node keeps.": "Nơi các cụm loa lưu dữ liệu của mình.",
    "So many nodes write what they play as heard.wav.": "Chừng này cụm loa ghi những gì phát ra vào heard.wav.",
    "Share the nodes among so many processes.": "Chia các cụm loa cho chừng này tiến trình.",
    "No table; at the end, the sum of it as JSON.": "Không hiện bảng; khi kết thúc thì in tổng kết dạng JSON.",
    "Play a scenario: a name, a .yaml file, or 'list' for those that ship.": (
        "Diễn một kịch bản: tên, tệp .yaml, hoặc 'list' để xem các kịch bản có sẵn."
    ),
    "Play it in compressed time and compare what the controller concludes ('all': every one).": (
        "Diễn trong thời gian nén và so sánh kết luận của bộ điều khiển ('all': mọi kịch bản)."
    ),
    "With --verify: against the running controller, in real time.": (
        "Dùng với --verify: trên bộ điều khiển đang chạy, theo thời gian thực."
    ),
    "Write the configuration of the scenario's district.": "Ghi cấu hình huyện của kịch bản.",
    "written: {folder}. Now: loa --config {folder} run": "đã ghi: {folder}. Tiếp theo: loa --config {folder} run",
    "'{name}' needs compressed time ({steps}): {how}": "'{name}' cần thời gian nén ({steps}): {how}",
    "{option} needs a scenario: --scenario NAME": "{option} cần một kịch bản: --scenario NAME",
    "a scenario brings its own nodes: leave out --nodes": "kịch bản đã có sẵn cụm loa của nó: hãy bỏ --nodes",
    "'all' can only be verified in compressed time: --scenario all --verify": (
        "'all' chỉ kiểm chứng được trong thời gian nén: --scenario all --verify"
    ),
    "no scenario '{name}' ships{hint}; those that do: loa simulate --scenario list": (
        "không có sẵn kịch bản '{name}'{hint}; xem các kịch bản có sẵn: loa simulate --scenario list"
    ),
    "{folder}: there is something already; name a folder that is new or empty": (
        "{folder}: thư mục đã có dữ liệu; hãy chọn thư mục mới hoặc còn trống"
    ),
    "this configuration is not the district of '{name}'; write it: {how}": (
        "cấu hình này không phải huyện của '{name}'; hãy ghi ra: {how}"
    ),
    "not as it was to be: {names}": "không đúng như mong đợi: {names}",
    "{incidents} incident(s), {messages} message(s) in {took} s": (
        "{incidents} sự cố, {messages} tin nhắn trong {took} s"
    ),
    "{asked} nodes are asked for, {known} are configured; more: {how}": (
        "yêu cầu {asked} cụm loa nhưng cấu hình chỉ có {known}; muốn nhiều hơn: {how}"
    ),
    "another simulator listens at {control}; end it first": (
        "một trình mô phỏng khác đang chạy tại {control}; hãy dừng nó trước"
    ),
    "waiting for {count} nodes to connect": "đang chờ {count} cụm loa kết nối",
    "all are there; it begins in {seconds} s and ends at {ends}": (
        "đã đủ cụm loa; bắt đầu sau {seconds} giây, kết thúc lúc {ends}"
    ),
    "not all of {count} nodes are connected after {seconds} s": (
        "sau {seconds} giây vẫn chưa đủ {count} cụm loa kết nối"
    ),
    "{cause} of {subject}": "{cause} của {subject}",
    "an incident": "một sự cố",
    "none": "không có",
    "{severity}, {scope}, at {time}": "{severity}, {scope}, lúc {time}",
    "messages to {person}": "tin nhắn gửi {person}",
    "scope": "phạm vi",
    "severity": "mức độ",
    "at the end": "lúc kết thúc",
    "opens": "lúc bắt đầu",
    "had to be": "phải là",
    "found": "thực tế",
    "The control socket of the simulated nodes.": "Socket điều khiển các cụm loa mô phỏng.",
    "A fault's code, as amplifier or line-open.": "Mã lỗi, như amplifier hoặc line-open.",
    "A fault's code, as amplifier or line-open; everything if not given.": (
        "Mã lỗi, như amplifier hoặc line-open; bỏ trống là sửa tất cả."
    ),
    "End by itself, as 60s or 5m; with Ctrl-C if not given.": (
        "Tự kết thúc sau, như 60s hoặc 5m; bỏ trống thì bấm Ctrl-C."
    ),
    "Write the summary there as JSON.": "Ghi tóm tắt vào tệp này dạng JSON.",
    "The page's port, or the next free one.": "Cổng của trang web; nếu bận thì lấy cổng trống kế tiếp.",
    "How many, the newest first.": "Bao nhiêu lần đổi, mới nhất trước.",
    # --- import
    "Take announcements over from a spreadsheet or a calendar, after showing what that changes.": (
        "Nhập thông báo từ bảng tính hoặc lịch, sau khi cho xem sẽ thay đổi những gì."
    ),
    "A .csv or .ics file.": "Tệp .csv hoặc .ics.",
    "Where to write; broadcasts/NAME.yaml of the folder if not given.": (
        "Ghi vào đâu; mặc định là broadcasts/TÊN.yaml của thư mục cấu hình."
    ),
    "Do not ask.": "Không hỏi lại.",
    "Leave out what cannot be taken over.": "Bỏ qua những dòng không nhập được.",
    "nothing was changed; mend these lines, or leave them out with --partial": (
        "chưa thay đổi gì; hãy sửa các dòng này, hoặc bỏ qua chúng bằng --partial"
    ),
    "{file}: nothing to import": "{file}: không có gì để nhập",
    "{file} is written; a running controller takes it over by itself.": (
        "Đã ghi {file}; bộ điều khiển đang chạy sẽ tự áp dụng."
    ),
    "--into must be a .yaml file in {folder}": "--into phải là một tệp .yaml trong {folder}",
    "{file} was not written by an import: choose another one with --into": (
        "{file} không phải do lệnh nhập ghi ra: hãy chọn tệp khác bằng --into"
    ),
    "{file} cannot be read: {error}": "không đọc được {file}: {error}",
    "{file} is larger than {megabytes} MB": "{file} lớn hơn {megabytes} MB",
    "{file} is neither a .csv nor an .ics file": "{file} không phải tệp .csv hay .ics",
    "nothing was changed: {count} problem(s)": "chưa thay đổi gì: {count} lỗi",
    "nothing was changed; to write {file} without being asked: --yes": (
        "chưa thay đổi gì; muốn ghi {file} mà không hỏi lại: --yes"
    ),
    "nothing was changed": "chưa thay đổi gì",
    "Write {file}?": "Ghi {file}?",
    "line {line}: {error}": "dòng {line}: {error}",
    "is not UTF-8; save it as 'CSV UTF-8'": "không phải UTF-8; hãy lưu dạng 'CSV UTF-8'",
    "column '{name}' is not read": "cột '{name}' không được đọc",
    "line 1: no column {names}; columns are {known}": "dòng 1: thiếu cột {names}; các cột là {known}",
    "no title": "thiếu tiêu đề",
    "unknown zone '{word}'": "không có nơi phát '{word}'",
    "unknown zone '{word}' (did you mean '{near}'?)": "không có nơi phát '{word}' (có phải là '{near}'?)",
    "no place in 'to'; or say it for all rows with --to": (
        "thiếu nơi phát ở cột 'to'; hoặc ghi chung cho mọi dòng bằng --to"
    ),
    "give either 'text' or 'file'": "ghi 'text' hoặc 'file', một trong hai",
    "no time": "thiếu giờ phát",
    "no date; or give 'days' for a series": "thiếu ngày; hoặc ghi cột 'days' cho chuỗi lặp lại",
    "'{text}' is not a date; write it as 2026-11-25 or 25/11/2026": (
        "'{text}' không phải là ngày; hãy viết như 2026-11-25 hoặc 25/11/2026"
    ),
    "there is no {text}": "không có {text}",
    "'{text}' is not a time of day; write it as 16:45": "'{text}' không phải là giờ; hãy viết như 16:45",
    "'{text}' is not a whole number": "'{text}' không phải là số nguyên",
    "is no iCalendar file: {error}": "không phải tệp iCalendar: {error}",
    "'{title}' is cancelled and left out": "'{title}' đã hủy nên bỏ qua",
    "'{title}' is over and left out": "'{title}' đã qua nên bỏ qua",
    "one instance of a series was changed by itself; write it by hand": (
        "một lần của chuỗi được sửa riêng; hãy viết tay lần đó"
    ),
    "no place in LOCATION; or say it for all events with --to": (
        "thiếu nơi phát ở LOCATION; hoặc ghi chung cho mọi sự kiện bằng --to"
    ),
    "no text to speak in DESCRIPTION": "thiếu nội dung đọc ở DESCRIPTION",
    "lasts all day: no time to air at": "kéo dài cả ngày: không có giờ phát",
    "the rule {rule} is none of ours, and too long to list; give it an end": (
        "quy tắc {rule} không biểu diễn được, và quá dài để liệt kê; hãy cho nó ngày kết thúc"
    ),
    "its rule cannot be read: {error}": "không đọc được quy tắc lặp: {error}",
    # --- changes of the plan
    "The plan was not changed yet.": "Lịch phát chưa thay đổi lần nào.",
    "refused, {count} problem(s)": "không áp dụng, {count} lỗi",
    "{count} added": "{count} lần phát thêm",
    "{count} moved": "{count} dời giờ",
    "{count} changed": "{count} sửa",
    "{count} cancelled": "{count} hủy",
    "no airing changes": "không lần phát nào thay đổi",
    "and {count} more": "và {count} lần nữa",
    "not ready": "chưa sẵn sàng",
    "last change": "đổi lịch gần nhất",
    # --- what can go wrong
    "{count} problem(s) in {folder}": "{count} lỗi trong {folder}",
    "no controller is running on {config}; start it with: loa run": (
        "bộ điều khiển của {config} không chạy; khởi động bằng lệnh: loa run"
    ),
    "the controller is starting or stopping; try again in a moment": (
        "bộ điều khiển đang khởi động hoặc đang dừng; chờ một lát rồi thử lại"
    ),
    "the controller at {url} does not answer: {error}": "bộ điều khiển tại {url} không trả lời: {error}",
    "Name of this controller, where several share a database.": (
        "Tên của bộ điều khiển này, khi nhiều bộ dùng chung cơ sở dữ liệu."
    ),
    "Port of the page, instead of the configured one.": "Cổng của trang web, thay cho cổng trong cấu hình.",
    "'{name}' is no name: small letters, digits and '-'": "'{name}' không phải là tên: chữ thường, chữ số và '-'",
    "leads": "đang chính",
    "a controller runs on {folder} already": "đã có bộ điều khiển đang chạy với {folder}",
    "{file} is for the user who runs the controller only": "{file} chỉ dành cho người dùng đang chạy bộ điều khiển",
    "nothing is recorded yet: {place} is not there": "chưa có gì được ghi: không thấy {place}",
    "'{text}' is not a date; write it as 2026-11-25": "'{text}' không phải là ngày; hãy viết như 2026-11-25",
    "'{text}' is not a length of time; write it as 60s or 5m": (
        "'{text}' không phải là khoảng thời gian; hãy viết như 60s hoặc 5m"
    ),
    "there is nothing to say: the text is empty": "không có gì để đọc: văn bản trống",
    "{file} is not a file": "{file} không phải là tệp",
    "say where: --to COMMUNE, ZONE or NODE; --to all for everywhere": (
        "cần nói rõ phát ở đâu: --to XÃ, VÙNG hoặc CỤM LOA; --to all cho tất cả"
    ),
    "unknown node '{node}'": "không có cụm loa '{node}'",
    " (did you mean '{near}'?)": " (có phải '{near}' không?)",
    "name one node, or use --all FOLDER": "hãy ghi tên một cụm loa, hoặc dùng --all THƯ-MỤC",
    "{node} is enrolled already; --force gives it a new password and ends the old one": (
        "{node} đã được cấp tài khoản; thêm --force để cấp mật khẩu mới và bỏ mật khẩu cũ"
    ),
    "mqtt.port is 0, a free port at every start: give it a fixed one in site.yaml first": (
        "mqtt.port là 0, mỗi lần chạy một cổng khác: hãy đặt cổng cố định trong site.yaml trước"
    ),
    "nodes cannot connect to 0.0.0.0: set mqtt.host and http.public_url to this machine's address": (
        "cụm loa không thể kết nối tới 0.0.0.0: đặt mqtt.host và http.public_url là địa chỉ của máy này"
    ),
    "all these nodes are enrolled elsewhere; name the folder with their files: --enrolments DIR": (
        "các cụm loa này đã được cấp ở nơi khác; hãy chỉ thư mục chứa tệp của chúng: --enrolments DIR"
    ),
    "no simulator answers at {control}: {error}": "không có cụm loa mô phỏng nào trả lời tại {control}: {error}",
    "{count} people listen already": "đã có {count} người đang theo dõi",
    "no connection: {reason}": "mất kết nối: {reason}",
    "{count} broadcast(s) are left out: their audio is refused": (
        "{count} chương trình bị bỏ ra vì âm thanh không dùng được"
    ),
    "warning: {text}": "cảnh báo: {text}",
    # --- answers
    "{folder} is fine: {nodes} nodes, {broadcasts} broadcasts.": (
        "{folder} không có lỗi: {nodes} cụm loa, {broadcasts} chương trình."
    ),
    "Nothing is planned.": "Chưa có lịch phát nào.",
    "holiday: {name}": "nghỉ lễ: {name}",
    "skipped: {dates}": "bỏ ngày: {dates}",
    "no such date: {date}": "không có ngày {date}",
    "the calendar reaches from {first} to {last}": "lịch chỉ có từ năm {first} đến năm {last}",
    "listening to the audio": "đang nghe thử âm thanh",
    "rendering and sending to the nodes ...": "đang chuẩn bị âm thanh và gửi tới các cụm loa ...",
    "{id}: starts at {start} on {count} node(s).": "{id}: phát lúc {start} trên {count} cụm loa.",
    "How it went: loa why {id}": "Xem kết quả: loa why {id}",
    "Stopped: {what}": "Đã dừng: {what}",
    "{count} node(s) are not connected and learn of it when they are: {some}": (
        "{count} cụm loa đang mất liên lạc, sẽ dừng khi có liên lạc lại: {some}"
    ),
    "nothing was sounding": "không có gì đang phát",
    "Nothing was due on {date}.": "Ngày {date} không có lịch phát.",
    "No open incidents.": "Không có sự cố nào đang mở.",
    "Incident {id}: acknowledged.": "Sự cố {id}: đã nhận xử lý.",
    "Incident {id}: repair noted. It closes when the node's own measurements are good again.": (
        "Sự cố {id}: đã ghi nhận sửa xong. Sự cố sẽ đóng khi số đo của cụm loa tốt trở lại."
    ),
    "{node}: self-test ordered; its result comes as a journal entry.": (
        "{node}: đã ra lệnh tự kiểm tra; kết quả sẽ có trong nhật ký cụm loa."
    ),
    "Take the newest self-test; order none.": "Lấy lần tự kiểm tra mới nhất, không ra lệnh kiểm tra mới.",
    "Ask nothing; refuse what is outside the range.": "Không hỏi lại; từ chối nếu có số đo ngoài khoảng cho phép.",
    "Only show the commissionings so far.": "Chỉ xem các lần nghiệm thu trước đây.",
    "Take what a node measures now as its baseline, after showing it.": (
        "Nghiệm thu: lấy số đo hiện tại của cụm loa làm mốc, sau khi cho xem."
    ),
    "Only those with these words in name, place or pole.": (
        "Chỉ những cụm loa có các chữ này trong tên, nơi đặt hay cột."
    ),
    "Only those not online or with a fault.": "Chỉ những cụm loa không trực tuyến hoặc đang có lỗi.",
    "Raise ours above those of all nodes, so that they obey again.": (
        "Nâng epoch của trung tâm lên trên mọi cụm loa, để chúng nhận lệnh trở lại."
    ),
    "Whether nodes obey this controller; what to do after a backup was restored.": (
        "Cụm loa có nhận lệnh của bộ điều khiển này không; việc cần làm sau khi khôi phục bản sao lưu."
    ),
    "epoch raised from {was} to {epoch}; sent again to {sent} nodes": (
        "đã nâng epoch từ {was} lên {epoch}; đã gửi lại cho {sent} cụm loa"
    ),
    "epoch {epoch}": "epoch {epoch}",
    "{count} nodes know of a later one (up to {highest}) and refuse our orders": (
        "{count} cụm loa đã biết epoch mới hơn (đến {highest}) nên từ chối lệnh của trung tâm"
    ),
    "One node in full; all of them, if not given.": "Xem đầy đủ một cụm loa; không ghi thì xem tất cả.",
    "{node}: no self-test that measured anything with a baseline": (
        "{node}: chưa có lần tự kiểm tra nào đo được giá trị cần làm mốc"
    ),
    "{node}: commissioned. Its rules compare with these values from now on.": (
        "{node}: đã nghiệm thu. Từ nay các quy tắc so sánh với những số đo này."
    ),
    "outside the expected range: {metrics}; nothing was written": ("ngoài khoảng cho phép: {metrics}; chưa ghi gì"),
    "Outside the expected range. Take these values all the same?": "Có số đo ngoài khoảng cho phép. Vẫn lấy làm mốc?",
    "Take these values?": "Lấy những số đo này làm mốc?",
    "nothing was written": "chưa ghi gì",
    "{node}: no result of the self-test within {seconds} s": (
        "{node}: không có kết quả tự kiểm tra trong {seconds} giây"
    ),
    "Self-test of {time}": "Tự kiểm tra lúc {time}",
    "measured": "đại lượng",
    "value": "số đo",
    "values": "số đo",
    "expected": "khoảng cho phép",
    "so far": "mốc cũ",
    "when": "lúc",
    "who": "người thực hiện",
    "note": "ghi chú",
    "{node}: never commissioned; start with: loa commission {node}": (
        "{node}: chưa nghiệm thu; hãy chạy: loa commission {node}"
    ),
    "needs: loa commission": "cần: loa commission",
    "needs a self-test that measures it": "cần một lần tự kiểm tra đo được giá trị này",
    "this node does not measure it": "cụm loa này không đo giá trị này",
    "not measured": "chưa đo được",
    "missing": "thiếu",
    "self-tests": "tự kiểm tra",
    "last": "gần nhất",
    "lowest": "thấp nhất",
    "highest": "cao nhất",
    "trend": "diễn biến",
    "passed": "đạt",
    "not passed": "không đạt",
    "Instead, what the rules would have said of a record of loa listen --record.": (
        "Thay vào đó, cho biết các quy tắc sẽ báo gì với tệp ghi bằng loa listen --record."
    ),
    "Also append every message to FILE, for loa check --replay.": (
        "Đồng thời ghi thêm mọi bản tin vào FILE, dùng cho loa check --replay."
    ),
    "raised": "phát lỗi",
    "worse": "nặng hơn",
    "cleared": "hết lỗi",
    "{messages} messages of {nodes} nodes: {raised} faults raised, {open} still there, {broken} broken lines": (
        "{messages} bản tin của {nodes} cụm loa: phát {raised} lỗi, còn {open} lỗi; {broken} dòng hỏng."
    ),
    "written: {path}": "đã ghi: {path}",
    "Every node is enrolled already.": "Mọi cụm loa đều đã được cấp tài khoản.",
    "Bring the file to the node and delete it here: whoever has it can speak as that node.": (
        "Hãy chép tệp vào cụm loa rồi xóa ở đây: ai có tệp này đều có thể mạo danh cụm loa đó."
    ),
    "A simulated node runs with it: loa simulate --enrolments {folder}": (
        "Chạy cụm loa mô phỏng bằng tệp này: loa simulate --enrolments {folder}"
    ),
    "signs": "đang ký",
    "valid, does not sign": "còn hiệu lực, không ký",
    "From the next start of the controller {kid} signs.": "Từ lần khởi động sau, bộ điều khiển ký bằng khóa {kid}.",
    " (retained)": " (lưu lại)",
    "done": "xong",
    # --- columns and states
    "time": "giờ",
    "length": "thời lượng",
    "broadcast": "chương trình phát",
    "where": "nơi",
    "nodes": "cụm loa",
    "next": "sắp phát",
    "on air now": "đang phát",
    "Only whether it does its work, and why not; exit status 1 if not.": "Chỉ cho biết hệ thống có làm việc "
    "bình thường không và vì sao; mã thoát 1 nếu không.",
    "well": "hoạt động bình thường",
    "well, stands by": "hoạt động bình thường, đang dự phòng",
    "not well": "không bình thường",
    "open incidents": "sự cố đang mở",
    "configuration": "cấu hình",
    "how it went": "kết quả",
    "since {time}": "từ {time}",
    "plays {title}": "đang phát {title}",
    "explained by": "do sự cố",
    "critical": "nguy cấp",
    "major": "lớn",
    "minor": "nhỏ",
    "online": "có liên lạc",
    "suspect": "nghi mất liên lạc",
    "offline": "mất liên lạc",
    "unknown": "chưa rõ",
    "heard": "nghe được",
    "unverified": "chưa kiểm chứng",
    "sounding": "đang phát",
    "pending": "chờ phát",
    "stopped": "đã dừng",
    "failed": "hỏng",
    "skipped": "bỏ qua",
    "cancelled": "đã hủy",
    # --- demo
    "starting ...": "đang khởi động ...",
    "ending ...": "đang kết thúc ...",
    "the page: {url}": "trang theo dõi: {url}",
    "port {port} is taken: the page is at {other}": "cổng {port} đã bị chiếm: trang theo dõi ở cổng {other}",
    "the configuration, which you may edit while it runs: {folder}": "cấu hình, có thể sửa khi đang chạy: {folder}",
    "{online} of {total} nodes are online": "{online}/{total} cụm loa có liên lạc",
    "{online}/{total} nodes online · {incidents} incidents · {alerts} alerts": (
        "{online}/{total} cụm loa có liên lạc · {incidents} sự cố · {alerts} tin báo"
    ),
    "the power of {name} fails ({count} nodes)": "{name} mất điện ({count} cụm loa)",
    "the amplifier dies": "hỏng tăng âm",
    "the loudspeaker line is cut": "đứt đường loa",
    "broken on purpose": "cố ý làm hỏng",
    "announcement to all nodes at {start}: {words}": "phát thông báo trên mọi cụm loa lúc {start}: {words}",
    "heard by {heard} of {total} nodes": "{heard}/{total} cụm loa đã phát và nghe được",
    "incident {id}": "sự cố {id}",
    "{seconds} s after it broke": "{seconds} giây sau khi hỏng",
    "mail to {name}": "thư gửi {name}",
    "message to {name}": "tin nhắn gửi {name}",
    "All three are known and told. The page: {url}": "Cả ba sự cố đã được phát hiện và báo tin. Trang theo dõi: {url}",
    "the last state could not be read: {error}": "không đọc được trạng thái cuối: {error}",
    "Summary": "Tóm tắt",
    "heard the announcement": "nghe được thông báo",
    "{heard} of {nodes} nodes": "{heard}/{nodes} cụm loa",
    "first word after the start of the demo": "từ lúc khởi động tới tiếng đầu tiên",
    "start skew, first to last node": "lệch giờ phát giữa cụm đầu và cụm cuối",
    "{count} message(s)": "{count} tin báo",
    "flagged after {seconds}": "phát hiện sau {seconds}",
    "alerts that arrived": "tin báo đã tới nơi",
    "interrupted before the story was over": "bị ngắt trước khi kết thúc",
    "only {heard} of {nodes} nodes heard the announcement": "chỉ {heard}/{nodes} cụm loa nghe được thông báo",
    "{cause}: no incident": "{cause}: chưa phát hiện sự cố",
    "{cause}: nobody was told": "{cause}: chưa báo cho ai",
    # --- emergencies and volume
    "Turn what sounds now up or down.": "Tăng hoặc giảm âm lượng của những gì đang phát.",
    "Over everything, at once: start (may be left out), update, end, list; each with --json.": (
        "Phát khẩn cấp ngay, trên hết mọi chương trình: start (có thể bỏ chữ này), update, end, list; đều có --json."
    ),
    "A text, an audio file, or the name of a sound that nodes hold.": (
        "Một văn bản, một tệp âm thanh, hoặc tên âm báo mà cụm loa giữ sẵn."
    ),
    "As loa emergency list shows it.": "Như loa emergency list hiển thị.",
    "So long it may begin or go on: 10m if not given.": "Hiệu lực trong bao lâu: mặc định 10m.",
    "How often each node sounds it: 3 if not given.": "Mỗi cụm loa phát mấy lần: mặc định 3.",
    "Silence between: 5s if not given.": "Khoảng lặng giữa các lần: mặc định 5s.",
    "Begin one, at once, over everything; the word start may be left out.": (
        "Bắt đầu ngay, trên hết mọi chương trình; có thể bỏ chữ start."
    ),
    "A drill: says so on air and on every screen.": "Diễn tập: có lời báo diễn tập trên loa và trên mọi màn hình.",
    "say where: --to COMMUNE or ZONE; --to all for everywhere": (
        "hãy nêu nơi phát: --to XÃ hoặc VÙNG; --to all là toàn mạng"
    ),
    "Change what a running one says, how long, how often, how loud.": (
        "Đổi nội dung, thời hạn, số lần hoặc âm lượng của lệnh đang hiệu lực."
    ),
    "say what changes: the text, --for, --repeat, --gap or --volume": (
        "hãy nêu cần đổi gì: văn bản, --for, --repeat, --gap hoặc --volume"
    ),
    "Take one back: silence, and nobody begins it any more.": "Chấm dứt: im lặng ngay, không cụm loa nào phát nữa.",
    "Those going on, those of the last day, and the sounds that nodes hold.": (
        "Các lệnh đang hiệu lực, các lệnh trong ngày qua, và các âm báo cụm loa giữ sẵn."
    ),
    "zone {zone}: not handed to the broker ({why}); it goes out as soon as it is there": (
        "vùng {zone}: chưa giao được cho máy chủ MQTT ({why}); sẽ phát ngay khi kết nối lại"
    ),
    "{id}  {zones}  {state}, until {until}": "{id}  {zones}  {state}, đến {until}",
    "  and {count} more: loa why {id}": "  và {count} cụm loa nữa: loa why {id}",
    "DRILL": "DIỄN TẬP",
    "EMERGENCY": "KHẨN CẤP",
    "No emergency, and none on the last day.": "Không có lệnh khẩn cấp nào, trong ngày qua cũng không.",
    "what": "nội dung",
    "state": "tình trạng",
    "ordered": "ra lệnh",
    "Sounds that nodes hold: {names}": "Âm báo cụm loa giữ sẵn: {names}",
    "{count} node(s) turn what sounds to {volume} %.": "{count} cụm loa chỉnh âm lượng đang phát về {volume} %.",
    "{count} node(s) are not connected: {some}": "{count} cụm loa không kết nối: {some}",
    # --- alerts
    "Who is told of faults: test, who, check, silence, silences, end.": (
        "Báo sự cố cho ai: test, who, check, silence, silences, end."
    ),
    "Send a real test message over every channel of a person, and say what became of each.": (
        "Gửi tin thử thật qua mọi kênh của một người và cho biết kết quả từng kênh."
    ),
    "Id of a person of alerts.yaml.": "Mã của một người trong alerts.yaml.",
    "Only smtp, webhook or apprise.": "Chỉ smtp, webhook hoặc apprise.",
    "{person} has no such channel": "{person} không có kênh này",
    "unknown person '{id}': one of {known}": "không có người '{id}': một trong {known}",
    "taken": "đã nhận",
    "no answer within {seconds} s": "không trả lời trong {seconds} giây",
    "Who would be told when, if something broke there and nobody answered.": (
        "Nếu nơi đó hỏng mà không ai nhận việc thì báo cho ai, lúc nào."
    ),
    "As 2026-12-05 22:00; now, if not given.": "Dạng 2026-12-05 22:00; bỏ trống là bây giờ.",
    "As 2026-12-05 22:00.": "Dạng 2026-12-05 22:00.",
    "unknown severity '{severity}': critical, major or minor": (
        "không có mức độ '{severity}': critical, major hoặc minor"
    ),
    "'{place}' is no node and no commune": "'{place}' không phải cụm loa hay xã",
    "'{text}' is no date and time like 2026-12-05 22:00": "'{text}' không phải ngày giờ dạng 2026-12-05 22:00",
    "told at once": "báo ngay",
    "reminded": "nhắc lại",
    "one level up": "báo lên cấp trên",
    "repair overdue, then daily": "quá hạn sửa, sau đó nhắc hằng ngày",
    "nobody": "không có ai",
    "Gaps in the rota of the coming week, people without a channel.": (
        "Những ca trực chưa có người trong tuần tới, những người chưa có kênh báo tin."
    ),
    "Everybody can be told at any time.": "Lúc nào cũng báo được cho mọi người.",
    "{name}: no channel": "{name}: chưa có kênh báo tin",
    "{role}: nobody from {first} to {last}": "{role}: không có ai trực từ {first} đến {last}",
    "Tell nobody of faults there for a while; what is different at the end is told then.": (
        "Tạm ngừng báo sự cố ở nơi đó; hết hạn sẽ báo những gì đã khác."
    ),
    "Only this fault.": "Chỉ lỗi này.",
    "As 30m, 2h or 3h30m.": "Dạng 30m, 2h hoặc 3h30m.",
    "Why; everybody sees it.": "Lý do; mọi người đều thấy.",
    "say where or --code, --for or --until, and --reason": (
        "hãy cho biết nơi hoặc --code, --for hoặc --until, và --reason"
    ),
    "Silence {id}: until {time}.": "Ngừng báo số {id}: đến {time}.",
    "What nobody is told of now or later, and who is on call.": "Những gì đang hoặc sắp ngừng báo, và ai đang trực.",
    "on call, {role}: {people}": "đang trực, {role}: {people}",
    "No silences.": "Không ngừng báo gì.",
    "End a silence; what is different now is told.": "Báo lại như thường; báo ngay những gì đã khác.",
    "Number of the silence, see loa alerts silences.": "Số của lần ngừng báo, xem loa alerts silences.",
    "Silence {id} has ended.": "Đã hết ngừng báo số {id}.",
    "told: {people}": "đã báo: {people}",
    "silenced until {time}": "ngừng báo đến {time}",
    "next step {time}": "bước tiếp theo {time}",
}
