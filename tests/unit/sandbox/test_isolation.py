"""What the kernel says of a live worker."""

import asyncio
import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from jinja2.defaults import DEFAULT_FILTERS as FILTERS
from jinja2.defaults import DEFAULT_TESTS as TESTS

from kong_eventhooks_plugin.sandbox import seccomp
from kong_eventhooks_plugin.sandbox.errors import TaskFailed
from kong_eventhooks_plugin.sandbox.jinja import JinjaTemplates
from kong_eventhooks_plugin.sandbox.tasks import LuaRules, SandboxLimits
from tests.support.sandbox import call, render, running_pool, text_of, value_of

TRY_ALL = """
import os, socket, sys
from kong_eventhooks_plugin.sandbox.tasks import SandboxLimits
from kong_eventhooks_plugin.sandbox.isolation import FEATURES, isolate

FEATURES.update(dict.fromkeys(FEATURES, lambda: "not here"))
tell = os.dup(1)
writable = open(sys.argv[1], "wb", buffering=0)
isolate(SandboxLimits(), files_and_processes=False)

def attempt(name, do):
    try:
        do()
    except (OSError, MemoryError) as error:
        os.write(tell, f"{name}: {type(error).__name__}\\n".encode())
    else:
        os.write(tell, f"{name}: done\\n".encode())

import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
attempt("open", lambda: open("/etc/hostname"))
attempt("write", lambda: writable.write(b"x"))
attempt("socket", socket.socket)
attempt("pipe", os.pipe)
attempt("spawn", lambda: os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0))
attempt("memory", lambda: bytearray(200 << 20))
"""


only_root = pytest.mark.skipif(os.geteuid() != 0, reason="a sandbox process refuses inspection to all but root")


class Kernel:
    """What it says of a process."""

    def __init__(self, pid: int) -> None:
        proc = Path(f"/proc/{pid}")
        rows = (proc / "limits").read_text().splitlines()[1:]
        self.limits = {row[:26].strip(): row[26:47].strip() for row in rows}
        self.size = int((proc / "statm").read_text().split()[0]) * resource.getpagesize()
        self.status = (proc / "status").read_text()
        self.environment = (proc / "environ").read_bytes()
        self.files = [str(each.readlink()).partition(":")[0] for each in (proc / "fd").iterdir()]
        self.maps = (proc / "maps").read_text()


@only_root
async def test_a_worker_has_shut_itself_in() -> None:
    async with running_pool(SandboxLimits(workers=1, wall_seconds=45)) as pool:
        await text_of(pool, "{{ limit }}")
        (pid,) = pool.processes
        kernel = await asyncio.to_thread(Kernel, pid)
        limits = kernel.limits
        names = ("Max open files", "Max file size", "Max processes", "Max core file size")
        assert [limits[name] for name in names] == ["0", "0", "0", "0"]
        assert 0 < int(limits["Max address space"]) - kernel.size <= SandboxLimits().memory_bytes
        assert "NoNewPrivs:\t1" in kernel.status
        assert ("Seccomp:\t2" in kernel.status) == (seccomp.missing() is None)
        assert kernel.environment == b""
        assert os.getsid(pid) == pid
        assert sorted(kernel.files) == ["/dev/null", "/dev/null", "socket"]


@only_root
async def test_with_untrusted_lua_on_files_and_processes_stay() -> None:
    async with running_pool(SandboxLimits(workers=1, wall_seconds=45), LuaRules("on")) as pool:
        result = await pool.run(call("return function() return io.open('/etc/hostname'):read('*a') end"))
        assert value_of(result)
        kernel = await asyncio.to_thread(Kernel, pool.processes[0])
        assert kernel.limits["Max open files"] != "0"


@only_root
async def test_a_small_worker_does_not_carry_what_it_does_not_need() -> None:
    async with running_pool(SandboxLimits(workers=1, wall_seconds=45)) as pool:
        await text_of(pool, "{{ limit }}")
        kernel = await asyncio.to_thread(Kernel, pool.processes[0])
        assert "luajit21" in kernel.maps
        assert "cel_expr" not in kernel.maps
        assert set(re.findall(r"lupa/(lua\w+)", kernel.maps)) == {"luajit21"}


def here(tag: str) -> str:
    """Render in this process, where all can be imported."""
    try:
        return JinjaTemplates(SandboxLimits()).render(render(tag, dialect="jinja2")).texts[0]
    except TaskFailed as error:
        return str(error)


def without_addresses(text: str) -> str:
    return re.sub("0x[0-9a-f]+", "0x", text)


@pytest.mark.parametrize("kind", ["filter", "test"])
async def test_all_of_jinja2_works_where_nothing_can_be_imported(kind: str) -> None:
    names = {"filter": FILTERS, "test": TESTS}[kind]
    async with running_pool(SandboxLimits(workers=1, wall_seconds=45)) as pool:
        for name in names:
            for value in ("'<b>x</b>'", "[1, 2]", "consumer"):
                tag = f"{{{{ {value} | {name} }}}}" if kind == "filter" else f"{{{{ {value} is {name} }}}}"
                result = await text_of(pool, tag, dialect="jinja2")
                if name != "random":
                    assert without_addresses(getattr(result, "text", result)) == without_addresses(here(tag))


async def test_all_of_luas_library_works_where_nothing_can_be_opened() -> None:
    code = """return function()
      return {os.date('%Y', 0), os.date('*t', 0).year, type(os.time()), type(os.clock()), math.floor(math.random())}
    end"""
    async with running_pool(SandboxLimits(workers=1, wall_seconds=45)) as pool:
        result = await pool.run(call(code))
        assert value_of(result)[1:] == [1970, "number", "number", 0]


def test_without_features_of_the_kernel_nothing_can_be_opened_written_or_started(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TRY_ALL, str(tmp_path / "file")], capture_output=True, text=True, check=False, timeout=60
    )
    kernel = dict(line.split(": ") for line in done.stdout.splitlines())
    # The kernel lets root start processes in spite of RLIMIT_NPROC; only another user's attempt says something.
    spawned = kernel.pop("spawn", None)
    assert os.geteuid() == 0 or spawned != "done"
    assert kernel == {
        "open": "OSError", "write": "OSError", "socket": "OSError", "pipe": "OSError", "memory": "MemoryError",
    }, done.stderr  # fmt: skip


@pytest.mark.skipif(seccomp.missing() is not None, reason="the kernel has no seccomp, which hides Landlock here")
def test_a_kernel_without_landlock_serves_and_is_known() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.older_kernel"],
        cwd=Path(__file__).parents[3], capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert json.loads(done.stdout) == [{"landlock": "Function not implemented"}, "4"]


def test_the_main_process_loads_no_language() -> None:
    code = (
        "import sys\n"
        "import kong_eventhooks_plugin.sandbox.pool\n"
        "import kong_eventhooks_plugin.handlers.webhook_custom\n"
        "import kong_eventhooks_plugin.handlers.lambda_\n"
        "print([name for name in ('lupa', 'jinja2', 'cel_expr_python', 'ctypes') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert not {"lupa", "jinja2", "cel_expr_python"} & set(eval(done.stdout))  # noqa: S307 - our own list
