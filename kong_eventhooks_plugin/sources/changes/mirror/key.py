"""The key of the digests that the mirror keeps of secrets: 32 random bytes in ``mirror.key`` of the data directory.

Made once, readable by its owner alone. With it and a copy of the mirror somebody could try guesses at a secret, without
it not; so it is no part of the database. If it is lost or not of 32 bytes, a new one is made, which fits none of the
mirror's digests.
"""

import errno
import os
import secrets
from pathlib import Path

import structlog

from kong_eventhooks_plugin import files
from kong_eventhooks_plugin.errors import StoreUnavailable
from kong_eventhooks_plugin.kong.admin_api.digests import KEY_SIZE

NAME = "mirror.key"
LOCK_SECONDS = 5.0
_LOCK = f"{NAME}.lock"
_NO_KEY = frozenset({errno.ELOOP, errno.EINVAL, errno.EFBIG})
"""A link, something else than a file, a file that is too long."""

_log = structlog.get_logger()


def mirror_key(data_dir: Path) -> bytes:
    """Return the key, made where it is missing; two processes at once get the same. Raises ``StoreUnavailable``."""
    path = data_dir / NAME
    try:
        with files.own_directory(data_dir) as directory, files.locked(_LOCK, directory, LOCK_SECONDS):
            key = _kept(path)
            return key if key is not None else _made(path, directory)
    except OSError as error:
        raise StoreUnavailable(f"{path}: {error.strerror}") from error


def _kept(path: Path) -> bytes | None:
    try:
        key = files.read(path, KEY_SIZE, os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno not in _NO_KEY:
            raise
        key = b""
    if len(key) == KEY_SIZE:
        return key
    _log.warning("mirror_key_replaced", path=str(path))
    return None


def _made(path: Path, directory: int) -> bytes:
    """Write a new key beside the path and rename it there, whole."""
    key = secrets.token_bytes(KEY_SIZE)
    beside = f"{path.name}.new"
    with files.created(beside, directory, 0o600) as descriptor:
        os.write(descriptor, key)
        os.fsync(descriptor)
    os.replace(beside, path.name, src_dir_fd=directory, dst_dir_fd=directory)
    return key
