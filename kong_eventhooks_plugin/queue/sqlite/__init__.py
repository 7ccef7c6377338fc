"""The durable queue in one SQLite file.

The modules, from the outside in (each imports only those below it):

- ``engine``: ``SqliteQueue``, the contract's methods.
- ``group_commit``: everything that writes waits for the next transaction and gets its answer after the commit.
- ``accept``, ``leases``, ``settling``, ``retention``, ``small_tables``: what operations do inside a transaction.
- ``counters``, ``suppression``, ``hook_counters``: what is kept of the file between transactions, so that a limit is a
  comparison and not a query.
- ``reads``: everything that only reads, on a connection and in a thread of its own.
- ``checkpoints``: what the log holds is copied into the file, in a thread of its own.
- ``file``: open, check, create, migrate.
- ``statements``, ``queries.sql``, ``migrations/``: all SQL.

Threads: statements of a transaction run on the event loop's thread, a few microseconds each. A second thread
would have to acquire the interpreter's lock again after every row, and wait up to 5 ms for it while the loop is
busy. What may wait for something other than the processor (another process's lock, the commit's fsync, a sweep's big
statements) runs in the store's thread. One of the two uses the connection at a time;
``group_commit`` ensures that.
"""

from kong_eventhooks_plugin.queue.sqlite.engine import SqliteQueue

__all__ = ["SqliteQueue"]
