"""``python -m tests.support.older_kernel``: the sandbox on a kernel without Landlock, whose calls a filter hides.

Prints which features are missing, and the answer to a task.
"""

import asyncio
import errno
import json
import os
import struct

from kong_eventhooks_plugin.linux import address, prctl, syscall
from kong_eventhooks_plugin.sandbox.isolation import missing_features
from kong_eventhooks_plugin.sandbox.seccomp import ARCHITECTURES
from tests.support.sandbox import running_pool, text_of

FILTER = (
    (0x20, 0, 0, 0),  # load the number
    (0x35, 0, 2, 444),  # >= landlock_create_ruleset
    (0x25, 1, 0, 446),  # > landlock_restrict_self
    (0x06, 0, 0, 0x5_0000 | errno.ENOSYS),
    (0x06, 0, 0, 0x7FFF_0000),
)


def hide_landlock() -> None:
    prctl(38, 1)  # PR_SET_NO_NEW_PRIVS
    code = b"".join(struct.pack("=HBBI", *row) for row in FILTER)
    syscall(ARCHITECTURES[os.uname().machine].seccomp, 1, 0, struct.pack("@HP", len(FILTER), address(code)))


async def main() -> None:
    async with running_pool() as pool:
        print(json.dumps([missing_features(), await text_of(pool, "{{ limit }}")]))


if __name__ == "__main__":
    hide_landlock()
    asyncio.run(main())
