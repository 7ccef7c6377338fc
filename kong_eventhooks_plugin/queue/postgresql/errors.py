"""What an exception of the driver means: whether to try again, and what to tell people. Nothing else maps them.

No text holds a password: the store is named by host, port and database (``connection.Address.name``), and PostgreSQL's
messages are quoted without their detail, which may quote a row.
"""

import ssl
from collections.abc import Mapping
from typing import Final, Literal

import asyncpg

from kong_eventhooks_plugin.errors import EventHooksError, QueueError, StoreUnavailable
from kong_eventhooks_plugin.telemetry.raised import bug_text

Kind = Literal["conflict", "lost", "data", "other"]
"""``conflict``: begin the transaction again; ``lost``: the connection is of no use any more; ``data``: an operation's
own values are refused; ``other``: the store fails."""

ServerError: Final = asyncpg.PostgresError
LockNotAvailable: Final = asyncpg.LockNotAvailableError

_CONFLICTS = frozenset({"40001", "40P01", "55P03"})
"""Serialization failure, deadlock, a lock that was waited for too long."""

_LOST = frozenset({"25006", "25P03", "57P01", "57P02", "57P03", "57P05"})
"""Read-only after a failover, ended by the server or an administrator."""

_DATA_CLASSES = frozenset({"22", "23", "54"})

POOLER: Final = "a pooler (PgBouncer, say) seems to be in between; name PostgreSQL itself in `store`"

_OWN_SCHEMA = "the role may not do that: it has to own the schema `kong_event_hooks`"

_ADVICE: Final[Mapping[str, str]] = {
    "08P01": POOLER,
    "25006": "it is read-only: a standby, or a failover is under way; name every host of the cluster in `store`, with "
    "`target_session_attrs=read-write`",
    "26000": POOLER,
    "28000": "it refuses the login: check the role in `store`, its password and the server's pg_hba.conf",
    "28P01": "it refuses the login: check the role in `store`, its password and the server's pg_hba.conf",
    "3D000": "there is no such database: create it, and in it the schema `kong_event_hooks`, which the role owns",
    "3F000": _OWN_SCHEMA,
    "42P05": POOLER,
    "42501": _OWN_SCHEMA,
    "53100": "its disk is full",
    "53300": "it has no connection left: raise its max_connections, or the role's or the database's limit",
    "57P03": "it is starting or stopping",
}


def kind_of(error: BaseException) -> Kind:
    state = state_of(error)
    if state in _CONFLICTS:
        return "conflict"
    if state in _LOST or state.startswith("08"):
        return "lost"
    if state:
        return "data" if state[:2] in _DATA_CLASSES else "other"
    if isinstance(error, asyncpg.exceptions.DataError | UnicodeError | OverflowError | TypeError):
        return "data"
    if isinstance(error, asyncpg.InterfaceError):
        return "data" if isinstance(error, ValueError) else "lost"
    return "lost" if isinstance(error, OSError | TimeoutError | asyncpg.InternalClientError) else "other"


def is_bug(error: BaseException) -> bool:
    """Return whether neither the server nor the driver has said this."""
    return kind_of(error) == "other" and not state_of(error) and not isinstance(error, EventHooksError)


def to_queue_error(error: Exception, name: str) -> EventHooksError:
    """Return our exception for ``error``; ``name`` is the store's. Ours stay as they are."""
    if isinstance(error, EventHooksError):
        return error
    if kind_of(error) == "data":
        return QueueError(f"the store cannot keep this: {type(error).__name__}: {message_of(error)}")
    return StoreUnavailable(f"{name}: {_text(error)}")


def _text(error: Exception) -> str:
    advice = _ADVICE.get(state_of(error))
    if advice is not None:
        return f"{advice} ({message_of(error)})"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or error}; check `sslmode` and `sslrootcert` in `store`"
    if isinstance(error, TimeoutError):
        return "did not answer in time"
    if isinstance(error, OSError):
        return f"cannot be reached: {error.strerror or error}; check that PostgreSQL runs there and accepts this host"
    if isinstance(error, asyncpg.TargetServerAttributeNotMatched):
        return f"no host of `store` can be written to: a failover may be under way ({message_of(error)})"
    return bug_text(error) if is_bug(error) else message_of(error)


def state_of(error: BaseException) -> str:
    """Return the SQLSTATE, empty where the server has not said the error."""
    return (getattr(error, "sqlstate", None) or "") if isinstance(error, asyncpg.PostgresError) else ""


def message_of(error: BaseException) -> str:
    return str(error.args[0] if error.args else error).partition("\n")[0] or type(error).__name__
