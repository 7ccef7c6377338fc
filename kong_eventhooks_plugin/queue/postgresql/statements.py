"""The named statements of ``queries.sql`` and the migrations, read once at import."""

from collections.abc import Mapping

from kong_eventhooks_plugin.storage.named_sql import read_migrations, read_statements

_HERE = "kong_eventhooks_plugin.queue.postgresql"

SQL = read_statements(_HERE)
"""Every statement under its name: ``SQL.add_events``."""

MIGRATIONS: Mapping[int, str] = read_migrations(_HERE)
"""By the version that they lead to, from 1, without a gap."""

VERSION = max(MIGRATIONS)
"""The schema's version that this code reads and writes."""
