import contextlib
import fcntl
import os
import select
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kong_eventhooks_plugin.errors import SocketError, SocketInUse
from kong_eventhooks_plugin.kong.supervisor import sockets
from kong_eventhooks_plugin.kong.supervisor.inherited_socket import inherited
from kong_eventhooks_plugin.kong.supervisor.sockets import PATH_BYTES, SocketLease, SocketPlan, bind, is_served
from tests.support.waiting import SECONDS


@contextlib.contextmanager
def bound(path: Path, **changes: object) -> Iterator[SocketLease]:
    lease = bind(SocketPlan(path=path, **changes))  # type: ignore[arg-type]
    try:
        yield lease
    finally:
        lease.release()


def connects(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        try:
            sock.connect(str(path))
        except OSError:
            return False
        return True


def test_it_listens_and_lets_its_user_and_group_in_alone(tmp_path: Path) -> None:
    path = tmp_path / "plugin.sock"
    with bound(path) as lease:
        assert connects(path)
        found = path.stat()
        assert stat.S_IMODE(found.st_mode) == 0o660
        assert stat.S_ISSOCK(found.st_mode)
        assert lease.state() == "ours"
    assert list(tmp_path.iterdir()) == []  # nor a lock file nor the name beside


def test_an_open_umask_does_not_open_it(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with bound(tmp_path / "s"):
            assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o660
    finally:
        os.umask(before)


def test_the_group_may_be_a_number_or_a_name(tmp_path: Path) -> None:
    gid = os.getgid()
    with bound(tmp_path / "s", group=str(gid)):
        assert (tmp_path / "s").stat().st_gid == gid
    if os.geteuid() == 0:
        with bound(tmp_path / "s", group="daemon"):
            import grp

            assert (tmp_path / "s").stat().st_gid == grp.getgrnam("daemon").gr_gid


def test_an_unknown_group_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(SocketError, match=r"socket_group 'no-such-group': there is no such group"):
        bind(SocketPlan(path=tmp_path / "s", group="no-such-group"))
    assert list(tmp_path.iterdir()) == []


def test_a_live_socket_of_another_process_is_refused_with_its_pid(tmp_path: Path) -> None:
    path = tmp_path / "s"
    program = (
        "import socket, sys\n"
        "listening = socket.create_server(sys.argv[1], family=socket.AF_UNIX)\n"
        "print(flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(SocketInUse, match=rf"{path}: process {other.pid} already listens there; stop it"):
            bind(SocketPlan(path=path))
        assert connects(path)
        other.communicate()
    with bound(path):  # it ended without removing its path: stale, so replaced
        assert connects(path)


def test_a_socket_whose_queue_is_full_is_alive(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as other, contextlib.ExitStack() as callers:
        other.bind(str(path))
        other.listen(0)
        callers.enter_context(socket.socket(socket.AF_UNIX)).connect(str(path))
        with pytest.raises(SocketInUse, match="full queue"):
            bind(SocketPlan(path=path))


def test_who_is_served_and_who_is_not(tmp_path: Path) -> None:
    path = tmp_path / "s"
    assert not is_served(path)
    with bound(path):
        assert is_served(path)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    assert not is_served(path)
    (tmp_path / "file").touch()
    assert not is_served(tmp_path / "file")


def test_take_over_renames_over_a_live_one_and_neither_removes_the_others(tmp_path: Path) -> None:
    path = tmp_path / "s"
    first = bind(SocketPlan(path=path, take_over=True))
    with socket.socket(socket.AF_UNIX) as early:
        early.connect(str(path))
        second = bind(SocketPlan(path=path, take_over=True))
        assert (first.state(), second.state()) == ("taken", "ours")
        assert select.select([first.sock], [], [], 0)[0]  # a call that came before stays with the first
        assert not select.select([second.sock], [], [], 0)[0]
        first.release()
        assert second.state() == "ours"
        assert connects(path)
    second.release()
    assert not path.exists()


def test_the_path_never_refuses_during_take_overs(tmp_path: Path) -> None:
    path = tmp_path / "s"
    leases = [bind(SocketPlan(path=path, take_over=True))]
    over = threading.Event()
    refused = []

    def call() -> None:
        while not over.is_set():
            if not connects(path):
                refused.append(1)

    caller = threading.Thread(target=call)
    caller.start()
    for _ in range(100):
        leases.append(bind(SocketPlan(path=path, take_over=True)))
        leases.pop(0).release()
    over.set()
    caller.join()
    assert not refused
    leases[0].release()


def test_it_listens_before_the_path_leads_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A moment too short for the test above to see it."""
    rename = os.rename
    listened = []

    def renamed(beside: str, path: str, **directories: int) -> None:
        listened.append(connects(tmp_path / beside))
        rename(beside, path, **directories)

    monkeypatch.setattr(os, "rename", renamed)
    with bound(tmp_path / "s"):
        assert listened == [True]


def test_of_many_starters_one_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "LOCK_SECONDS", SECONDS)
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    won: list[SocketLease] = []
    refused: list[SocketInUse] = []
    together = threading.Barrier(8)

    def start() -> None:
        together.wait()
        try:
            won.append(bind(SocketPlan(path=path)))
        except SocketInUse as error:
            refused.append(error)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(refused)) == (1, 7)
    won[0].release()


def test_a_starter_that_hangs_is_not_waited_for_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "LOCK_SECONDS", 0.1)
    with (
        sockets._start_lock(tmp_path / "s"),
        pytest.raises(SocketError, match=r"has held the lock s\.lock for 0\.1 s"),
    ):
        bind(SocketPlan(path=tmp_path / "s"))


def test_a_lock_on_the_directory_which_all_may_read_holds_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "LOCK_SECONDS", 0.1)
    reader = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(reader, fcntl.LOCK_EX)
    with bound(tmp_path / "s"):
        assert connects(tmp_path / "s")
    os.close(reader)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_starter_left_beside_the_path_does_not_matter(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "s.new"))
    with bound(tmp_path / "s"):
        assert connects(tmp_path / "s")


def test_a_vanished_path_is_bound_anew(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with bound(path) as lease:
        path.unlink()
        assert lease.state() == "gone"
        new = lease.rebind()
        assert (lease.state(), new.state()) == ("taken", "ours")
        lease.release()
        assert connects(path)
        new.release()


def test_a_directory_that_vanished_counts_as_gone(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with bound(tmp_path / "run" / "s") as lease:
        (tmp_path / "run" / "s").unlink()
        (tmp_path / "run").rmdir()
        assert lease.state() == "gone"
        with pytest.raises(SocketError, match="does not exist; create it"):
            lease.rebind()


def test_errors_name_the_setting_and_the_fix(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    errors = {
        tmp_path / "missing" / "s": rf"socket_path {tmp_path}/missing/s: the directory .* does not exist; create it",
        tmp_path / "file": "something is there that is not a socket",
        tmp_path / "link": "something is there that is not a socket",
        tmp_path / "file" / "s": "is not a directory",
        tmp_path / ("n" * (PATH_BYTES - len(os.fsencode(tmp_path)))): rf"{PATH_BYTES + 1} bytes, and .* {PATH_BYTES}",
    }
    for path, text in errors.items():
        with pytest.raises(SocketError, match=text):
            bind(SocketPlan(path=path))
    assert (tmp_path / "file").read_text() == "precious"


def test_the_longest_path_works(tmp_path: Path) -> None:
    path = tmp_path / ("n" * (PATH_BYTES - len(os.fsencode(tmp_path)) - 1))
    assert len(os.fsencode(path)) == PATH_BYTES
    with bound(path):
        assert connects(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
def test_a_directory_that_may_not_be_written() -> None:
    program = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from kong_eventhooks_plugin.kong.supervisor.sockets import *\n"
        "from kong_eventhooks_plugin.errors import SocketError\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "try: bind(SocketPlan(path=Path(sys.argv[1])))\n"
        "except SocketError as error: print(error)"
    )
    with tempfile.TemporaryDirectory() as directory:  # not tmp_path: only root may look into that
        Path(directory).chmod(0o755)
        done = subprocess.run([sys.executable, "-c", program, f"{directory}/s"], capture_output=True, text=True)
    assert f"may not write to {directory}; give it to our user" in done.stdout, done.stderr


def systemd_like(tmp_path: Path, make: str, **environment: str) -> str:
    """Run ``inherited`` in a process whose descriptor 3 is what ``make`` makes; return what it prints."""
    program = (
        "import os, socket, sys\n"
        "path = sys.argv[1]\n"
        f"made = {make}\n"
        "os.dup2(made.fileno(), 3)\n"
        "environment = {'LISTEN_PID': str(os.getpid()), 'LISTEN_FDS': '1', 'LISTEN_FDNAMES': 'x'}\n"
        f"environment |= {environment!r}\n"
        "from kong_eventhooks_plugin.kong.supervisor.inherited_socket import inherited\n"
        "from kong_eventhooks_plugin.errors import SocketError\n"
        "try:\n"
        "    lease = inherited(environment)\n"
        "    print(lease and (str(lease.path), lease.state(), os.get_inheritable(3)), environment)\n"
        "    if lease: lease.release()\n"
        "    print(os.path.exists(path))\n"
        "except SocketError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "s")], capture_output=True, text=True, check=True
    )
    return done.stdout


LISTENING = "socket.create_server(path, family=socket.AF_UNIX)"


def test_systemds_socket_is_taken_and_its_path_left_alone(tmp_path: Path) -> None:
    printed = systemd_like(tmp_path, LISTENING)
    assert printed == f"('{tmp_path}/s', 'ours', False) {{}}\nTrue\n"


def test_a_socket_for_another_process_is_not_taken(tmp_path: Path) -> None:
    assert systemd_like(tmp_path, LISTENING, LISTEN_PID="1") == "None {}\nTrue\n"


@pytest.mark.parametrize(
    ("make", "environment", "text"),
    [
        (LISTENING, {"LISTEN_FDS": "2"}, "exactly one socket"),
        (LISTENING, {"LISTEN_FDS": "many"}, "exactly one socket"),
        ("open('/dev/null')", {}, "is not a socket"),
        ("socket.create_server(('127.0.0.1', 0))", {}, "not a unix stream socket"),
        ("socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)", {}, "not a unix stream socket"),
        ("socket.socket(socket.AF_UNIX)", {}, "does not listen"),
    ],
)
def test_what_is_no_listening_unix_socket_is_refused(
    tmp_path: Path, make: str, environment: dict[str, str], text: str
) -> None:
    assert text in systemd_like(tmp_path, make, **environment)


def test_without_systemd_there_is_nothing_to_inherit() -> None:
    assert inherited({}) is None
