"""The key of the digests that the mirror keeps of secrets: 32 random bytes in ``mirror.key`` of the data directory.

Made once, readable by its owner alone. With it and a copy of the mirror somebody could try guesses at a secret, without
it not; so it is no part of the database. If it is lost or not of 32 bytes, a new one is made, which fits none of the
mirror's digests.
"""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from kong_eventhooks_plugin.errors import StoreUnavailable
from kong_eventhooks_plugin.kong.admin_api.digests import KEY_SIZE

NAME = "mirror.key"

_log = structlog.get_logger()


def mirror_key(data_dir: Path) -> bytes:
    """Return the key, made where it is missing; two processes at once get the same. Raises ``StoreUnavailable``."""
    path = data_dir / NAME
    try:
        with _locked(data_dir):
            key = path.read_bytes() if path.exists() else None
            if key is not None and len(key) != KEY_SIZE:
                _log.warning("mirror_key_replaced", path=str(path))
                key = None
            return key if key is not None else _made(path)
    except OSError as error:
        raise StoreUnavailable(f"{path}: {error.strerror}") from error


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Hold the directory's lock, which ends with the process."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _made(path: Path) -> bytes:
    """Write a new key beside the path and rename it there, whole."""
    key = secrets.token_bytes(KEY_SIZE)
    beside = path.with_name(f"{NAME}.new")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    return key
