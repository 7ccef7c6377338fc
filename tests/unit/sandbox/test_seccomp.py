"""The filter of both architectures, in an interpreter of its instructions; the kernel's own numbers."""

import errno
import mmap
import re
from pathlib import Path

import pytest

from kong_eventhooks_plugin.sandbox import seccomp
from kong_eventhooks_plugin.sandbox.seccomp import (
    ALLOWED,
    ARCHITECTURES,
    NEWEST,
    REFUSED,
    TO_ITSELF,
    WITHOUT_EXECUTION,
    Architecture,
    program,
)

KILL, ALLOW, ERRNO = 0x8000_0000, 0x7FFF_0000, 0x5_0000
PID = 4_711
HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}


def answer(architecture: Architecture, number: int, *arguments: int, audit: int | None = None) -> int:
    words = {0: number, 4: audit or architecture.audit} | {16 + 8 * at: value for at, value in enumerate(arguments)}
    code, at, loaded = program(architecture, PID), 0, 0
    while True:
        operation, if_true, if_false, operand = code[at]
        at += 1
        match operation:
            case 0x20:
                loaded = words.get(operand, 0)
            case 0x06:
                return operand
            case _:
                true = {0x15: loaded == operand, 0x25: loaded > operand, 0x45: bool(loaded & operand)}[operation]
                at += if_true if true else if_false


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_what_each_call_is_answered(name: str) -> None:
    here = ARCHITECTURES[name]

    def of(table: seccomp.Table) -> set[int]:
        return {number for row in table.values() if (number := row[here.column]) is not None}

    for number in range(NEWEST + 1):
        code = mmap.PROT_READ | mmap.PROT_EXEC
        expected = (ALLOW, ALLOW) if number in of(ALLOWED) else (KILL, KILL)
        expected = (ALLOW, KILL) if number in of(WITHOUT_EXECUTION) else expected
        expected = (KILL, ALLOW) if number in of(TO_ITSELF) else expected
        expected = (ERRNO | errno.EPERM,) * 2 if number in of(REFUSED) else expected
        assert (answer(here, number), answer(here, number, PID, 0, code)) == expected, number
        assert answer(here, number, audit=0x4000_0003) == KILL  # 32 bits
    assert answer(here, NEWEST + 1) == ERRNO | errno.ENOSYS


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_numbers_are_the_kernels(name: str) -> None:
    if not HEADERS[name].exists():
        pytest.skip("the kernel's headers are not installed")
    found = re.findall(r"^#define __NR(?:3264)?_(\w+)\s+(\d+)$", HEADERS[name].read_text(), re.MULTILINE)
    numbers = {{"fstatat": "newfstatat"}.get(call, call): int(number) for call, number in found}
    here = ARCHITECTURES[name]
    for table in (ALLOWED, WITHOUT_EXECUTION, TO_ITSELF, REFUSED):
        assert {call: row[here.column] for call, row in table.items()} == {call: numbers.get(call) for call in table}
    assert numbers["seccomp"] == here.seccomp


def test_an_architecture_without_a_table_has_no_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seccomp, "ARCHITECTURES", {})
    assert "no table of system calls for" in str(seccomp.missing())
