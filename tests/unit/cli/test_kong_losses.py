"""What is read of Kong's error log: its lines as Kong 3.9.1 writes them."""

from pathlib import Path

import pytest

from kong_eventhooks_plugin.cli import kong_losses
from kong_eventhooks_plugin.cli.kong_losses import read_losses

SOCKET = Path("/run/kong-event-hooks/plugin.sock")
TIMER = (
    "2026/11/30 21:04:{:02} [alert] 30346#0: lua failed to run timer with function defined at "
    "@/usr/local/share/lua/5.1/kong/runloop/plugin_servers/plugin.lua:{}: 4096 lua_max_running_timers are not enough\n"
)
CONNECT = "2026/11/30 21:05:{:02} [error] 31839#0: *9 connect() to unix:{} failed ({}), context: ngx.timer\n"
RAISED = '2026/11/30 21:06:00 [error] 30346#0: *673 failed to run log_by_lua*: [string "error(1)"]:1: boom\n'
FULL = "11: Resource temporarily unavailable"


def seen(folder: Path, *lines: str) -> list[tuple[int, str, str]]:
    log = folder / "error.log"
    log.write_text("".join(lines))
    return [(loss.calls, loss.last, loss.why.split(" ", 1)[0]) for loss in read_losses(log, SOCKET)]


def test_each_kind_is_counted_with_its_last_time(tmp_path: Path) -> None:
    lines = [
        TIMER.format(1, 109), TIMER.format(7, 109), CONNECT.format(3, SOCKET, FULL), RAISED,
        CONNECT.format(9, SOCKET, "111: Connection refused"), CONNECT.format(8, SOCKET, "13: Permission denied"),
    ]  # fmt: skip
    assert seen(tmp_path, *lines) == [
        (2, "2026/11/30 21:04:07", "calls"),
        (1, "2026/11/30 21:05:03", "calls"),
        (2, "2026/11/30 21:05:08", "calls"),
        (1, "2026/11/30 21:06:00", "requests"),
    ]


def test_what_others_lost_is_none_of_ours(tmp_path: Path) -> None:
    other_timer = TIMER.replace("plugin_servers/plugin.lua", "tools/queue.lua").format(1, 5)
    assert seen(tmp_path, other_timer, CONNECT.format(1, "/run/other.sock", FULL), f"{SOCKET}\n") == []


def test_only_the_end_of_a_long_log_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kong_losses, "BYTES", len(TIMER.format(1, 109)) + 10)
    assert seen(tmp_path, TIMER.format(1, 109), TIMER.format(2, 109)) == [(1, "2026/11/30 21:04:02", "calls")]


def test_a_log_that_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="not a regular file"):
        list(read_losses(Path("/dev/null"), SOCKET))
